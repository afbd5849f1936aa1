"""Curvature of one linear student at its teacher, as rows: every eigenvalue, every coordinate."""

from __future__ import annotations

from typing import get_args

from gradscope.experiments.teacher_student import HessianTable, teacher_student_hessian
from gradscope.running.cell import HessianCell
from gradscope.running.cell_result import CellResult, append_frame, blank_tables


def measure_hessian(cell: HessianCell, model: None) -> CellResult:
    """One teacher for each seed."""
    tables = blank_tables(cell.command)
    notes = []
    for seed in cell.seeds:
        result = teacher_student_hessian(cell.architecture, cell.lambdas[0], cell.lengths[0], seed)
        for name in get_args(HessianTable):
            append_frame(tables[name], result.to_dataframe(name), seed=seed)
        if result.status != "ok":
            notes.append(f"{cell.label}, seed {seed}: Adam's run overflowed, so it has no learning rates.")
    return CellResult(tables, [], tuple(notes))
