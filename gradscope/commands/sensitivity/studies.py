"""Studies beside the sweep, as rows: the loss surface over ω, signal propagation in depth, curvature at a teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.experiments.depth import SignalPropagation, signal_propagation
from gradscope.experiments.teacher_student import HessianTable, teacher_student_hessian
from gradscope.running.cell import CellResult
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
        (teacher,) = self.lambdas
        rows = []
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
                    rows.append(row)
        return CellResult({"landscape": pd.DataFrame(rows)})


def _students(how: Parametrization, teacher: float) -> list[float]:
    """From far from 1 to close by, closer and closer to the teacher over ω, and the teacher itself."""
    steps = np.geomspace(BESIDE, REACH, POINTS)
    beside = [how.value(how.inverse(teacher) + sign * step) for step in steps.tolist() for sign in (-1, 1)]
    candidates = [*beside, *(1 - np.geomspace(FARTHEST, NEAREST, POINTS)).tolist(), teacher]
    return sorted({value for value in candidates if 1 - FARTHEST < value < 1 - NEAREST / 2})


@dataclass(frozen=True, kw_only=True)
class DepthCell(StudyCell):
    """Signal propagation through ``depth`` residual blocks of one width; the recurrence is a table's.

    Attributes:
        recurrence: Its name there.
        depth: Blocks.
    """

    recurrence: str
    depth: int

    def measure(self) -> CellResult:
        """Layer by layer, at every λ."""
        parts, overflowed = [], []
        for modulus in self.lambdas:
            results = [_propagation(self, modulus, seed) for seed in self.seeds]
            if any(result.status != "ok" for result in results):
                overflowed.append(f"{modulus:.6g}")
            parts.append(_over_seeds(results).assign(input=self.input.choice.label, length=self.lengths[0]))
        failure = f"{self.label} overflowed in {self.dtype} at λ = {', '.join(overflowed)}." if overflowed else ""
        return CellResult({"depth": pd.concat(parts, ignore_index=True)}, (), failure)


def _propagation(cell: DepthCell, modulus: float, seed: int) -> SignalPropagation:
    x, _ = cell.input.draw(cell.lengths[0], seed, dtype=cell.dtype, device=cell.device)
    return signal_propagation(cell.recurrence, modulus, x, cell.depth, cell.width, seed, dtype=x.dtype)


def _over_seeds(results: list[SignalPropagation]) -> pd.DataFrame:
    """The rows of one seed with means over all and their standard errors."""
    frame = results[0].to_dataframe()
    by_seed = pd.concat([result.to_dataframe() for result in results])
    means: list[float] = []
    errors: list[float] = []
    for _, rows in by_seed.groupby(["group", "quantity"], sort=False):
        values = rows["measured"].to_numpy().reshape(len(results), -1)  # (seeds, layers)
        means += [float(layer.mean()) for layer in values.T]
        deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
        errors += (deviation / math.sqrt(len(values))).tolist()
    return frame.assign(measured=means, standard_error=errors)


@dataclass(frozen=True, kw_only=True)
class HessianCell(StudyCell):
    """Curvature of a linear student at its teacher, whose modulus is ``lambdas[0]``."""

    student: str

    def measure(self) -> CellResult:
        """One teacher for each seed."""
        parts: dict[str, list[pd.DataFrame]] = {name: [] for name in get_args(HessianTable)}
        notes = []
        for seed in self.seeds:
            result = teacher_student_hessian(self.student, self.lambdas[0], self.lengths[0], seed)
            for name in get_args(HessianTable):
                parts[name].append(result.to_dataframe(name).assign(seed=seed))
            if result.status != "ok":
                notes.append(f"{self.label}, seed {seed}: Adam's run overflowed, so it has no learning rates.")
        tables = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
        return CellResult(tables, tuple(notes))
