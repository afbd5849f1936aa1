"""Figures of gradient norms: profiles against steps back, and where they are exactly zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradscope.measurements.drawing import LineStyle, figure_with_axes, legend, line_styles

Array = NDArray[Any]


def profile(axes: Axes, mine: pd.DataFrame, reference_lag: int, look: LineStyle, label: str) -> None:
    """One line: the relative norm against steps back, median over the seeds, their range as a band."""
    if mine.empty:
        axes.plot([], [], color=look.colour, linestyle=look.line, label=f"{label} (not measured)")
        return
    by_seed = mine.pivot_table(index="steps_back", columns="seed", values="log10_norm", dropna=False).sort_index()
    lags, norms = by_seed.index.to_numpy(), by_seed.to_numpy(dtype=float)
    reference = norms[np.searchsorted(lags, min(reference_lag, lags[-1]))]
    with np.errstate(invalid="ignore"):
        relative = norms - reference
    relative[~np.isfinite(relative)] = math.nan
    known = ~np.isnan(relative).all(axis=1)
    zero_from = exactly_zero_from(lags, norms)
    if not known.any():
        what = "not finite" if zero_from is None else "exact zero"
        axes.plot([], [], color=look.colour, linestyle=look.line, label=f"{label} ({what})")
        return
    lags, relative = lags[known], relative[known]
    median = np.nanmedian(relative, axis=1)
    if zero_from is not None:
        mark_end(axes, lags[-1], median[-1], look)
        label += f"\n(exact zero from {zero_from} {'step' if zero_from == 1 else 'steps'} back)"
    axes.plot(
        lags,
        median,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markevery=0.13,
        markersize=5,
        label=label,
    )
    axes.fill_between(
        lags, np.nanmin(relative, axis=1), np.nanmax(relative, axis=1), color=look.colour, alpha=0.15, linewidth=0
    )


def exactly_zero_from(places: Array, log10_norms: Array) -> int | None:
    """The place from which on every seed's norm is exactly zero, to the last; None where it is not.

    Args:
        places: Lags or lengths, ``(places,)``.
        log10_norms: ``(places, seeds)``; a seed without a number does not count.
    """
    zero = np.asarray(np.isneginf(log10_norms).any(axis=1) & ~np.isfinite(log10_norms).any(axis=1))
    if not zero[-1]:
        return None
    others = np.flatnonzero(~zero)
    return int(places[others[-1] + 1 if len(others) else 0])


def mark_end(axes: Axes, x: float, y: float, look: LineStyle) -> None:
    """A hollow triangle where a line ends because there is no logarithm of what follows."""
    axes.plot(
        [x], [y], color=look.colour, linestyle="none", marker="v", markersize=8, markerfacecolor="none", clip_on=False
    )


def plot_profiles(frame: pd.DataFrame, component: str, reference_lag: int, relative_to: str, **options: Any) -> Figure:
    """Relative norm of one component against steps back, one line a length.

    Args:
        frame: Of a measurement, the rows of the component.
        component: Its name.
        reference_lag: The lag that norms are shown relative to.
        relative_to: The same in words.
        options: Passed on to matplotlib's ``Figure``.
    """
    figure, axes = figure_with_axes(f"∂L/∂{component}", **options)
    for length, look in line_styles([str(length) for length in frame["length"].unique()]).items():
        mine = frame[frame["length"] == int(length)]
        profile(axes, mine.assign(seed=0), reference_lag, look, f"T={length}")
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlabel("steps back from the last one")
    axes.set_ylabel(f"gradient norm relative to {relative_to}, log10")
    legend(figure, axes)
    return figure
