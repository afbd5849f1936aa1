"""Singular values of a way back through time against its length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradscope.measurements.drawing import figure_with_axes, legend, limits_of_dtypes, line_styles

FINE = (0, (1, 1.5))  # the line of smallest singular values
Array = NDArray[np.float64]


def plot_singular_values(frame: pd.DataFrame, title: str, **options: Any) -> Figure:
    """The largest and the smallest one, a pair of lines for each ``arch``, means over seeds and samples.

    Args:
        frame: Columns ``arch``, ``seed``, ``sample``, ``steps_back``, and their logarithms.
        title: Above the picture.
        options: Passed on to matplotlib's ``Figure``.
    """
    figure, axes = figure_with_axes(title, **options)
    lowest = highest = 0.0
    for label, look in line_styles(list(frame["arch"])).items():
        mine = frame[frame["arch"] == label]
        lags, values = _mean_by_lag(mine, "log10_smallest_singular_value")
        axes.plot(lags, values, color=look.colour, linestyle=FINE, linewidth=0.8)
        lags, values = _mean_by_lag(mine, "log10_largest_singular_value")
        lowest, highest = min(lowest, values.min(initial=0.0)), max(highest, values.max(initial=0.0))
        axes.plot(
            lags,
            values,
            color=look.colour,
            linestyle=look.line,
            linewidth=1.8,
            marker=look.marker,
            markevery=0.13,
            markersize=5,
            label=label if len(lags) else f"{label} (not finite)",
        )
    axes.plot([], [], color="0.3", linewidth=1.8, label="largest")
    axes.plot([], [], color="0.3", linewidth=0.8, linestyle=FINE, label="smallest")
    axes.set_ylim(min(-2.0, 1.6 * lowest), max(1.0, 1.2 * highest))
    limits_of_dtypes(axes)
    axes.set_xlabel("steps back, T − t")
    axes.set_ylabel("singular value, log10")
    legend(figure, axes)
    return figure


def _mean_by_lag(mine: pd.DataFrame, column: str) -> tuple[Array, Array]:
    """Mean over seeds and samples; what has no number at all is left out, as are lags with a zero."""
    table = mine.pivot_table(index="steps_back", columns=["seed", "sample"], values=column, dropna=False).sort_index()
    values = table.to_numpy(dtype=float)
    values = values[:, ~np.isnan(values).all(axis=0)]
    if values.shape[1] == 0:
        return np.zeros(0), np.zeros(0)
    finite = np.isfinite(values).all(axis=1)
    return table.index.to_numpy(dtype=np.float64)[finite], values[finite].mean(axis=1)
