"""The one-dimensional loss surface over ω, as rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.running.cell import CellResult, append_row
from gradscope.theory import PARAMETRIZATIONS, Parametrization, landscape

POINTS = 121
NEAREST, FARTHEST = 1e-7, 0.7  # of 1 − λ
BESIDE, REACH = 1e-6, 6.0  # of |ω − ω*|
WITH_LANDSCAPE = ("none", "sqrt")


@dataclass(frozen=True, kw_only=True)
class LandscapeCell(StudyCell):
    """The loss surface of one unit around a teacher, whose λ is ``lambdas[0]``; ρ is the input's."""

    parametrizations: tuple[str, ...]
    normalizations: tuple[str, ...]
    rho: float

    def measure(self) -> CellResult:
        """Loss, gradient and curvature of students around the teacher, for every parametrisation of a modulus."""
        tables, (teacher,) = self.blank_tables(), self.lambdas
        for parametrization in self.parametrizations:
            how = PARAMETRIZATIONS[parametrization]
            for normalization in self.normalizations:
                if how.is_angle or normalization not in WITH_LANDSCAPE:
                    continue
                for student in _students(how, teacher):
                    point = landscape(student, teacher, parametrization, normalization, self.rho)
                    row = {
                        "parametrization": parametrization,
                        "normalization": normalization,
                        "rho": self.rho,
                        "teacher": teacher,
                        "student": student,
                        "omega": how.inverse(student),
                        "omega_teacher": how.inverse(teacher),
                        "loss": point.loss,
                        "gradient": point.gradient,
                        "curvature": point.curvature,
                        "largest_stable_learning_rate": point.largest_stable_learning_rate,
                    }
                    append_row(tables["landscape"], row)
        return CellResult(tables, [])


def _students(how: Parametrization, teacher: float) -> list[float]:
    """From far from 1 to close by, closer and closer to the teacher over ω, and the teacher itself."""
    steps = np.geomspace(BESIDE, REACH, POINTS)
    beside = [how.value(how.inverse(teacher) + sign * step) for step in steps.tolist() for sign in (-1, 1)]
    candidates = [*beside, *(1 - np.geomspace(FARTHEST, NEAREST, POINTS)).tolist(), teacher]
    return sorted({value for value in candidates if 1 - FARTHEST < value < 1 - NEAREST / 2})
