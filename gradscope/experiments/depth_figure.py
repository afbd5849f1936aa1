"""Signal propagation through one network, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradscope.measurements.drawing import figure_with_axes, legend, line_styles


def plot_layers(frame: pd.DataFrame, **options: Any) -> Figure:
    """Output power and squared gradients against the layer, one line a group.

    Args:
        frame: Columns ``recurrence``, ``lambda_modulus``, ``layer``, ``group`` and ``measured``.
        options: Passed on to matplotlib's ``Figure``.
    """
    name, modulus = frame["recurrence"].iloc[0], frame["lambda_modulus"].iloc[0]
    figure, axes = figure_with_axes(f"Signal propagation at initialisation, {name}, |λ| ≥ {modulus:g}", **options)
    for group, look in line_styles(list(frame["group"])).items():
        mine = frame[(frame["group"] == group) & (frame["measured"] > 0) & np.isfinite(frame["measured"])]
        label = "output" if group == "state" else f"∂L/∂θ, {group}"
        axes.plot(
            mine["layer"] + 1,
            mine["measured"],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=5,
            label=label if len(mine) else f"{label} (zero or not finite)",
        )
    if any(np.size(line.get_xdata()) for line in axes.lines[1:]):  # the first one is the axis at zero
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer, from the bottom")
    axes.set_ylabel("mean square")
    legend(figure, axes)
    return figure
