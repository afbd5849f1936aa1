"""Eigenvalues in the complex plane with the unit circle."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from gradscope.measurements.drawing import LineStyle, line_styles

MANY = 3000  # points of a panel from which on a density is drawn
REACH = 1.45  # half the width of a panel: leaves corners outside the unit circle for what is near λ = 1, enlarged
NEAR = 0.1  # half the width of what is enlarged
DENSITY = LinearSegmentedColormap.from_list("density", mpl.colormaps["Blues"](np.linspace(0.35, 1.0, 64)))
Array = NDArray[np.float64]


def plot_eigenvalues(eigenvalues: pd.DataFrame, periods: pd.DataFrame, **options: Any) -> Figure:
    """One model's eigenvalues.

    Args:
        eigenvalues: Of one step, as a spectrum's table has them.
        periods: Of the products over a period.
        options: Passed on to matplotlib's ``Figure``.
    """
    title = "Eigenvalues of one step ∂s_t/∂s_{t−1}"
    figure = Figure(**{"figsize": (4.8, 5.0), "layout": "constrained", **options})
    eigenvalue_panel(figure.add_subplot(), title, eigenvalues.assign(seed=0), periods, line_styles([title])[title])
    return figure


def eigenvalue_panel(axes: Axes, title: str, eigenvalues: pd.DataFrame, periods: pd.DataFrame, look: LineStyle) -> None:
    """One-step eigenvalues with what is near λ = 1 enlarged.

    Black rings are those of the product over a period, where there is one: modulus a step, angle a period.

    Args:
        axes: Where to draw.
        title: Above it.
        eigenvalues: Of one architecture, over its seeds.
        periods: The same of the products over a period.
        look: Of the points.
    """
    mine = eigenvalues.dropna(subset=["real", "imag"])
    _panel(axes, title, mine, look)
    _period_rings(axes, periods)


def _panel(axes: Axes, label: str, mine: pd.DataFrame, look: LineStyle) -> None:
    drawn = mine.drop_duplicates(subset=["real", "imag", "index", "layer", "seed"])  # some are the same at every step
    x, y = drawn["real"].to_numpy(dtype=float), drawn["imag"].to_numpy(dtype=float)
    reach = max(REACH, 1.1 * float(np.hypot(x, y).max(initial=0.0)))
    axes.set_title(label, fontsize=10, loc="left")
    axes.set_aspect("equal")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.axhline(0, color="0.88", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.88", linewidth=0.6, zorder=0)
    axes.tick_params(labelsize=8)
    _points(axes, x, y, look, reach)
    if mine.empty:
        axes.text(0.03, 0.16, "not finite", transform=axes.transAxes, fontsize=8)
    _multiplicity(axes, drawn)
    if ((x == 0) & (y == 0)).any():
        axes.plot([0], [0], marker="x", color="black", markersize=6)
    near = (np.abs(x - 1) < NEAR) & (np.abs(y) < NEAR)
    if near.any():
        _inset(axes, x[near], y[near], look)


def _period_rings(axes: Axes, mine: pd.DataFrame) -> None:
    mine = mine[mine["step"] == mine["step"].max()]
    modulus, angle = (mine[name].to_numpy(dtype=float) for name in ("modulus_per_step", "angle_per_period"))
    inset: list[Any] = list(axes.child_axes)
    for target in (axes, *inset):
        x, y = modulus * np.cos(angle), modulus * np.sin(angle)
        target.plot(x, y, linestyle="", marker="o", markersize=4, mfc="none", mec="black", mew=0.5, zorder=4)
    if len(mine):
        text = f"○ a period of {int(mine['period'].iloc[0])}, a step"
        axes.text(0.03, 0.95, text, transform=axes.transAxes, fontsize=8)


def _multiplicity(axes: Axes, drawn: pd.DataFrame) -> None:
    """How many eigenvalues the point with the most of them stands for."""
    if (drawn["multiplicity"] > 1).any():
        most = drawn.iloc[int(drawn["multiplicity"].to_numpy(dtype=float).argmax())]
        offset = (-6, -14)
        place = (float(most["real"]), float(most["imag"]))
        axes.annotate(
            f"×{int(most['multiplicity']):,}", place, offset, textcoords="offset points", ha="right", fontsize=7
        )


def _points(axes: Axes, x: Array, y: Array, look: LineStyle, reach: float) -> None:
    if len(x) > MANY:
        axes.hexbin(x, y, gridsize=60, extent=(-reach, reach, -reach, reach), bins="log", cmap=DENSITY, mincnt=1)
    else:
        axes.plot(x, y, linestyle="", marker=look.marker, markersize=2.5, color=look.colour, alpha=0.35, mew=0)
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.2", linewidth=0.9))


def _inset(axes: Axes, x: Array, y: Array, look: LineStyle) -> None:
    """Around λ = 1, as wide as what is there."""
    half = max(0.02, min(NEAR, 1.1 * float(max(np.abs(x - 1).max(), np.abs(y).max()))))
    inset = axes.inset_axes((0.74, 0.74, 0.26, 0.26), xlim=(1 - half, 1 + half), ylim=(-half, half))
    inset.plot(x, y, linestyle="", marker=look.marker, markersize=3, color=look.colour, alpha=0.5, mew=0)
    inset.add_patch(Circle((0, 0), 1, fill=False, color="0.2", linewidth=0.9))
    inset.set_xticks([1 - half, 1 + half], [f"{1 - half:.2f}", f"{1 + half:.2f}"], fontsize=6)
    inset.set_yticks([])
    axes.indicate_inset_zoom(inset, edgecolor="0.5", linewidth=0.6)
