"""The comparison as a Rich table and as Markdown."""

from __future__ import annotations

import re

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from gradscope.report.rows import Comparison, comparison
from gradscope.report.sentences import reference

DEVIATION = re.compile(r" ± [^) (]+")  # a count of zeros after it stays
STYLES = {"vanishing": "blue", "exploding": "red", "saturated": "magenta", "stable": "green", "unknown": "yellow"}


def comparison_table(
    summary: pd.DataFrame,
    *,
    relative_to: str | None = None,
    clip_norm: float | None = None,
    deviations: bool = True,
) -> Table:
    """One row an architecture: log10 of the norm at step 1 relative to the last step, mean ± deviation over seeds.

    Without ``deviations`` it is narrow enough for most terminals.
    """
    content = comparison(summary, relative_to=relative_to, clip_norm=clip_norm)
    table = Table(
        title=f"log10 of the gradient norm at step 1, relative to {reference(summary['reference_lag'])}",
        caption=caption(content),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for index, header in enumerate(content.headers):
        justify = "left" if index in (0, 3, len(content.headers) - 1) else "right"
        header = header if "÷" in header else header.replace(" ", "\n")
        table.add_column(header, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for cells, colours in zip(content.rows, content.colours, strict=True):
        shown = cells if deviations else [DEVIATION.sub("", cell) for cell in cells]
        table.add_row(*(Text(cell, style=STYLES.get(c, "")) for cell, c in zip(shown, colours, strict=True)))
    return table


def caption(content: Comparison) -> str:
    """What to try, a line each."""
    return "\n".join(f"{label} ({found}): try {hint}." for label, found, hint in content.advice)


def comparison_markdown(
    summary: pd.DataFrame, *, relative_to: str | None = None, clip_norm: float | None = None
) -> str:
    """The same table as GitHub Markdown."""
    content = comparison(summary, relative_to=relative_to, clip_norm=clip_norm)
    lines = ["| " + " | ".join(content.headers) + " |", "|" + " --- |" * len(content.headers)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in content.rows]
    hints = caption(content)
    return "\n".join([*lines, *(["", *(f"- {line}" for line in hints.split("\n"))] if hints else [])])
