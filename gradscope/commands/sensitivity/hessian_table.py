"""Curvature of the linear students as a Rich table, as Markdown and in sentences."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from gradscope.running.grammar import listed
from gradscope.running.layout import markdown_table, rich_table

TITLE = "Curvature at the optimum of the linear teacher–student task"
LEGEND = (
    "Diagonal share: Σ H_ii² / ‖H‖²; near 1 a learning rate for each coordinate, as Adam's, undoes the curvature. "
    "Adam's rate: lr/(√v̂ + ε) after 200 steps beside the optimum with lr 0.001. Medians over seeds."
)
DIAGONAL = 0.9  # share from which a student is called diagonal


def hessian_rows(students: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headers and texts, one row a student."""
    headers = ["student", "parameters", "rank", "largest eigenvalue", "diagonal share"]
    headers += ["Adam's rate, recurrence", "all parameters", "Adam's last loss"]
    rows = []
    for student, mine in students.groupby("student", sort=False):
        median = mine.median(numeric_only=True)
        rows.append(
            [
                str(student),
                f"{median['parameters']:.0f}",
                f"{median['rank']:.0f}",
                f"{median['largest_eigenvalue']:.3g}",
                f"{median['diagonal_share']:.4f}",
                f"{median['median_recurrent_adam_learning_rate']:.2g}",
                f"{median['median_adam_learning_rate']:.2g}",
                f"{median['adam_last_loss']:.1g}",
            ]
        )
    return headers, rows


def hessian_table(students: pd.DataFrame) -> Table:
    """One row a student."""
    title = f"{TITLE}, λ* = {students['teacher'].iloc[0]:g}, T = {students['length'].iloc[0]}"
    return rich_table(title, *hessian_rows(students), caption=LEGEND)


def hessian_markdown(students: pd.DataFrame) -> str:
    """The same as GitHub Markdown."""
    return f"{markdown_table(*hessian_rows(students))}\n\n{LEGEND}"


def hessian_findings(students: pd.DataFrame) -> list[str]:
    """Whom a learning rate for each coordinate serves."""
    shares = students.groupby("student", sort=False)["diagonal_share"].median()
    shown = [f"{share:.1%} for {student}" for student, share in shares.items()]
    served = [str(student) for student, share in shares.items() if share >= DIAGONAL]
    sentence = f"Of the Hessian's mass, the diagonal holds {listed(shown)}"
    if not served:
        return [f"{sentence}: no student's curvature is undone by a learning rate for each coordinate."]
    return [f"{sentence}: a learning rate for each coordinate, as Adam's, undoes the curvature of {listed(served)}."]
