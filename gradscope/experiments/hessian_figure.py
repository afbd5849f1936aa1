"""Curvature of linear students: how it is spread, and what Adam makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradscope.measurements.drawing import line_styles

SMALLEST = 1e-8  # of the largest eigenvalue, what is drawn


def plot_curvature(
    hessian: pd.DataFrame, coordinates: pd.DataFrame, students: pd.DataFrame, *, title: str, **options: Any
) -> Figure:
    """The spectrum of the first seed's Hessians, and Adam's rate of each coordinate against its own curvature.

    Args:
        hessian: Eigenvalues, a row each.
        coordinates: A row each.
        students: A row each.
        title: Above the picture.
        options: Passed on to matplotlib's ``Figure``.
    """
    seed = int(students["seed"].iloc[0])
    figure = Figure(**{"figsize": (10.4, 4.6), "layout": "constrained", **options})
    left, right = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=11)
    shares = students[students["seed"] == seed].set_index("student")["diagonal_share"]
    largest = float(hessian["eigenvalue"].max())
    for student, look in line_styles(list(shares.index)).items():
        mine = hessian[(hessian["student"] == student) & (hessian["seed"] == seed)].sort_values("index")
        drawn = mine[mine["eigenvalue"] > SMALLEST * largest]
        label = f"{student}: {shares[student]:.0%} on the diagonal"
        left.plot(
            drawn["index"] + 1,
            drawn["eigenvalue"],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            label=label,
        )
        here = coordinates[(coordinates["student"] == student) & (coordinates["seed"] == seed)]
        here = here[np.isfinite(here["adam_learning_rate"])]
        right.plot(
            here["hessian_diagonal"],
            here["adam_learning_rate"],
            color=look.colour,
            linestyle="",
            marker=look.marker,
            label=student if len(here) else f"{student} (not finite)",
        )
    _decorate(left, "Eigenvalues", "index", "eigenvalue")
    left.set_xscale("linear")
    _decorate(right, "Adam's learning rates", "curvature of the coordinate, H_ii", "lr/(√v̂ + ε)")
    return figure


def _decorate(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    if any(np.size(line.get_xdata()) for line in axes.lines):
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
