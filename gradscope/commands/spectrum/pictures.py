"""Pictures of the spectra, from the frames that the files hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from gradscope.measurements.drawing import Look, figure_with_axes, legend, limits_of_dtypes, looks

COLUMNS = 4
MANY = 3000  # points of a panel from which on a density is drawn
REACH = 1.45  # half the width of a panel: leaves corners outside the unit circle for what is near λ = 1, enlarged
NEAR = 0.1  # half the width of what is enlarged
GROWTH_TICKS = (3.0, 2.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.0, 0.98, 0.95, 0.9, 0.8, 0.5, 0.2, 0.1, 0.01, 1e-3, 1e-4)
LOWEST_EXPONENT = -10.0
DENSITY = LinearSegmentedColormap.from_list("density", mpl.colormaps["Blues"](np.linspace(0.35, 1.0, 64)))
FINE = (0, (1, 1.5))  # the line of smallest singular values
Array = NDArray[np.float64]


def plot_eigenvalues(eigenvalues: pd.DataFrame, periods: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """One-step eigenvalues in the complex plane, one panel an architecture, with what is near λ = 1 enlarged.

    Black rings are those of the product over a period, where an architecture has one: modulus a step, angle a period.
    """
    labels = list(dict.fromkeys(eigenvalues["arch"]))
    if not labels:
        return _nothing("No eigenvalues: nothing measured here has a recurrent state.")
    columns = min(COLUMNS, len(labels))
    rows = math.ceil(len(labels) / columns)
    figure = Figure(figsize=(2.9 * columns + 0.4, 3.1 * rows + 0.5), layout="constrained")
    figure.suptitle("Eigenvalues of one step ∂s_t/∂s_{t−1}, and what the long run makes of them", fontsize=11)
    style = looks(list(summary["arch"]))
    for index, label in enumerate(labels):
        axes = figure.add_subplot(rows, columns, index + 1)
        mine = eigenvalues[eigenvalues["arch"] == label].dropna(subset=["real", "imag"])
        _panel(axes, label, mine, style[label])
        _period_rings(axes, periods[periods["arch"] == label])
        row = summary[summary["arch"] == label]
        growth, share = row["exp_lyapunov_max"].mean(), row["near_unit_share"].mean()
        if math.isfinite(share):
            axes.text(0.03, 0.09, f"{100 * share:.3g} % of |λ| above 0.99", transform=axes.transAxes, fontsize=8)
        axes.text(0.03, 0.02, f"long run ×{growth:.3g} a step", transform=axes.transAxes, fontsize=8)
    return figure


def _panel(axes: Axes, label: str, mine: pd.DataFrame, look: Look) -> None:
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


def _nothing(sentence: str) -> Figure:
    figure, axes = figure_with_axes("")
    axes.axis("off")
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center")
    return figure


def _points(axes: Axes, x: Array, y: Array, look: Look, reach: float) -> None:
    if len(x) > MANY:
        axes.hexbin(x, y, gridsize=60, extent=(-reach, reach, -reach, reach), bins="log", cmap=DENSITY, mincnt=1)
    else:
        axes.plot(x, y, linestyle="", marker=look.marker, markersize=2.5, color=look.colour, alpha=0.35, mew=0)
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.2", linewidth=0.9))


def _inset(axes: Axes, x: Array, y: Array, look: Look) -> None:
    """Around λ = 1, as wide as what is there."""
    half = max(0.02, min(NEAR, 1.1 * float(max(np.abs(x - 1).max(), np.abs(y).max()))))
    inset = axes.inset_axes((0.74, 0.74, 0.26, 0.26), xlim=(1 - half, 1 + half), ylim=(-half, half))
    inset.plot(x, y, linestyle="", marker=look.marker, markersize=3, color=look.colour, alpha=0.5, mew=0)
    inset.add_patch(Circle((0, 0), 1, fill=False, color="0.2", linewidth=0.9))
    inset.set_xticks([1 - half, 1 + half], [f"{1 - half:.2f}", f"{1 + half:.2f}"], fontsize=6)
    inset.set_yticks([])
    axes.indicate_inset_zoom(inset, edgecolor="0.5", linewidth=0.6)


def plot_lyapunov(lyapunov: pd.DataFrame) -> Figure:
    """All exponents by rank, one line an architecture: which share of the directions keeps, which forgets."""
    if lyapunov.empty:
        return _nothing("No Lyapunov exponents: nothing measured here has a recurrent state.")
    figure, axes = figure_with_axes("Lyapunov exponents: what the long run does to each direction")
    lowest, highest = -0.5, 0.12
    for label, look in looks(list(lyapunov["arch"])).items():
        ranks, low, mean, high, null = _by_rank(lyapunov[lyapunov["arch"] == label])
        if len(mean) == 0:
            axes.plot(
                [],
                [],
                color=look.colour,
                linestyle=look.line,
                label=f"{label} ({'all null' if null else 'not finite'})",
            )
            continue
        lowest, highest = min(lowest, float(low.min())), max(highest, float(high.max()))
        axes.plot(
            ranks,
            mean,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markevery=max(1, len(ranks) // 8),
            markersize=5,
            label=f"{label} ({null:.0%} null)" if null else label,
        )
        axes.fill_between(ranks, low, high, color=look.colour, alpha=0.15, linewidth=0)
    limits = (1.3 * max(lowest, LOWEST_EXPONENT), 1.2 * highest)
    growth = axes.twinx()
    for side in (axes, growth):
        side.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        side.set_ylim(*limits)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ticks = [tick for tick in GROWTH_TICKS if limits[0] < math.log(tick) < limits[1]]
    growth.set_yticks([math.log(tick) for tick in ticks], [f"×{tick:g}" for tick in ticks])
    growth.minorticks_off()
    growth.spines["top"].set_visible(False)
    growth.set_ylabel("growth a step")
    axes.set_xlabel("share of the directions of the state, the slowest first")
    axes.set_ylabel("exponent in nats a step: above 0 expands, below contracts")
    legend(figure, axes)
    return figure


def _by_rank(mine: pd.DataFrame) -> tuple[Array, Array, Array, Array, float]:
    """Rank in (0, 1], lowest, mean and highest exponent over seeds and samples, and the share of null directions."""
    ordered = []
    for _, group in mine.groupby(["seed", "sample"]):
        values = np.sort(group["exponent_nats_per_step"].to_numpy(dtype=float))[::-1]
        ordered += [values[~np.isnan(values)]] if not np.isnan(values).all() else []
    count = min((len(values) for values in ordered), default=0)
    table = np.array([values[:count] for values in ordered]).reshape(len(ordered), count)
    finite = np.isfinite(table).all(axis=0)
    null = float(1 - finite.mean()) if count else 0.0
    table = table[:, finite]
    ranks = (np.arange(count)[finite] + 1) / max(1, count)
    if table.size == 0:
        empty = np.zeros(0)
        return empty, empty, empty, empty, null
    return ranks, table.min(axis=0), table.mean(axis=0), table.max(axis=0), null


def plot_products(products: pd.DataFrame) -> Figure:
    """Largest and smallest singular value of ∂s_T/∂s_t against steps back."""
    return _singular_values(products, "The whole way back: singular values of ∂s_T/∂s_t")


def plot_temporal(temporal: pd.DataFrame) -> Figure:
    """Largest and smallest singular value of ∂y_T/∂x_t against steps back."""
    return _singular_values(temporal, "What the last output sees of each input: singular values of ∂y_T/∂x_t")


def _singular_values(frame: pd.DataFrame, title: str) -> Figure:
    if frame.empty:
        return _nothing("Nothing was measured for this picture.")
    figure, axes = figure_with_axes(title)
    lowest = highest = 0.0
    for label, look in looks(list(frame["arch"])).items():
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
