"""The comparison as a Rich table and as Markdown."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from rich.table import Table

from gradscope.commands.compare.columns import ADVICE
from gradscope.commands.compare.options import CompareConfiguration
from gradscope.commands.compare.rows import comparison
from gradscope.commands.compare.sentences import findings
from gradscope.measurements.summary_cells import TEXT_COLUMNS, summary_title
from gradscope.measurements.verdict import MIXED
from gradscope.running.cell import SUMMARY
from gradscope.running.command import Report
from gradscope.running.layout import markdown_table, rich_table

RANGE = re.compile(r" \[[^]]* … [^]]*\]")  # a count after it stays
STYLES = {
    "unknown": "yellow",
    "saturated": "magenta",
    "cut": "magenta",
    "cut or saturated": "magenta",
    "exploding": "red",
    "lost": "blue",
    "fading": "cyan",
    "frozen": "yellow",
    "carried": "green",
    MIXED: "yellow",
}


def comparison_table(
    summary: pd.DataFrame,
    tried: pd.DataFrame | None = None,
    *,
    relative_to: str | None = None,
    clip_norm: float | None = None,
    deviations: bool = True,
) -> Table:
    """One row an architecture: log10 of the norm at step 1 relative to the last step, medians and ranges over seeds.

    Without ``deviations`` it is narrow enough for most terminals.
    """
    content = comparison(summary, tried, relative_to=relative_to, clip_norm=clip_norm)
    shown = [[cell if deviations else RANGE.sub("", cell) for cell in cells] for cells in content.rows]
    return rich_table(
        summary_title(summary["reference_lag"]),
        [header if "÷" in header else header.replace(" ", "\n") for header in content.headers],
        shown,
        caption="\n".join(content.advice),
        texts=TEXT_COLUMNS,
        style=lambda row, column: STYLES.get(content.colours[row][column], ""),
    )


def comparison_markdown(
    summary: pd.DataFrame,
    tried: pd.DataFrame | None = None,
    *,
    relative_to: str | None = None,
    clip_norm: float | None = None,
) -> str:
    """The same table as GitHub Markdown."""
    content = comparison(summary, tried, relative_to=relative_to, clip_norm=clip_norm)
    advice = ["", *(f"- {line}" for line in content.advice)] if content.advice else []
    return "\n".join([markdown_table(content.headers, content.rows), *advice])


def report_of(configuration: CompareConfiguration) -> Report:
    """How the comparison is shown."""
    options: dict[str, Any] = {"relative_to": configuration.relative_to, "clip_norm": configuration.clip_norm}
    return Report(
        tables=lambda tables, deviations: [
            comparison_table(tables[SUMMARY], tables[ADVICE], deviations=deviations, **options)
        ],
        markdown=lambda tables: comparison_markdown(tables[SUMMARY], tables[ADVICE], **options),
        findings=lambda tables: findings(tables[SUMMARY]),
        shown=(SUMMARY, ADVICE),
    )
