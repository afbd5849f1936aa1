"""Verdicts for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from gradscope.commands.check.report_rows import HEADERS, verdict_rows
from gradscope.commands.check.verdict import CaseVerdict, counts, worst_first

STYLES = {
    "ok": "green",
    "changed": "red",
    "failed": "red",
    "incomparable": "yellow",
    "missing": "yellow",
    "noisy": "magenta",
}


def verdict_table(verdicts: Sequence[CaseVerdict]) -> Table:
    """One row a case, the worst news first."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows = verdict_rows(verdicts)
    kept = [index for index in range(len(HEADERS)) if index < 2 or any(row[index] for row in rows)]
    for index in kept:
        numeric = HEADERS[index] in ("decades", "from step", "tolerance", "noise")
        table.add_column(HEADERS[index], justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[i], style=STYLES.get(row[i], "") if i == 1 else "") for i in kept))
    return table


def verdict_sentences(verdicts: Sequence[CaseVerdict], base_name: str) -> str:
    """Every verdict that is not ok in words, a line each, and how many there are of each."""
    lines = [verdict.sentence for verdict in worst_first(verdicts) if verdict.outcome != "ok" or verdict.note]
    cases = "case" if len(verdicts) == 1 else "cases"
    return "\n".join([*lines, f"{len(verdicts)} {cases} against {base_name}: {counts(verdicts)}."])
