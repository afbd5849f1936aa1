"""Lyapunov exponents by rank."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from gradscope.measurements.drawing import figure_with_axes, legend, line_styles

GROWTH_TICKS = (3.0, 2.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.0, 0.98, 0.95, 0.9, 0.8, 0.5, 0.2, 0.1, 0.01, 1e-3, 1e-4)
LOWEST_EXPONENT = -10.0
Array = NDArray[np.float64]


def plot_exponents(lyapunov: pd.DataFrame, **options: Any) -> Figure:
    """All exponents by rank, one line for each ``arch``: which share of the directions keeps, which forgets.

    Args:
        lyapunov: Columns ``arch``, ``seed``, ``sample`` and ``exponent_nats_per_step``.
        options: Passed on to matplotlib's ``Figure``.
    """
    figure, axes = figure_with_axes("Lyapunov exponents: what the long run does to each direction", **options)
    lowest, highest = -0.5, 0.12
    for label, look in line_styles(list(lyapunov["arch"])).items():
        ranks, low, mean, high, null = _by_rank(lyapunov[lyapunov["arch"] == label])
        if len(mean) == 0:
            axes.plot(
                [],
                [],
                color=look.colour,
                linestyle=look.line,
                label=f"{label} ({'all null' if null else 'not finite'})",
            )
            continue
        lowest, highest = min(lowest, float(low.min())), max(highest, float(high.max()))
        axes.plot(
            ranks,
            mean,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markevery=max(1, len(ranks) // 8),
            markersize=5,
            label=f"{label} ({null:.0%} null)" if null else label,
        )
        axes.fill_between(ranks, low, high, color=look.colour, alpha=0.15, linewidth=0)
    limits = (1.3 * max(lowest, LOWEST_EXPONENT), 1.2 * highest)
    growth = axes.twinx()
    for side in (axes, growth):
        side.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        side.set_ylim(*limits)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ticks = [tick for tick in GROWTH_TICKS if limits[0] < math.log(tick) < limits[1]]
    growth.set_yticks([math.log(tick) for tick in ticks], [f"×{tick:g}" for tick in ticks])
    growth.minorticks_off()
    growth.spines["top"].set_visible(False)
    growth.set_ylabel("growth a step")
    axes.set_xlabel("share of the directions of the state, the slowest first")
    axes.set_ylabel("exponent in nats a step: above 0 expands, below contracts")
    legend(figure, axes)
    return figure


def _by_rank(mine: pd.DataFrame) -> tuple[Array, Array, Array, Array, float]:
    """Rank in (0, 1], lowest, mean and highest exponent over seeds and samples, and the share of null directions."""
    ordered = []
    for _, group in mine.groupby(["seed", "sample"]):
        values = np.sort(group["exponent_nats_per_step"].to_numpy(dtype=float))[::-1]
        ordered += [values[~np.isnan(values)]] if not np.isnan(values).all() else []
    count = min((len(values) for values in ordered), default=0)
    table = np.array([values[:count] for values in ordered]).reshape(len(ordered), count)
    finite = np.isfinite(table).all(axis=0)
    null = float(1 - finite.mean()) if count else 0.0
    table = table[:, finite]
    ranks = (np.arange(count)[finite] + 1) / max(1, count)
    if table.size == 0:
        empty = np.zeros(0)
        return empty, empty, empty, empty, null
    return ranks, table.min(axis=0), table.mean(axis=0), table.max(axis=0), null
