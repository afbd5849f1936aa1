"""The one-dimensional loss surface over ω, as rows."""

from __future__ import annotations

import numpy as np

from gradscope.running.cell import LandscapeCell
from gradscope.running.cell_result import CellResult, append_row, blank_tables
from gradscope.theory import PARAMETRIZATIONS, Parametrization, landscape

POINTS = 121
NEAREST, FARTHEST = 1e-7, 0.7  # of 1 − λ
BESIDE, REACH = 1e-6, 6.0  # of |ω − ω*|
WITH_LANDSCAPE = ("none", "sqrt")


def measure_landscape(cell: LandscapeCell, model: None) -> CellResult:
    """Loss, gradient and curvature of students around the teacher, for every parametrisation of a modulus."""
    tables, (teacher,) = blank_tables(cell.command), cell.lambdas
    for parametrization in cell.parametrizations:
        how = PARAMETRIZATIONS[parametrization]
        for normalization in cell.normalizations:
            if how.is_angle or normalization not in WITH_LANDSCAPE:
                continue
            for student in _students(how, teacher):
                point = landscape(student, teacher, parametrization, normalization, cell.rho)
                row = {
                    "parametrization": parametrization,
                    "normalization": normalization,
                    "rho": cell.rho,
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
