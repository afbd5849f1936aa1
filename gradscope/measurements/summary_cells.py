"""One row of a comparison as texts: norms at every length, rate, horizons, where a dtype loses the signal, verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradscope.measurements.lags import reference
from gradscope.measurements.verdict import Verdict, advice, verdict_of
from gradscope.numerics.averages import NOTHING, Values, finite_mean, mean_and_deviation

Columns = Mapping[str, NDArray[Any]]  # of summary.csv, one entry for each seed and length of an architecture
TEXT_COLUMNS = (0, 3, -1)  # architecture, node and verdict: what is not a number


@dataclass(frozen=True)
class SummaryRow:
    """Texts of one architecture over its seeds.

    Attributes:
        cells: One for each header; the verdict is the last.
        colours: The verdict behind each cell, or an empty text.
        verdict: At the longest length.
        hint: What to try; empty where nothing is wrong.
    """

    cells: list[str]
    colours: list[str]
    verdict: Verdict
    hint: str


def summary_title(reference_lags: Iterable[int]) -> str:
    """What the numbers below the lengths are."""
    return f"log10 of the gradient norm at step 1, relative to {reference(reference_lags)}"


def summary_headers(lengths: Sequence[int], *, has_direct_path: bool) -> list[str]:
    """Names of the columns."""
    headers = ["architecture", "parameters", "state", "node", *(f"T={length}" for length in lengths), "decades/step"]
    headers += ["horizon", "weight horizon", "float32 lost", "float16 lost"]
    return [*headers, *(["lag 0→1"] if has_direct_path else []), "verdict"]


def summary_row(
    label: str, columns: Columns, lengths: Sequence[int], *, has_direct_path: bool, clip_norm: float | None = None
) -> SummaryRow:
    """The row of an architecture.

    Args:
        label: Of the architecture.
        columns: Its numbers.
        lengths: Ascending; the last one is what all but the norms are about.
        has_direct_path: Whether there is a column for the drop from lag 0 to 1.
        clip_norm: The norm that gradients are clipped to, for the hint.
    """
    longest = lengths[-1]
    last = _at_length(columns, longest)
    component = str(last["component"][0])
    cells = [label, f"{int(last['parameters'][0]):,}", f"{int(last['state_size'][0]):,}", component]
    colours = [""] * len(cells)
    for length in lengths:
        relative = _numbers(_at_length(columns, length), "log10_relative_norm")
        cells.append(mean_and_deviation(relative))
        colours.append(_verdict_over_seeds(relative))
    cells += [mean_and_deviation(_numbers(last, "decades_per_step"), digits=4), _horizon(last, longest)]
    for column in ("weight_gradient_horizon_steps", "float32_lost_steps_back", "float16_lost_steps_back"):
        cells.append(_steps(_numbers(last, column)))
    cells += [mean_and_deviation(_numbers(last, "log10_drop_lag_0_to_1"))] if has_direct_path else []
    colours += [""] * (len(cells) - len(colours))
    found = row_verdict(last)
    weights = finite_mean(_numbers(last, "log10_recurrent_weight_gradient_norm"))
    hint = advice(label, found, longest, weights, clip_norm, component=component)
    return SummaryRow([*cells, _verdict_cell(last, found)], [*colours, found], found, hint)


def hint_line(label: str, found: str, hint: str) -> str:
    """What to try, as a sentence."""
    return f"{label} ({found}): try {hint}."


def row_verdict(last: Columns) -> Verdict:
    """The verdict over the seeds at one length: of their mean relative norm, saturated where a seed is."""
    if (last["verdict"] == "saturated").any():
        return "saturated"
    return _verdict_over_seeds(_numbers(last, "log10_relative_norm"))


def _at_length(columns: Columns, length: int) -> Columns:
    chosen = columns["length"] == length
    return {name: values[chosen] for name, values in columns.items()}


def _numbers(columns: Columns, name: str) -> Values:
    return np.asarray(columns[name], dtype=np.float64)


def _verdict_over_seeds(relative: Values) -> Verdict:
    return verdict_of(-math.inf if np.isneginf(relative).any() else finite_mean(relative))


def _horizon(last: Columns, longest: int) -> str:
    steps = _numbers(last, "horizon_steps")
    if np.isnan(steps).all():
        return NOTHING
    if last["horizon_censored"].astype(bool).any():
        return f"> {longest}"
    return f"{np.nanmean(steps):.0f}"


def _steps(values: Values) -> str:
    """The mean over the seeds that have such a step, and how many do where not all: inf is a seed without one."""
    values = values[~np.isnan(values)]
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return NOTHING
    some = f" ({len(finite)} of {len(values)} seeds)" if len(finite) < len(values) else ""
    return f"{finite.mean():.0f}{some}"


def _verdict_cell(last: Columns, found: str) -> str:
    troubles = sorted({str(status) for status in last["status"]} - {"ok", found})
    return f"{found} ({', '.join(troubles)})" if troubles else found
