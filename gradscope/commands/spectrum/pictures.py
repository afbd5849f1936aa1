"""Pictures of the spectra, from the frames that the files hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from gradscope.measurements.drawing import figure_with_axes, line_styles
from gradscope.measurements.eigenvalue_figure import eigenvalue_panel
from gradscope.measurements.exponent_figure import plot_exponents
from gradscope.measurements.singular_value_figure import plot_singular_values

COLUMNS = 4


def plot_eigenvalues(eigenvalues: pd.DataFrame, periods: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """One-step eigenvalues in the complex plane, one panel an architecture, with what the long run makes of them."""
    labels = list(dict.fromkeys(eigenvalues["arch"]))
    if not labels:
        return _nothing("No eigenvalues: nothing measured here has a recurrent state.")
    columns = min(COLUMNS, len(labels))
    rows = math.ceil(len(labels) / columns)
    figure = Figure(figsize=(2.9 * columns + 0.4, 3.1 * rows + 0.5), layout="constrained")
    figure.suptitle("Eigenvalues of one step ∂s_t/∂s_{t−1}, and what the long run makes of them", fontsize=11)
    style = line_styles(list(summary["arch"]))
    for index, label in enumerate(labels):
        axes = figure.add_subplot(rows, columns, index + 1)
        mine, of_periods = eigenvalues[eigenvalues["arch"] == label], periods[periods["arch"] == label]
        eigenvalue_panel(axes, label, mine, of_periods, style[label])
        row = summary[summary["arch"] == label]
        growth, share = row["exp_lyapunov_max"].mean(), row["near_unit_share"].mean()
        if math.isfinite(share):
            axes.text(0.03, 0.09, f"{100 * share:.3g} % of |λ| above 0.99", transform=axes.transAxes, fontsize=8)
        axes.text(0.03, 0.02, f"long run ×{growth:.3g} a step", transform=axes.transAxes, fontsize=8)
    return figure


def plot_lyapunov(lyapunov: pd.DataFrame) -> Figure:
    """All exponents by rank, one line an architecture."""
    if lyapunov.empty:
        return _nothing("No Lyapunov exponents: nothing measured here has a recurrent state.")
    return plot_exponents(lyapunov)


def plot_products(products: pd.DataFrame) -> Figure:
    """Largest and smallest singular value of ∂s_T/∂s_t against steps back."""
    return _singular_values(products, "The whole way back: singular values of ∂s_T/∂s_t")


def plot_temporal(temporal: pd.DataFrame) -> Figure:
    """Largest and smallest singular value of ∂y_T/∂x_t against steps back."""
    return _singular_values(temporal, "What the last output sees of each input: singular values of ∂y_T/∂x_t")


def _singular_values(frame: pd.DataFrame, title: str) -> Figure:
    return _nothing("Nothing was measured for this picture.") if frame.empty else plot_singular_values(frame, title)


def _nothing(sentence: str) -> Figure:
    figure, axes = figure_with_axes("")
    axes.axis("off")
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center")
    return figure


def pictures_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Of what was measured: eigenvalues, exponents, products and the temporal Jacobian."""
    pictures: dict[str, Figure] = {}
    if len(tables["eigenvalues"]):
        pictures["eigenvalues"] = plot_eigenvalues(
            tables["eigenvalues"], tables["period_eigenvalues"], tables["summary"]
        )
        pictures["lyapunov"] = plot_lyapunov(tables["lyapunov"])
    if len(tables["products"]):
        pictures["products"] = plot_products(tables["products"])
    if len(tables["temporal"]):
        pictures["temporal"] = plot_temporal(tables["temporal"])
    return pictures
