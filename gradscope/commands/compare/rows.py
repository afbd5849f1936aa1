"""The rows of a comparison: one for each architecture, over its seeds, as texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gradscope.measurements.diagnosis import Verdict, advice, verdict_of
from gradscope.numerics.over_seeds import NOTHING, Values, finite_mean, mean_and_deviation


@dataclass(frozen=True)
class Comparison:
    """A table of texts.

    Attributes:
        headers: Names of the columns.
        rows: One list of cells a row.
        colours: The verdict behind each cell, or an empty text.
        advice: Label, verdict and what to try, for the rows where something is wrong.
    """

    headers: list[str]
    rows: list[list[str]]
    colours: list[list[str]]
    advice: list[tuple[str, str, str]]


def comparison(summary: pd.DataFrame, *, relative_to: str | None = None, clip_norm: float | None = None) -> Comparison:
    """The table's content from the columns of ``summary.csv``."""
    lengths = sorted(summary["length"].unique())
    has_direct_path = bool((summary["reference_lag"] > 0).any())
    headers = ["architecture", "parameters", "state", "node", *(f"T={length}" for length in lengths), "decades/step"]
    headers += ["horizon", "weight horizon", "float32 lost", "float16 lost"]
    headers += ["lag 0→1"] if has_direct_path else []
    headers += [f"∂h₁ ÷ {relative_to}", f"∂U ÷ {relative_to}"] if relative_to else []
    headers += ["verdict"]
    base = summary[summary["arch"] == relative_to] if relative_to else None
    table = Comparison(headers, [], [], [])
    for label in summary["arch"].unique():
        _add_row(table, summary[summary["arch"] == label], lengths, has_direct_path, base, clip_norm)
    return table


def _add_row(
    table: Comparison,
    mine: pd.DataFrame,
    lengths: list[int],
    has_direct_path: bool,
    base: pd.DataFrame | None,
    clip_norm: float | None,
) -> None:
    label, longest = str(mine["arch"].iloc[0]), lengths[-1]
    last = mine[mine["length"] == longest]
    cells = [label, f"{int(last['parameters'].iloc[0]):,}", f"{int(last['state_size'].iloc[0]):,}"]
    cells.append(str(last["component"].iloc[0]))
    colours = [""] * 4
    for length in lengths:
        relative = mine.loc[mine["length"] == length, "log10_relative_norm"].to_numpy(dtype=float)
        cells.append(mean_and_deviation(relative))
        colours.append(_verdict_over_seeds(relative))
    cells += [mean_and_deviation(last["decades_per_step"].to_numpy(dtype=float), digits=4), _horizon(last, longest)]
    cells += [_steps(last["weight_gradient_horizon_steps"]), _steps(last["float32_lost_steps_back"])]
    cells += [_steps(last["float16_lost_steps_back"])]
    cells += [mean_and_deviation(last["log10_drop_lag_0_to_1"].to_numpy(dtype=float))] if has_direct_path else []
    if base is not None:
        at = base[base["length"] == longest].set_index("seed")
        for column in ("log10_norm_step_1", "log10_recurrent_weight_gradient_norm"):
            cells.append(_ratio(last.set_index("seed")[column], at[column]))
    found = row_verdict(last)
    cells.append(_verdict_cell(last, found))
    table.rows.append(cells)
    table.colours.append(colours + [""] * (len(cells) - len(colours) - 1) + [found])
    weights = finite_mean(last["log10_recurrent_weight_gradient_norm"].to_numpy(dtype=float))
    hint = advice(label, found, longest, weights, clip_norm, component=str(last["component"].iloc[0]))
    if hint:
        table.advice.append((label, found, hint))


def row_verdict(last: pd.DataFrame) -> Verdict:
    """The verdict over the seeds: of their mean relative norm, saturated where a seed is."""
    if (last["verdict"] == "saturated").any():
        return "saturated"
    return _verdict_over_seeds(last["log10_relative_norm"].to_numpy(dtype=float))


def _verdict_over_seeds(relative: Values) -> Verdict:
    return verdict_of(-math.inf if np.isneginf(relative).any() else finite_mean(relative))


def _horizon(last: pd.DataFrame, longest: int) -> str:
    steps = last["horizon_steps"].to_numpy(dtype=float)
    if np.isnan(steps).all():
        return NOTHING
    if last["horizon_censored"].astype(bool).any():
        return f"> {longest}"
    return f"{np.nanmean(steps):.0f}"


def _steps(column: pd.Series) -> str:
    """The mean over the seeds that have such a step, and how many do where not all: inf is a seed without one."""
    values = column.to_numpy(dtype=float)
    values = values[~np.isnan(values)]
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return NOTHING
    some = f" ({len(finite)} of {len(values)} seeds)" if len(finite) < len(values) else ""
    return f"{finite.mean():.0f}{some}"


def _ratio(mine: pd.Series, base: pd.Series) -> str:
    difference = (mine - base).to_numpy(dtype=float)
    finite = difference[np.isfinite(difference)]
    return f"10^{finite.mean():+.1f}" if len(finite) else NOTHING


def _verdict_cell(last: pd.DataFrame, found: str) -> str:
    troubles = sorted({str(status) for status in last["status"]} - {"ok", found})
    return f"{found} ({', '.join(troubles)})" if troubles else found
