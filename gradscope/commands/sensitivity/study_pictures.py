"""Pictures of the studies: the loss surface over ω, signal propagation in depth, curvature of the linear students."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradscope.commands.sensitivity.columns import STATE
from gradscope.experiments.hessian_figure import plot_curvature
from gradscope.measurements.drawing import figure_with_axes, legend, line_styles

REACH = 3.0  # of ω on both sides of the optimum


def plot_landscape(table: pd.DataFrame) -> Figure:
    """Loss against ω − ω* over the same range of ω for all, so that a narrow valley looks narrow.

    The legend has the learning rate above which gradient descent leaves the optimum, 2/curvature.
    """
    teacher = float(table["teacher"].iloc[0])
    rho = float(table["rho"].iloc[0])
    figure, axes = figure_with_axes(f"Loss of a student, teacher λ* = {teacher:g}, ρ = {rho:g}")
    names = [f"{p}, γ={n}" for p, n in zip(table["parametrization"], table["normalization"], strict=True)]
    for label, look in line_styles(names).items():
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


GROUPS = ("lambda", "magnitude", "angle", "recurrent", "feed-forward")
LIGHTEST = 0.75  # grey of the bottom layer; the top one is black


def plot_depth(depth: pd.DataFrame) -> Figure:
    """A column for each recurrence: output power by layer above, squared gradients by group below."""
    recurrences = list(dict.fromkeys(depth["recurrence"]))
    figure = Figure(figsize=(3.6 * len(recurrences) + 0.6, 6.4), layout="constrained")
    steps = int(depth["length"].iloc[0])
    figure.suptitle(f"Signal propagation at initialisation, T = {steps}, input {depth['input'].iloc[0]}", fontsize=11)
    grid = figure.subplots(2, len(recurrences), squeeze=False, sharex=True, sharey="row")
    for column, recurrence in enumerate(recurrences):
        mine = depth[depth["recurrence"] == recurrence]
        above, below = grid[:, column]
        above.set_title(recurrence, loc="left", fontsize=10)
        _outputs(above, mine[mine["group"] == STATE])
        _gradients(below, mine[mine["group"] != STATE])
        below.set_xlabel("time constant 1/(1 − |λ|), steps", fontsize=8)
    grid[0, 0].set_ylabel("mean square of the output")
    grid[1, 0].set_ylabel("mean square of ∂L/∂θ (thick: layer 1)")
    return figure


def _decorate(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    axes.legend(frameon=False, fontsize=7)


def _outputs(axes: Axes, rows: pd.DataFrame) -> None:
    layers = sorted(rows["layer"].unique())
    for index, layer in enumerate(layers):
        here = rows[rows["layer"] == layer].sort_values("lambda_modulus")
        grey = LIGHTEST * (1 - index / max(1, len(layers) - 1))
        axes.plot(1 / (1 - here["lambda_modulus"]), here["measured"], color=str(grey), label=f"layer {layer + 1}")
    _decorate(axes)


def _gradients(axes: Axes, rows: pd.DataFrame) -> None:
    """One line a layer, the bottom one with a marker and in the legend."""
    for group, look in line_styles(GROUPS).items():
        mine = rows[rows["group"] == group]
        for layer in sorted(mine["layer"].unique()):
            here = mine[mine["layer"] == layer].sort_values("lambda_modulus")
            is_bottom = layer == 0
            axes.plot(
                1 / (1 - here["lambda_modulus"]),
                here["measured"],
                color=look.colour,
                linestyle=look.line,
                linewidth=1.6 if is_bottom else 0.7,
                marker=look.marker if is_bottom else "",
                markersize=4,
                label=group if is_bottom else None,
            )
    _decorate(axes)


def plot_hessian(hessian: pd.DataFrame, coordinates: pd.DataFrame, students: pd.DataFrame) -> Figure:
    """The spectrum of the first seed's Hessians, and Adam's rate of each coordinate against its own curvature."""
    first = students.iloc[0]
    title = (
        f"Curvature at the teacher, λ* = {first['teacher']:g}, T = {int(first['length'])}, seed {int(first['seed'])}"
    )
    return plot_curvature(hessian, coordinates, students, title=title)
