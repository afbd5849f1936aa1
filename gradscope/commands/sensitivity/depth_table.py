"""Signal propagation in depth as a Rich table, as Markdown and in sentences."""

from __future__ import annotations

import math

import pandas as pd
from rich.table import Table

from gradscope.running.grammar import listed
from gradscope.running.layout import markdown_table, rich_table

STATE = "state"
OWN_GROUPS = ("lambda", "magnitude", "angle")  # of the recurrence itself
TITLE = "Signal propagation at initialisation, layer by layer"
LEGEND = (
    "Mean squares of each recurrence's output and of the loss's gradient, mean over the parameters of a group; layer 1 "
    "is the bottom one. Growth: decades from the first λ to the last, in the top layer."
)


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
    return rich_table(TITLE, *depth_rows(depth), caption=LEGEND, texts=(0, 1))


def depth_markdown(depth: pd.DataFrame) -> str:
    """The same as GitHub Markdown."""
    return f"{markdown_table(*depth_rows(depth))}\n\n{LEGEND}"


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
