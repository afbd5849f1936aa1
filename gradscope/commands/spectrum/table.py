"""The spectra as a Rich table and as Markdown."""

from __future__ import annotations

import re

import pandas as pd
from rich.table import Table

from gradscope.commands.spectrum.options import SpectrumConfiguration
from gradscope.commands.spectrum.rows import SpectrumRows, spectrum_rows
from gradscope.commands.spectrum.sentences import findings
from gradscope.running.command import Report
from gradscope.running.layout import markdown_table, rich_table

STYLES = {
    "contracting": "blue",
    "expanding": "red",
    "marginal": "green",
    "mixed": "yellow",
    "unknown": "yellow",
    "none": "dim",
}
DEVIATION = re.compile(r" ± [^),]+")  # what follows stays: a status is never hidden
LEGEND = (
    "One step: radius and σ max are medians over the steps. Long run: exp Λ is the growth a step; time constants in "
    "steps, from the radius."
)


def spectrum_table(summary: pd.DataFrame, *, deviations: bool = True) -> Table:
    """One row an architecture, mean ± deviation over seeds; without ``deviations`` it fits most terminals."""
    content = spectrum_rows(summary)
    shown = [[cell if deviations else DEVIATION.sub("", cell) for cell in cells] for cells in content.rows]
    last = len(content.headers) - 1
    return rich_table(
        f"State Jacobian along {int(summary['length'].iloc[0])} steps",
        [header.replace(" ", "\n") for header in content.headers],
        shown,
        caption=caption(content),
        texts=(0, last),
        style=lambda row, column: STYLES.get(content.verdicts[row], "") if column == last else "",
    )


def caption(content: SpectrumRows) -> str:
    """What the columns mean, and what misleads, a line each."""
    return "\n".join([LEGEND, *(f"{label}: {remark}." for label, remark in content.remarks)])


def spectrum_markdown(summary: pd.DataFrame) -> str:
    """The same table as GitHub Markdown."""
    content = spectrum_rows(summary)
    table = markdown_table(content.headers, content.rows)
    return "\n".join([table, "", LEGEND, "", *(f"- {label}: {remark}." for label, remark in content.remarks)]).rstrip()


def report_of(configuration: SpectrumConfiguration) -> Report:
    """How the spectra are shown."""
    return Report(
        tables=lambda tables, deviations: [spectrum_table(tables["summary"], deviations=deviations)],
        markdown=lambda tables: spectrum_markdown(tables["summary"]),
        findings=lambda tables: findings(tables["summary"]),
    )
