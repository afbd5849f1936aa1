"""Pictures of a comparison, from the frames that the files hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gradscope.measurements.drawing import figure_with_axes, legend, limits_of_dtypes, line_styles
from gradscope.measurements.gradient_figure import exactly_zero_from, mark_end, profile
from gradscope.measurements.lags import reference


def plot_gradient_norms(gradients: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Relative norm against steps back at the longest length, one line an architecture, the seeds' range as a band."""
    longest = int(summary["length"].max())
    figure, axes = figure_with_axes(f"How far gradients travel back through {longest} steps")
    style = line_styles(list(summary["arch"]))
    for label, look in style.items():
        row = summary[(summary["arch"] == label) & (summary["length"] == longest)].iloc[0]
        mine = gradients[
            (gradients["arch"] == label)
            & (gradients["length"] == longest)
            & (gradients["component"] == row["component"])
        ]
        profile(axes, mine, int(row["reference_lag"]), look, label)
    limits_of_dtypes(axes)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlim(0, longest)
    axes.set_xlabel("steps back from the last one")
    axes.set_ylabel(f"gradient norm relative to {_two_lines(reference(summary['reference_lag']))}, log10")
    legend(figure, axes)
    return figure


def _two_lines(text: str) -> str:
    return text.replace(" (", "\n(")


def plot_length_sweep(summary: pd.DataFrame) -> Figure:
    """Relative norm at step 1 against the length, median and range over seeds."""
    figure, axes = figure_with_axes("Gradient at the first step against sequence length")
    for label, look in line_styles(list(summary["arch"])).items():
        values = summary[summary["arch"] == label].assign(
            value=lambda frame: frame["log10_relative_norm"].replace([-np.inf, np.inf], np.nan)
        )
        grouped = values.groupby("length")["value"]
        median, smallest, largest = grouped.median(), grouped.min(), grouped.max()
        norms = values.pivot_table(index="length", columns="seed", values="log10_norm_step_1", dropna=False)
        zero_from = exactly_zero_from(median.index.to_numpy(), norms.to_numpy(dtype=float))
        known = median.dropna()
        if known.empty:
            label += " (not finite)" if zero_from is None else " (exact zero)"
        elif zero_from is not None:
            mark_end(axes, known.index[-1], known.iloc[-1], look)
            label += f"\n(exact zero from T={zero_from} on)"
        axes.errorbar(
            median.index,
            median,
            yerr=[median - smallest, largest - median],
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


def pictures_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Profiles at the longest length, and the first step's gradient against the length."""
    return {
        "gradient_norms": plot_gradient_norms(tables["gradients"], tables["summary"]),
        "length_sweep": plot_length_sweep(tables["summary"]),
    }
