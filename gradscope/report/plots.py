"""Pictures of a comparison, from the frames that the files hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradscope.measurements.results import GradientNorms
from gradscope.measurements.summary import LOST_BELOW
from gradscope.report.frames import gradient_frame
from gradscope.report.sentences import reference
from gradscope.report.style import Look, looks

Array = NDArray[Any]
PER_LEGEND_COLUMN = 18
BEHIND_TEXT = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}  # curves pass there too


def plot_gradient_norms(gradients: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Relative norm against steps back at the longest length, one line an architecture, the seeds' range as a band."""
    longest = int(summary["length"].max())
    figure, axes = figure_with_axes(f"How far gradients travel back through {longest} steps")
    style = looks(list(summary["arch"]))
    for label, look in style.items():
        row = summary[(summary["arch"] == label) & (summary["length"] == longest)].iloc[0]
        mine = gradients[
            (gradients["arch"] == label)
            & (gradients["length"] == longest)
            & (gradients["component"] == row["component"])
        ]
        _profile(axes, mine, int(row["reference_lag"]), look, label)
    limits_of_dtypes(axes)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlim(0, longest)
    axes.set_xlabel("steps back from the last one")
    axes.set_ylabel(f"gradient norm relative to {_two_lines(reference(summary['reference_lag']))}, log10")
    legend(figure, axes)
    return figure


def _two_lines(text: str) -> str:
    return text.replace(" (", "\n(")


def _profile(axes: Axes, mine: pd.DataFrame, reference_lag: int, look: Look, label: str) -> None:
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
    zero_from = _zero_from(lags, norms)
    if not known.any():
        what = "not finite" if zero_from is None else "exact zero"
        axes.plot([], [], color=look.colour, linestyle=look.line, label=f"{label} ({what})")
        return
    lags, relative = lags[known], relative[known]
    mean = np.nanmean(relative, axis=1)
    if zero_from is not None:
        _mark_end(axes, lags[-1], mean[-1], look)
        label += f"\n(exact zero from {zero_from} {'step' if zero_from == 1 else 'steps'} back)"
    axes.plot(
        lags,
        mean,
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


def _zero_from(places: Array, log10_norms: Array) -> int | None:
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


def _mark_end(axes: Axes, x: float, y: float, look: Look) -> None:
    """A hollow triangle where a line ends because there is no logarithm of what follows."""
    axes.plot(
        [x], [y], color=look.colour, linestyle="none", marker="v", markersize=8, markerfacecolor="none", clip_on=False
    )


def limits_of_dtypes(axes: Axes) -> None:
    """Where a gradient of size 1 at the reference is lost, as far as it is in sight."""
    low, _ = axes.get_ylim()
    for place, (dtype, limit) in enumerate(sorted(LOST_BELOW.items(), key=lambda item: -item[1])):
        if low < limit:
            axes.axhline(limit, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)))
            axes.annotate(
                f"below: 0 in {dtype}",
                (0, limit),
                xycoords=("axes fraction", "data"),
                xytext=(6 + 84 * place, -11),  # side by side, for the limits coincide where thousands of decades show
                textcoords="offset points",
                fontsize=8,
                color="0.3",
                bbox=BEHIND_TEXT,
            )


def plot_length_sweep(summary: pd.DataFrame) -> Figure:
    """Relative norm at step 1 against the length, mean and deviation over seeds."""
    figure, axes = figure_with_axes("Gradient at the first step against sequence length")
    for label, look in looks(list(summary["arch"])).items():
        values = summary[summary["arch"] == label].assign(
            value=lambda frame: frame["log10_relative_norm"].replace([-np.inf, np.inf], np.nan)
        )
        grouped = values.groupby("length")["value"]
        mean, deviation = grouped.mean(), grouped.std().fillna(0.0)
        norms = values.pivot_table(index="length", columns="seed", values="log10_norm_step_1", dropna=False)
        zero_from = _zero_from(mean.index.to_numpy(), norms.to_numpy(dtype=float))
        known = mean.dropna()
        if known.empty:
            label += " (not finite)" if zero_from is None else " (exact zero)"
        elif zero_from is not None:
            _mark_end(axes, known.index[-1], known.iloc[-1], look)
            label += f"\n(exact zero from T={zero_from} on)"
        axes.errorbar(
            mean.index,
            mean,
            yerr=deviation,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=5,
            capsize=3,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_xlabel("sequence length T")
    axes.set_ylabel(f"gradient norm at step 1 relative to {_two_lines(reference(summary['reference_lag']))}, log10")
    limits_of_dtypes(axes)
    legend(figure, axes)
    return figure


def plot_result(result: GradientNorms, **options: Any) -> Figure:
    """Relative norm of the primary component against steps back, one line a length.

    Args:
        result: The measurement.
        options: Passed on to matplotlib's ``Figure``.
    """
    frame = gradient_frame(result)
    figure, axes = figure_with_axes(f"∂L/∂{result.primary_component}", **options)
    for length, look in looks([str(length) for length in result.lengths]).items():
        mine = frame[(frame["component"] == result.primary_component) & (frame["length"] == int(length))]
        _profile(axes, mine.assign(seed=0), result.reference_lag, look, f"T={length}")
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlabel("steps back from the last one")
    axes.set_ylabel(f"gradient norm relative to {reference([result.reference_lag])}, log10")
    legend(figure, axes)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes ``path.png`` and ``path.svg``, the same bytes for the same picture."""
    with mpl.rc_context({"svg.hashsalt": "gradscope", "svg.fonttype": "none"}):
        figure.savefig(path.with_suffix(".png"), dpi=160, format="png")
        figure.savefig(path.with_suffix(".svg"), format="svg", metadata={"Date": None})


def figure_with_axes(title: str, **options: Any) -> tuple[Figure, Axes]:
    """A figure with one pair of axes in the house style."""
    figure = Figure(**{"figsize": (8.4, 4.8), "layout": "constrained", **options})
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0, color="0.6", linewidth=0.8)
    return figure, axes


def legend(figure: Figure, axes: Axes) -> None:
    """Beside the axes, in as many columns as it needs."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 + (len(labels) - 1) // PER_LEGEND_COLUMN
    figure.set_size_inches(figure.get_figwidth() + 1.6 * (columns - 1), figure.get_figheight())
    figure.legend(
        handles, labels, loc="outside right upper", ncols=columns, handlelength=3.2, frameon=False, fontsize=9
    )
