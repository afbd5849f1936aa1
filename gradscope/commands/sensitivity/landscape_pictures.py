"""The loss surface over ω: why a direct λ needs tiny steps near 1."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gradscope.measurements.drawing import figure_with_axes, legend, looks

REACH = 3.0  # of ω on both sides of the optimum


def plot_landscape(table: pd.DataFrame) -> Figure:
    """Loss against ω − ω* over the same range of ω for all, so that a narrow valley looks narrow.

    The legend has the learning rate above which gradient descent leaves the optimum, 2/curvature.
    """
    teacher = float(table["teacher"].iloc[0])
    rho = float(table["rho"].iloc[0])
    figure, axes = figure_with_axes(f"Loss of a student, teacher λ* = {teacher:g}, ρ = {rho:g}")
    names = [f"{p}, γ={n}" for p, n in zip(table["parametrization"], table["normalization"], strict=True)]
    for label, look in looks(names).items():
        mine = table[[name == label for name in names]].sort_values("omega")
        at = mine[mine["student"] == teacher].iloc[0]
        rate = float(at["largest_stable_learning_rate"])
        axes.plot(
            mine["omega"] - mine["omega_teacher"],
            mine["loss"],
            color=look.colour,
            linestyle=look.line,
            label=f"{label}: learning rate below {rate:.2g}",
        )
    axes.set_xlim(-REACH, REACH)
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-6)
    axes.set_xlabel("ω − ω*")
    axes.set_ylabel("loss ½ E|h − h*|²")
    legend(figure, axes)
    return figure
