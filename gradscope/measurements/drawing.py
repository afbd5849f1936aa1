"""How pictures look: an architecture's colour, line and marker, axes in the house style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradscope.numerics.decades import LOST_BELOW

PER_LEGEND_COLUMN = 18
BEHIND_TEXT = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}  # curves pass there too
# Okabe & Ito's colours and two of Paul Tol's, distinct for the colour-blind; lines and markers tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933")
# As many as have no common factor with the colours: what repeats a colour has another line, and 45 pairs are distinct.
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")


@dataclass(frozen=True)
class LineStyle:
    """Of one architecture."""

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


def line_styles(labels: Sequence[str]) -> dict[str, LineStyle]:
    """By order of appearance."""
    return {
        label: LineStyle(COLOURS[i % len(COLOURS)], LINES[i % len(LINES)], MARKERS[i % len(MARKERS)])
        for i, label in enumerate(dict.fromkeys(labels))
    }


def figure_with_axes(title: str, **options: Any) -> tuple[Figure, Axes]:
    """A figure with one pair of axes in the house style."""
    figure = Figure(**{"figsize": (8.4, 4.8), "layout": "constrained", **options})
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0, color="0.6", linewidth=0.8)
    return figure, axes


def legend(figure: Figure, axes: Axes) -> None:
    """Beside the axes, in as many columns as it needs."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 + (len(labels) - 1) // PER_LEGEND_COLUMN
    figure.set_size_inches(figure.get_figwidth() + 1.6 * (columns - 1), figure.get_figheight())
    figure.legend(
        handles, labels, loc="outside right upper", ncols=columns, handlelength=3.2, frameon=False, fontsize=9
    )


def limits_of_dtypes(axes: Axes) -> None:
    """Where a gradient of size 1 at the reference is lost, as far as it is in sight."""
    low, _ = axes.get_ylim()
    for place, (dtype, limit) in enumerate(sorted(LOST_BELOW.items(), key=lambda item: -item[1])):
        if low < limit:
            axes.axhline(limit, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)))
            axes.annotate(
                f"below: 0 in {dtype}",
                (0, limit),
                xycoords=("axes fraction", "data"),
                xytext=(6 + 84 * place, -11),  # side by side, for the limits coincide where thousands of decades show
                textcoords="offset points",
                fontsize=8,
                color="0.3",
                bbox=BEHIND_TEXT,
            )
