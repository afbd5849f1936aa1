"""Headers and rows of texts as a Rich table or as GitHub Markdown: what all reports look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text


def rich_table(
    title: str | None,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str | None = None,
    texts: Sequence[int] = (0,),
    style: Callable[[int, int], str] = lambda row, column: "",
) -> Table:
    """A table with a heading line alone.

    Args:
        title: Above it, if any.
        headers: Of the columns.
        rows: One text for each column.
        caption: Below it, if any.
        texts: Columns that are not numbers, on the left; −1 is the last.
        style: Colour of a cell.
    """
    table = Table(
        title=title,
        caption=Text(caption) if caption else None,  # a label may hold what rich takes for markup
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    left = {index % len(headers) for index in texts}
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index in left else "right", no_wrap=True)
    for i, cells in enumerate(rows):
        table.add_row(*(Text(cell, style=style(i, j)) for j, cell in enumerate(cells)))
    return table


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as GitHub Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(headers), "|" + " --- |" * len(headers), *map(line, rows)])
