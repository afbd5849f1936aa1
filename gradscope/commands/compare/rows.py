"""The rows of a comparison: one for each architecture, over its seeds, as texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gradscope.measurements.advice import Trial, advice, clipping
from gradscope.measurements.summary_cells import Columns, summary_headers, summary_row, weight_gradient_norm
from gradscope.numerics.averages import NOTHING


@dataclass(frozen=True)
class Comparison:
    """A table of texts.

    Attributes:
        headers: Names of the columns.
        rows: One list of cells a row.
        colours: The verdict behind each cell, or an empty text.
        advice: A sentence for each row where something is wrong: what was tried, and what clipping would do.
    """

    headers: list[str]
    rows: list[list[str]]
    colours: list[list[str]]
    advice: list[str]


def comparison(
    summary: pd.DataFrame,
    tried: pd.DataFrame | None = None,
    *,
    relative_to: str | None = None,
    clip_norm: float | None = None,
) -> Comparison:
    """The table's content from the columns of ``summary.csv`` and, where something was tried, of ``advice.csv``."""
    lengths = sorted(summary["length"].unique())
    has_direct_path = bool((summary["reference_lag"] > 0).any())
    headers = summary_headers(lengths, has_direct_path=has_direct_path)
    headers[-1:-1] = [f"∂h₁ ÷ {relative_to}", f"∂U ÷ {relative_to}"] if relative_to else []
    table = Comparison(headers, [], [], [])
    for label in summary["arch"].unique():
        mine = summary[summary["arch"] == label]
        columns = columns_of(mine)
        row = summary_row(label, columns, lengths, has_direct_path=has_direct_path)
        if relative_to:
            row.cells[-1:-1] = _ratios(mine, summary[summary["arch"] == relative_to], lengths[-1])
            row.colours[-1:-1] = ["", ""]
        table.rows.append(row.cells)
        table.colours.append(row.colours)
        said = [advice(trials_of(tried, str(label)))] if tried is not None else []
        if row.verdict == "exploding":
            said.append(clipping(weight_gradient_norm(columns, lengths[-1]), clip_norm))
        if any(said):
            table.advice.append(f"{label} ({row.verdict}): {'; '.join(text for text in said if text)}.")
    return table


def trials_of(tried: pd.DataFrame, label: str) -> list[Trial]:
    """What was tried in place of an architecture, in its order."""
    mine = tried[tried["arch"] == label]
    return [
        Trial(
            str(candidate),
            tuple(map(str, mine.loc[mine["candidate"] == candidate, "candidate_verdict"])),
            tuple(map(float, mine.loc[mine["candidate"] == candidate, "carried_decades"])),
        )
        for candidate in mine["candidate"].unique()
    ]


def columns_of(rows: pd.DataFrame) -> Columns:
    """The columns as arrays."""
    return {str(name): rows[name].to_numpy() for name in rows}


def _ratios(mine: pd.DataFrame, base: pd.DataFrame, longest: int) -> list[str]:
    """Of the gradients at step 1 and of the recurrent weights' gradients, seed by seed."""
    last, at = (rows[rows["length"] == longest].set_index("seed") for rows in (mine, base))
    names = ("log10_norm_step_1", "log10_recurrent_weight_gradient_norm")
    return [_ratio(last[name], at[name]) for name in names]


def _ratio(mine: pd.Series, base: pd.Series) -> str:
    difference = (mine - base).to_numpy(dtype=float)
    finite = difference[np.isfinite(difference)]
    return f"10^{finite.mean():+.1f}" if len(finite) else NOTHING
