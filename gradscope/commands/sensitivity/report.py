"""How a run of ``gradscope sensitivity`` is shown: the curse of memory, depth and curvature, each where measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.table import Table

from gradscope.commands.sensitivity.columns import STATE
from gradscope.commands.sensitivity.options import SensitivityConfiguration
from gradscope.commands.sensitivity.table import findings, sensitivity_markdown, sensitivity_table
from gradscope.running.command import Report
from gradscope.running.grammar import listed
from gradscope.running.layout import markdown_table, rich_table

OWN_GROUPS = ("lambda", "magnitude", "angle")  # of the recurrence itself
DEPTH_TITLE = "Signal propagation at initialisation, layer by layer"
DEPTH_LEGEND = (
    "Mean squares of each recurrence's output and of the loss's gradient, mean over the parameters of a group; layer 1 "
    "is the bottom one. Growth: decades from the first λ to the last, in the top layer."
)
HESSIAN_TITLE = "Curvature at the optimum of the linear teacher–student task"
HESSIAN_LEGEND = (
    "Diagonal share: Σ H_ii² / ‖H‖²; near 1 a learning rate for each coordinate, as Adam's, undoes the curvature. "
    "Adam's rate: lr/(√v̂ + ε) after 200 steps beside the optimum with lr 0.001. Medians over seeds."
)
DIAGONAL = 0.9  # share from which a student is called diagonal


def depth_rows(depth: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headers and texts: each recurrence's groups at both ends of the sweep, bottom and top."""
    first, last, top = depth["lambda_modulus"].min(), depth["lambda_modulus"].max(), int(depth["layer"].max())
    ends = [(modulus, layer) for modulus in dict.fromkeys((first, last)) for layer in dict.fromkeys((0, top))]
    headers = ["recurrence", "mean square of"] + [f"layer {layer + 1}, λ={modulus:g}" for modulus, layer in ends]
    rows = []
    for (recurrence, group), mine in depth.groupby(["recurrence", "group"], sort=False):
        at = mine.set_index(["lambda_modulus", "layer"])["measured"]
        name = "output" if group == STATE else f"∂L/∂θ, {group}"
        growth = growth_decades(mine)
        rows.append([str(recurrence), name, *(f"{at[end]:.3g}" for end in ends), _decades(growth)])
    return [*headers, "growth"], rows


def growth_decades(rows: pd.DataFrame) -> float:
    """log10 of what the top layer's mean square grows by over the sweep."""
    top = rows[rows["layer"] == rows["layer"].max()].sort_values("lambda_modulus")["measured"]
    first, last = float(top.iloc[0]), float(top.iloc[-1])
    return math.log10(last) - math.log10(first) if first > 0 and last > 0 else math.nan


def _decades(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}"


def depth_table(depth: pd.DataFrame) -> Table:
    """One row a recurrence and group."""
    return rich_table(DEPTH_TITLE, *depth_rows(depth), caption=DEPTH_LEGEND, texts=(0, 1))


def depth_markdown(depth: pd.DataFrame) -> str:
    """The same as GitHub Markdown."""
    return f"{markdown_table(*depth_rows(depth))}\n\n{DEPTH_LEGEND}"


def depth_findings(depth: pd.DataFrame) -> list[str]:
    """Where the gradients of the recurrence's own parameters grow with memory."""
    if depth["lambda_modulus"].nunique() < 2:
        return []
    grown = []
    for recurrence, mine in depth.groupby("recurrence", sort=False):
        own = {str(g): growth_decades(rows) for g, rows in mine.groupby("group", sort=False) if g in OWN_GROUPS}
        group, decades = max(own.items(), key=lambda item: item[1])
        grown.append(f"{decades:+.1f} decades in {recurrence} ({group})")
    first, last = depth["lambda_modulus"].min(), depth["lambda_modulus"].max()
    layers = int(depth["layer"].max()) + 1
    return [
        f"Through {layers} blocks at initialisation, from λ={first:g} to {last:g}, the squared gradient of the "
        f"recurrence grows by {listed(grown)}."
    ]


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
    title = f"{HESSIAN_TITLE}, λ* = {students['teacher'].iloc[0]:g}, T = {students['length'].iloc[0]}"
    return rich_table(title, *hessian_rows(students), caption=HESSIAN_LEGEND)


def hessian_markdown(students: pd.DataFrame) -> str:
    """The same as GitHub Markdown."""
    return f"{markdown_table(*hessian_rows(students))}\n\n{HESSIAN_LEGEND}"


def hessian_findings(students: pd.DataFrame) -> list[str]:
    """Whom a learning rate for each coordinate serves."""
    shares = students.groupby("student", sort=False)["diagonal_share"].median()
    shown = [f"{share:.1%} for {student}" for student, share in shares.items()]
    served = [str(student) for student, share in shares.items() if share >= DIAGONAL]
    sentence = f"Of the Hessian's mass, the diagonal holds {listed(shown)}"
    if not served:
        return [f"{sentence}: no student's curvature is undone by a learning rate for each coordinate."]
    return [f"{sentence}: a learning rate for each coordinate, as Adam's, undoes the curvature of {listed(served)}."]


def report_of(configuration: SensitivityConfiguration) -> Report:
    """Tables, Markdown and sentences of everything that was measured."""
    parts: dict[str, tuple[Any, Any, Any]] = {
        "summary": (sensitivity_table, sensitivity_markdown, findings),
        "depth": (depth_table, depth_markdown, depth_findings),
        "students": (hessian_table, hessian_markdown, hessian_findings),
    }

    def each(kind: int, tables: Mapping[str, pd.DataFrame]) -> list[Any]:
        return [functions[kind](tables[name]) for name, functions in parts.items() if len(tables[name])]

    return Report(
        tables=lambda tables, deviations: each(0, tables),
        markdown=lambda tables: "\n\n".join(each(1, tables)),
        findings=lambda tables: [sentence for sentences in each(2, tables) for sentence in sentences],
        shown=tuple(parts),
    )
