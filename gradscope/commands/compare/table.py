"""The comparison as a Rich table and as Markdown."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from rich.table import Table

from gradscope.commands.compare.options import CompareConfiguration
from gradscope.commands.compare.rows import Comparison, comparison
from gradscope.commands.compare.sentences import findings
from gradscope.measurements.summary_cells import TEXT_COLUMNS, hint_line, summary_title
from gradscope.running.command import Report
from gradscope.running.layout import markdown_table, rich_table

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
    shown = [[cell if deviations else DEVIATION.sub("", cell) for cell in cells] for cells in content.rows]
    return rich_table(
        summary_title(summary["reference_lag"]),
        [header if "÷" in header else header.replace(" ", "\n") for header in content.headers],
        shown,
        caption=caption(content),
        texts=TEXT_COLUMNS,
        style=lambda row, column: STYLES.get(content.colours[row][column], ""),
    )


def caption(content: Comparison) -> str:
    """What to try, a line each."""
    return "\n".join(hint_line(*row) for row in content.advice)


def comparison_markdown(
    summary: pd.DataFrame, *, relative_to: str | None = None, clip_norm: float | None = None
) -> str:
    """The same table as GitHub Markdown."""
    content = comparison(summary, relative_to=relative_to, clip_norm=clip_norm)
    hints = caption(content)
    advice = ["", *(f"- {line}" for line in hints.split("\n"))] if hints else []
    return "\n".join([markdown_table(content.headers, content.rows), *advice])


def report_of(configuration: CompareConfiguration) -> Report:
    """How the comparison is shown."""
    options: dict[str, Any] = {"relative_to": configuration.relative_to, "clip_norm": configuration.clip_norm}
    return Report(
        tables=lambda tables, deviations: [comparison_table(tables["summary"], deviations=deviations, **options)],
        markdown=lambda tables: comparison_markdown(tables["summary"], **options),
        findings=lambda tables: findings(tables["summary"]),
    )
