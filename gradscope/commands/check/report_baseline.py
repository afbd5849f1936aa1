"""What a baseline holds, for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from gradscope.commands.check.baseline import Baseline
from gradscope.commands.check.choice import chosen
from gradscope.commands.check.sentences import noise_text

HEADERS = ("case", "architecture", "seeds", "statistics", "noise", "probe", "torch", "state")


def baseline_table(baseline: Baseline, pattern: str | None) -> Table:
    """One row a case: how many seeds and statistics, the largest measured noise, where it was measured."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in HEADERS:
        table.add_column(
            header, justify="right" if header in ("seeds", "statistics", "noise") else "left", no_wrap=True
        )
    for case in chosen(baseline.cases, pattern):
        entry = baseline.cases[case]
        noise = max((statistic.noise_decades for statistic in entry.numbers.statistics.values()), default=0.0)
        cells = (
            case,
            str(entry.numbers.definition.get("architecture", "")),
            str(len(entry.numbers.seeds)),
            str(len(entry.numbers.statistics)),
            noise_text(noise),
            entry.numbers.noise_probe,
            entry.environment.get("torch", ""),
            "edited by hand" if entry.is_edited else "ok",
        )
        table.add_row(*(Text(cell) for cell in cells))
    for case, reason in baseline.failed.items():
        table.add_row(Text(case), *[""] * (len(HEADERS) - 2), Text(f"failed: {reason}"))
    return table


def history_lines(baseline: Baseline) -> Iterator[str]:
    """One line a change, the oldest first."""
    for change in baseline.history:
        at = f" at {change.commit}" if change.commit else ""
        shift = "" if change.max_shift_decades is None else f", by up to {change.max_shift_decades:.3g} decades"
        yield f"{change.date}{at}: {change.reason} ({', '.join(change.cases)}{shift})"
