"""How an architecture looks: the same colour, line and marker in every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Okabe & Ito's colours and two of Paul Tol's, distinct for the colour-blind; lines and markers tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933")
# As many as have no common factor with the colours: what repeats a colour has another line, and 45 pairs are distinct.
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")


@dataclass(frozen=True)
class Look:
    """Of one architecture."""

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """By order of appearance."""
    return {
        label: Look(COLOURS[i % len(COLOURS)], LINES[i % len(LINES)], MARKERS[i % len(MARKERS)])
        for i, label in enumerate(dict.fromkeys(labels))
    }
