"""Pictures of the curse of memory, from the frames that the files hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradscope.commands.sensitivity.columns import SCALAR
from gradscope.commands.sensitivity.study_pictures import plot_depth, plot_hessian, plot_landscape
from gradscope.measurements.drawing import LineStyle, line_styles

ROOM = 1.4
IN_A_CORNER = 10  # labels
SMALLEST = 1e-20  # of the largest value of a theory line
LARGEST = 1e300  # error that is drawn; twice as much is still a number
TOO_SHORT = "hollow: sequence too short, no verdict"


def plot_sensitivity(sensitivity: pd.DataFrame) -> Figure:
    """Powers against 1 − |λ|: the scalar law on the left, architectures on the right; points measured, lines theory."""
    scalar = sensitivity[sensitivity["arch"] == SCALAR]
    models = sensitivity[sensitivity["arch"] != SCALAR]
    panels = [part for part in ("scalar", "models") if len(scalar if part == "scalar" else models)]
    figure = Figure(figsize=(6.4 * max(1, len(panels)), 5.2), layout="constrained")
    for index, part in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        _decorate(axes, "Scalar law" if part == "scalar" else "Architectures")
        _memory_to_the_right(axes, scalar if part == "scalar" else models)
        if part == "scalar":
            _scalar(axes, scalar)
        else:
            _models(axes, models)
        _legend(axes, scalar if part == "scalar" else models)
    return figure


def _memory_to_the_right(axes: Axes, rows: pd.DataFrame) -> None:
    """From far from 1 to close by, with room on both sides."""
    distances = 1 - rows["achieved_lambda_modulus"].to_numpy(dtype=float)
    distances = distances[distances > 0]
    if len(distances):
        axes.set_xlim(ROOM * distances.max(), distances.min() / ROOM)


def _decorate(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("1 − |λ| (memory grows to the right)")
    axes.set_ylabel("mean square")


def _scalar(axes: Axes, scalar: pd.DataFrame) -> None:
    plain = scalar[(scalar["quantity"] == "state_power") & (scalar["normalization"] == "none")]
    first = plain[plain["parametrization"] == plain["parametrization"].iloc[0]] if len(plain) else plain
    _line(axes, first, LineStyle("#000000", "-", "."), "E|h|², no γ")
    tangents = scalar[scalar["quantity"] == "dh_domega_power"]
    names = [f"{p}, γ={n}" for p, n in zip(tangents["parametrization"], tangents["normalization"], strict=True)]
    for label, look in line_styles(names).items():
        _line(axes, tangents[[name == label for name in names]], look, f"E|dh/dω|², {label}")


def _models(axes: Axes, models: pd.DataFrame) -> None:
    chosen = models[(models["quantity"] == "dh_domega_power")]
    names = [f"{arch}, {group}" for arch, group in zip(chosen["arch"], chosen["group"], strict=True)]
    for label, look in line_styles(names).items():
        _line(axes, chosen[[name == label for name in names]], look, label)


def _line(axes: Axes, rows: pd.DataFrame, look: LineStyle, label: str) -> None:
    rows = rows.sort_values("achieved_lambda_modulus")
    x = 1 - rows["achieved_lambda_modulus"].to_numpy(dtype=float)
    measured = rows["measured"].to_numpy(dtype=float)
    errors = np.nan_to_num(rows["standard_error"].to_numpy(dtype=float))
    positive = (x > 0) & (measured > 0) & np.isfinite(measured)
    theory = rows["theory_finite"].to_numpy(dtype=float)
    measured, errors = np.where(positive, measured, 0.0), np.where(positive, np.minimum(errors, LARGEST), 0.0)
    spread = np.stack([np.minimum(2 * errors, 0.9 * measured), 2 * errors])  # nothing below zero on a log scale
    short = positive & (rows["long_enough"] == False).to_numpy(dtype=bool)  # noqa: E712 - NaN in files of before
    has_theory = bool(np.isfinite(theory[positive]).any())
    axes.errorbar(
        x[positive],
        measured[positive],
        yerr=spread[:, positive],
        color=look.colour,
        linestyle="" if has_theory else look.line,
        marker=look.marker,
        markersize=5,
        capsize=2,
        label=label,
    )
    if short.any():
        axes.plot(x[short], measured[short], linestyle="", **_hollow(look.colour, look.marker), zorder=3)
    if has_theory:
        drawn = positive & (theory > SMALLEST * np.nanmax(theory))
        axes.plot(x[drawn], theory[drawn], color=look.colour, linestyle=look.line, linewidth=1.2)


def _hollow(colour: str, marker: str) -> dict[str, Any]:
    """The look of a point whose sequence is too short."""
    return {"color": colour, "marker": marker, "markersize": 5, "markerfacecolor": "white"}


def _legend(axes: Axes, rows: pd.DataFrame) -> None:
    """In the corner that a growing curve leaves free; below the axes where it is long."""
    if (rows["long_enough"] == False).any():  # noqa: E712
        axes.plot([], [], linestyle="", **_hollow("0.3", "o"), label=TOO_SHORT)
    _, labels = axes.get_legend_handles_labels()
    if len(labels) <= IN_A_CORNER:
        axes.legend(loc="upper left", frameon=False, fontsize=7)
    else:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False, fontsize=6)


def plot_mitigation(sensitivity: pd.DataFrame, exponents: pd.DataFrame) -> Figure:
    """One panel for each parametrisation and normalisation of the scalar law, with the fitted exponent."""
    scalar = sensitivity[(sensitivity["arch"] == SCALAR) & (sensitivity["quantity"] == "dh_domega_power")]
    rows, columns = list(dict.fromkeys(scalar["parametrization"])), list(dict.fromkeys(scalar["normalization"]))
    figure = Figure(figsize=(2.7 * max(1, len(columns)) + 0.6, 1.9 * max(1, len(rows)) + 0.9), layout="constrained")
    figure.suptitle("E|dh/dω|² by parametrisation and normalisation", fontsize=11)
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    for i, parametrization in enumerate(rows):
        for j, normalization in enumerate(columns):
            axes = grid[i, j]
            here = scalar[(scalar["parametrization"] == parametrization) & (scalar["normalization"] == normalization)]
            axes.set_title(f"{parametrization}, γ={normalization}", loc="left", fontsize=9)
            axes.set_xscale("log")
            axes.set_yscale("log")
            _memory_to_the_right(axes, scalar)
            axes.grid(visible=True, color="0.9", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7)
            _line(axes, here, LineStyle("#0072B2", "-", "o"), "")
            text = _slope(exponents, parametrization, normalization)
            axes.text(0.05, 0.82, text, transform=axes.transAxes, fontsize=8)
            if i == len(rows) - 1:
                axes.set_xlabel("1 − |λ|", fontsize=8)
    return figure


def _slope(exponents: pd.DataFrame, parametrization: str, normalization: str) -> str:
    mine = exponents[
        (exponents["arch"] == SCALAR)
        & (exponents["parametrization"] == parametrization)
        & (exponents["normalization"] == normalization)
        & (exponents["quantity"] == "dh_domega_power")
    ]
    if mine.empty or math.isnan(float(mine["exponent"].iloc[0])):
        return ""
    return f"p = {float(mine['exponent'].iloc[0]):+.2f}"


def pictures_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Of what was measured: the curse of memory, its mitigation, the loss surface, depth and curvature."""
    sensitivity = tables["sensitivity"]
    pictures = {"sensitivity": plot_sensitivity(sensitivity)} if len(sensitivity) else {}
    if (sensitivity["arch"] == SCALAR).any():
        pictures["mitigation"] = plot_mitigation(sensitivity, tables["exponents"])
    if len(tables["landscape"]):
        pictures["landscape"] = plot_landscape(tables["landscape"])
    if len(tables["depth"]):
        pictures["depth"] = plot_depth(tables["depth"])
    if len(tables["students"]):
        pictures["hessian"] = plot_hessian(tables["hessian"], tables["coordinates"], tables["students"])
    return pictures
