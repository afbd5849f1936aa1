"""Curvature of one linear student at its teacher, as rows: every eigenvalue, every coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.experiments.teacher_student import TeacherStudentHessian, teacher_student_hessian
from gradscope.running.cell import CellResult, Table, append_row

RECURRENT = ("A", "lambda", "magnitude", "angle")  # groups of the recurrence's own coordinates


@dataclass(frozen=True, kw_only=True)
class HessianCell(StudyCell):
    """Curvature of a linear student at its teacher, whose modulus is ``lambdas[0]``."""

    student: str

    def measure(self) -> CellResult:
        """One teacher for each seed."""
        return _measured(self)


def _measured(cell: HessianCell) -> CellResult:
    """One teacher for each seed."""
    tables = cell.blank_tables()
    notes = []
    for seed in cell.seeds:
        result = teacher_student_hessian(cell.student, cell.lambdas[0], cell.lengths[0], seed)
        _add(tables, seed, result)
        if result.status != "ok":
            notes.append(f"{cell.label}, seed {seed}: Adam's run overflowed, so it has no learning rates.")
    return CellResult(tables, [], tuple(notes))


def _add(tables: dict[str, Table], seed: int, result: TeacherStudentHessian) -> None:
    identity = {"student": result.student, "teacher": result.modulus, "length": result.length, "seed": seed}
    rates = result.adam_learning_rates
    recurrent = rates[[group in RECURRENT for group in result.coordinates]]
    scalars = {
        "parameters": len(result.coordinates),
        "rank": result.rank,
        "diagonal_share": result.diagonal_share,
        "largest_eigenvalue": float(result.eigenvalues[0]),
        "median_recurrent_adam_learning_rate": float(recurrent.median()),
        "median_adam_learning_rate": float(rates.median()),
        "adam_last_loss": result.adam_last_loss,
    }
    append_row(tables["students"], identity | scalars)
    participation = result.participation.tolist()
    for index, group in enumerate(result.coordinates):
        spread = participation[index] if index < len(participation) else math.nan
        eigen = {"index": index, "eigenvalue": float(result.eigenvalues[index]), "participation": spread}
        append_row(tables["hessian"], identity | eigen)
        coordinate = {"index": index, "group": group, "hessian_diagonal": float(result.hessian[index, index])}
        append_row(tables["coordinates"], identity | coordinate | {"adam_learning_rate": float(rates[index])})
