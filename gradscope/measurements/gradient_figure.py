"""The picture of one gradient measurement."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gradscope.measurements.drawing import figure_with_axes, legend, looks, profile


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
    for length, look in looks([str(length) for length in frame["length"].unique()]).items():
        mine = frame[frame["length"] == int(length)]
        profile(axes, mine.assign(seed=0), reference_lag, look, f"T={length}")
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlabel("steps back from the last one")
    axes.set_ylabel(f"gradient norm relative to {relative_to}, log10")
    legend(figure, axes)
    return figure
