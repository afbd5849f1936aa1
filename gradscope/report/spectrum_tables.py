"""The spectra as a Rich table and as Markdown."""

from __future__ import annotations

import re

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from gradscope.report.spectrum_rows import SpectrumRows, spectrum_rows

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
    table = Table(
        title=f"State Jacobian along {int(summary['length'].iloc[0])} steps",
        caption=caption(content),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for index, header in enumerate(content.headers):
        justify = "left" if index in (0, len(content.headers) - 1) else "right"
        table.add_column(header.replace(" ", "\n"), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for cells, verdict in zip(content.rows, content.verdicts, strict=True):
        *numbers, last = cells if deviations else [DEVIATION.sub("", cell) for cell in cells]
        table.add_row(*numbers, Text(last, style=STYLES.get(verdict, "")))
    return table


def caption(content: SpectrumRows) -> str:
    """What the columns mean, and what misleads, a line each."""
    return "\n".join([LEGEND, *(f"{label}: {remark}." for label, remark in content.remarks)])


def spectrum_markdown(summary: pd.DataFrame) -> str:
    """The same table as GitHub Markdown."""
    content = spectrum_rows(summary)

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [line(content.headers), "|" + " --- |" * len(content.headers), *map(line, content.rows)]
    return "\n".join([*lines, "", LEGEND, "", *(f"- {label}: {remark}." for label, remark in content.remarks)]).rstrip()
