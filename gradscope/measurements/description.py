"""What a result says of itself: a heading and a small table of texts, as lines for a terminal or as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gradscope.numerics.averages import NOTHING

MOST_LINES = 15
MOST_REMARKS = 4
MOST_NAMES = 6
GAP = "  "  # between columns
LEFT_OUT = "…"

Row = Sequence[str]


@dataclass(frozen=True)
class Description:
    """A result in no more than fifteen lines; what does not fit is left out, and that is shown.

    Attributes:
        heading: What it is.
        rows: One text for each column.
        headers: Of the columns, with a line break where one helps; empty for names and their values.
        texts: Columns that are not numbers, on the left; −1 is the last.
        remarks: Lines below the table.
    """

    heading: str
    rows: Sequence[Row]
    headers: Row = ()
    texts: Sequence[int] = (0, 1)
    remarks: Sequence[str] = ()

    def text(self) -> str:
        """Aligned lines."""
        above, rows = self._header_lines(), self._shown_rows()
        widths = [max(map(len, column)) for column in zip(*above, *rows, strict=True)]
        left = {index % len(widths) for index in self.texts} if widths else set()

        def line(cells: Row) -> str:
            placed = [
                c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            ]
            return GAP.join(placed).rstrip()

        return "\n".join([_one_line(self.heading), *map(line, [*above, *rows]), *self._shown_remarks()])

    def html(self) -> str:
        """The same as a table that a notebook shows."""
        left = {index % len(row) for row in self.rows[:1] for index in self.texts}

        def line(tag: str, cells: Row) -> str:
            sides = ["left" if index in left else "right" for index in range(len(cells))]
            texts = [html.escape(_one_line(cell)) for cell in cells]
            return "".join(
                f'<{tag} style="text-align: {side}">{text}</{tag}>' for side, text in zip(sides, texts, strict=True)
            )

        head = f"<thead><tr>{line('th', self.headers)}</tr></thead>" if self.headers else ""
        body = "".join(f"<tr>{line('td', cells)}</tr>" for cells in self._shown_rows())
        remarks = "".join(f"<p>{html.escape(text)}</p>" for text in self._shown_remarks())
        heading = html.escape(_one_line(self.heading))
        return f"<div><p>{heading}</p><table>{head}<tbody>{body}</tbody></table>{remarks}</div>"

    def _header_lines(self) -> list[list[str]]:
        """Headers as rows, their last lines beside each other."""
        split = [header.split("\n") for header in self.headers]
        height = max(map(len, split), default=0)
        padded = [[""] * (height - len(lines)) + lines for lines in split]
        return [list(cells) for cells in zip(*padded, strict=True)]

    def _shown_rows(self) -> list[list[str]]:
        """The first ones and the last where there are too many."""
        rows = [[_one_line(cell) for cell in row] for row in self.rows]
        room = MOST_LINES - 1 - len(self._header_lines()) - len(self._shown_remarks())
        if len(rows) <= room:
            return rows
        return [*rows[: room - 2], [LEFT_OUT] * len(rows[0]), rows[-1]]

    def _shown_remarks(self) -> list[str]:
        lines = [_one_line(text) for text in self.remarks]
        if len(lines) <= MOST_REMARKS:
            return lines
        return [*lines[: MOST_REMARKS - 1], f"{LEFT_OUT} and {len(lines) - MOST_REMARKS + 1} remarks more"]


class Described:
    """A result that prints as its description."""

    def _description(self) -> Description:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._description().text()

    def _repr_html_(self) -> str:
        return self._description().html()


def number(value: float | Tensor) -> str:
    """Four digits; ∞ for what is infinite, – for what is no number."""
    value = float(value)
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}"


def middle(values: Tensor) -> float:
    """The median of all entries; NaN where one is NaN."""
    entries = values.detach().cpu().double().numpy().ravel()
    if np.isnan(entries).any():
        return math.nan
    low, high = np.sort(entries)[[(len(entries) - 1) // 2, len(entries) // 2]]
    return float(low if low == high else (low + high) / 2)


def percent(share: float) -> str:
    """A share as percent."""
    return NOTHING if math.isnan(share) else f"{100 * share:.3g} %"


def counted(count: int, singular: str, plural: str = "") -> str:
    """``1 sample``, ``4 samples``."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def some(names: Iterable[object]) -> str:
    """The first few of them, and how many there are besides."""
    texts = [str(name) for name in names]
    more = len(texts) - MOST_NAMES
    return ", ".join(texts) if more <= 0 else f"{', '.join(texts[:MOST_NAMES])} and {more:,} more"


def shape(tensor: Tensor) -> str:
    """``(2, 4, 200)``."""
    return str(tuple(tensor.shape))


def overflowed(step: int | None) -> tuple[str, ...]:
    """The remark that states are not finite from a step on; none for None."""
    return () if step is None else (f"States are not finite from step {step} on.",)


def _one_line(text: str) -> str:
    return " ".join(text.split())
