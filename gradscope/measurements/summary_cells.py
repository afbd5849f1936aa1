"""One row of a comparison as texts: norms at every length, what is carried, horizons, where a dtype loses it, verdict.

Over seeds it has medians with the smallest and the largest; no seed speaks for the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradscope.measurements.judgement import NO_REASON
from gradscope.measurements.lags import reference
from gradscope.measurements.verdict import MIXED, counted_verdicts, over_seeds
from gradscope.numerics.averages import NOTHING, Values, median_and_range, middle, with_range

Columns = Mapping[str, NDArray[Any]]  # of summary.csv, one entry for each seed and length of an architecture
TEXT_COLUMNS = (0, 3, -1)  # architecture, node and verdict: what is not a number
MOST_REASONS = 2
NOT_KNOWN = "?"  # a number that was not measured, where NOTHING would be an answer


@dataclass(frozen=True)
class SummaryRow:
    """Texts of one architecture over its seeds.

    Attributes:
        cells: One for each header; the verdict is the last.
        colours: The verdict behind each cell, or an empty text.
        verdict: At the longest length.
    """

    cells: list[str]
    colours: list[str]
    verdict: str


def summary_title(reference_lags: Iterable[int]) -> str:
    """What the numbers below the lengths are."""
    return f"log10 of the gradient norm at step 1, relative to {reference(reference_lags)}"


def summary_headers(lengths: Sequence[int], *, has_direct_path: bool) -> list[str]:
    """Names of the columns."""
    headers = ["architecture", "parameters", "state", "node", *(f"T={length}" for length in lengths)]
    headers += ["drop", "carried", "decades/step", "horizon", "weight horizon", "float32 lost", "float16 lost"]
    return [*headers, *(["lag 0→1"] if has_direct_path else []), "forecast", "verdict"]


def summary_row(label: str, columns: Columns, lengths: Sequence[int], *, has_direct_path: bool) -> SummaryRow:
    """The row of an architecture.

    Args:
        label: Of the architecture.
        columns: Its numbers.
        lengths: Ascending; the last one is what all but the norms are about.
        has_direct_path: Whether there is a column for the drop from lag 0 to 1.
    """
    longest = lengths[-1]
    last = _at_length(columns, longest)
    cells = [label, f"{int(last['parameters'][0]):,}", f"{int(last['state_size'][0]):,}", str(last["component"][0])]
    colours = [""] * len(cells)
    for length in lengths:
        here = _at_length(columns, length)
        cells.append(median_and_range(_numbers(here, "log10_relative_norm")))
        colours.append(over_seeds(map(str, here["verdict"])))
    cells += [median_and_range(_numbers(last, name)) for name in ("drop_decades", "carried_decades")]
    cells += [median_and_range(_numbers(last, "rate_decades_per_step"), digits=4)]
    cells += [_horizon(_numbers(last, "memory_horizon_steps"), longest)]
    cells.append(_steps(_numbers(last, "weight_gradient_horizon_steps"), NOTHING))  # there may be no such weights
    for column in ("float32_lost_steps_back", "float16_lost_steps_back"):
        cells.append(_steps(_numbers(last, column), NOT_KNOWN))
    cells += [median_and_range(_numbers(last, "log10_drop_lag_0_to_1"))] if has_direct_path else []
    cells.append(median_and_range(_numbers(last, "forecast")))
    colours += [""] * (len(cells) - len(colours))
    found = over_seeds(map(str, last["verdict"]))
    return SummaryRow([*cells, _verdict_cell(last, found)], [*colours, found], found)


def weight_gradient_norm(columns: Columns, length: int) -> float:
    """log10 of the recurrent weights' gradient at a length, the seeds' median."""
    return middle(_numbers(_at_length(columns, length), "log10_recurrent_weight_gradient_norm"))


def _at_length(columns: Columns, length: int) -> Columns:
    chosen = columns["length"] == length
    return {name: values[chosen] for name, values in columns.items()}


def _numbers(columns: Columns, name: str) -> Values:
    """NaN for a column that an earlier version's file lacks."""
    if name not in columns:
        return np.full(len(columns["length"]), math.nan)
    return np.asarray(columns[name], dtype=np.float64)


def _horizon(steps: Values, longest: int) -> str:
    """``226 [107 … > 1000], 1 of 4 beyond``; of an even number the lower of the two in the middle."""
    known = np.sort(steps[~np.isnan(steps)])
    if not len(known):
        return NOTHING

    def shown(value: float) -> str:
        return f"> {longest}" if np.isinf(value) else f"{value:.0f}"

    text = with_range(*(shown(float(value)) for value in (known[(len(known) - 1) // 2], known[0], known[-1])))
    beyond = int(np.isinf(known).sum())
    return f"{text}, {beyond} of {len(steps)} beyond" if 0 < beyond < len(steps) else text


def _steps(values: Values, without: str) -> str:
    """The median over the seeds that have such a step, and how many do where not all: inf is a seed without one."""
    values = values[~np.isnan(values)]
    if not len(values):
        return without
    finite = values[np.isfinite(values)]
    if not len(finite):
        return NOTHING
    text = with_range(*(f"{value:.0f}" for value in (middle(finite), finite.min(), finite.max())))
    return f"{text} ({len(finite)} of {len(values)} seeds)" if len(finite) < len(values) else text


def _verdict_cell(last: Columns, found: str) -> str:
    """The verdict with what explains it: how many seeds have which, the reason, a status that says more."""
    explained = [counted_verdicts(map(str, last["verdict"]))] if found == MIXED else _reasons(last)
    said = {"ok", "non-finite", *map(str, last["verdict"])}
    explained += sorted({str(status) for status in last["status"]} - said)
    return f"{found} ({', '.join(explained)})" if explained else found


def _reasons(last: Columns) -> list[str]:
    given = sorted({str(text) for text in last.get("reason", ())} - {NO_REASON, "nan"})
    return ["; ".join(given[:MOST_REASONS]) + ("; …" if len(given) > MOST_REASONS else "")] if given else []
