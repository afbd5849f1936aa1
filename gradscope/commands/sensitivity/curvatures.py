"""Curvature of one linear student at its teacher, as rows: every eigenvalue, every coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.experiments.teacher_student import HessianTable, teacher_student_hessian
from gradscope.running.cell import CellResult, append_frame


@dataclass(frozen=True, kw_only=True)
class HessianCell(StudyCell):
    """Curvature of a linear student at its teacher, whose modulus is ``lambdas[0]``."""

    student: str

    def measure(self) -> CellResult:
        """One teacher for each seed."""
        return _measured(self)


def _measured(cell: HessianCell) -> CellResult:
    tables = cell.blank_tables()
    notes = []
    for seed in cell.seeds:
        result = teacher_student_hessian(cell.student, cell.lambdas[0], cell.lengths[0], seed)
        for name in get_args(HessianTable):
            append_frame(tables[name], result.to_dataframe(name), seed=seed)
        if result.status != "ok":
            notes.append(f"{cell.label}, seed {seed}: Adam's run overflowed, so it has no learning rates.")
    return CellResult(tables, [], tuple(notes))
