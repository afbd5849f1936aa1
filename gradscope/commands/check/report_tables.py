"""Tables for people: verdicts at a terminal and in Markdown, and what a baseline holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.table import Table

from gradscope.commands.check.baseline import Baseline, Entry
from gradscope.commands.check.cases import chosen
from gradscope.commands.check.sentences import described, noise_text
from gradscope.commands.check.verdict import CaseVerdict, counts, worst_first
from gradscope.running.layout import rich_table

VERDICT_COLUMNS = ("case", "verdict", "change", "decades", "where", "from step", "seeds", "tolerance", "noise", "cause")
BASELINE_COLUMNS = ("case", "architecture", "seeds", "statistics", "noise", "probe", "torch", "state")
VERDICT_NUMBERS, BASELINE_NUMBERS = ("decades", "from step", "tolerance", "noise"), ("seeds", "statistics", "noise")
STYLES = {
    "ok": "green",
    "changed": "red",
    "failed": "red",
    "incomparable": "yellow",
    "missing": "yellow",
    "noisy": "magenta",
}
MARKER = "<!-- gradscope check -->"
COMMENT_BYTES = 64_000  # GitHub takes comments of up to 65536 characters
CUT_NOTE = "\n\n_Cut here: the report is longer than this place takes; the candidate file has everything._\n"


def verdict_table(verdicts: Sequence[CaseVerdict]) -> Table:
    """One row a case, the worst news first."""
    rows = verdict_rows(verdicts)
    kept = [index for index in range(len(VERDICT_COLUMNS)) if index < 2 or any(row[index] for row in rows)]
    headers = [VERDICT_COLUMNS[index] for index in kept]
    shown = [[row[index] for index in kept] for row in rows]
    return rich_table(
        None,
        headers,
        shown,
        texts=_texts(headers, VERDICT_NUMBERS),
        style=lambda row, column: STYLES.get(shown[row][column], "") if column == 1 else "",
    )


def verdict_sentences(verdicts: Sequence[CaseVerdict], base_name: str) -> str:
    """Every verdict that is not ok in words, a line each, and how many there are of each."""
    lines = [verdict.sentence for verdict in worst_first(verdicts) if verdict.outcome != "ok" or verdict.note]
    cases = "case" if len(verdicts) == 1 else "cases"
    return "\n".join([*lines, f"{len(verdicts)} {cases} against {base_name}: {counts(verdicts)}."])


def verdict_markdown(verdicts: Sequence[CaseVerdict], base_name: str, limit_bytes: int = COMMENT_BYTES) -> str:
    """A heading, a sentence and a table row for every case that is not ok or has a note, the others named.

    It starts with a hidden marker, by which a bot finds its comment again, and is cut at the end of a line below
    ``limit_bytes`` bytes.
    """
    told = [verdict for verdict in worst_first(verdicts) if verdict.outcome != "ok" or verdict.note]
    fine = [verdict.name for verdict in verdicts if verdict.outcome == "ok"]
    lines = [MARKER, f"### gradscope check against {_escaped(base_name)}: {counts(verdicts)}", ""]
    if told:
        lines += [f"| {' | '.join(VERDICT_COLUMNS)} |", "|" + " --- |" * len(VERDICT_COLUMNS)]
        lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in verdict_rows(told)]
        lines += ["", *(f"- {_escaped(verdict.sentence)}" for verdict in told), ""]
    if fine:
        lines += [f"ok: {', '.join(_escaped(name) for name in fine)}"]
    return cut("\n".join(lines), limit_bytes)


def baseline_table(baseline: Baseline, pattern: str | None) -> Table:
    """One row a case: how many seeds and statistics, the largest measured noise, where it was measured."""
    rows = [_baseline_row(case, baseline.cases[case]) for case in chosen(baseline.cases, pattern)]
    blank = [""] * (len(BASELINE_COLUMNS) - 2)
    rows += [[case, *blank, f"failed: {reason}"] for case, reason in baseline.failed.items()]
    return rich_table(None, BASELINE_COLUMNS, rows, texts=_texts(BASELINE_COLUMNS, BASELINE_NUMBERS))


def history_lines(baseline: Baseline) -> Iterator[str]:
    """One line a change, the oldest first."""
    for change in baseline.history:
        at = f" at {change.commit}" if change.commit else ""
        shift = "" if change.max_shift_decades is None else f", by up to {change.max_shift_decades:.3g} decades"
        yield f"{change.date}{at}: {change.reason} ({', '.join(change.cases)}{shift})"


def verdict_rows(verdicts: Sequence[CaseVerdict]) -> list[tuple[str, ...]]:
    """One row a case, the worst news first; empty cells where nothing was compared."""
    return [_row(verdict) for verdict in worst_first(verdicts)]


def cut(text: str, limit_bytes: int) -> str:
    """The text, or its first whole lines and a note, in at most ``limit_bytes`` bytes of UTF-8."""
    if len(text.encode()) <= limit_bytes:
        return text
    kept = text.encode()[: max(0, limit_bytes - len(CUT_NOTE.encode()))]
    return kept[: kept.rfind(b"\n") + 1].decode().rstrip("\n") + CUT_NOTE


def _texts(headers: Sequence[str], numbers: Sequence[str]) -> list[int]:
    """The columns that are not numbers."""
    return [index for index, header in enumerate(headers) if header not in numbers]


def _baseline_row(case: str, entry: Entry) -> list[str]:
    noise = max((statistic.noise_decades for statistic in entry.measured.statistics.values()), default=0.0)
    return [
        case,
        str(entry.measured.definition.get("architecture", "")),
        str(len(entry.measured.seeds)),
        str(len(entry.measured.statistics)),
        noise_text(noise),
        entry.measured.noise_probe,
        entry.environment.get("torch", ""),
        "edited by hand" if entry.is_edited else "ok",
    ]


def _decades(value: float) -> str:
    """A shift with its sign, ``-inf`` for what became exactly zero."""
    if math.isinf(value):
        return "+inf" if value > 0 else "-inf"
    return "0" if value == 0 else f"{value:+.3g}"


def _row(verdict: CaseVerdict) -> tuple[str, ...]:
    statistic = verdict.decisive
    if statistic is None:
        return (verdict.name, verdict.outcome, *[""] * (len(VERDICT_COLUMNS) - 2))
    is_changed = verdict.outcome == "changed"
    return (
        verdict.name,
        verdict.outcome,
        verdict.kind,
        _decades(statistic.shift_decades),
        described(statistic.name, statistic.step),
        str(statistic.from_step) if is_changed and statistic.from_step is not None else "",
        f"{statistic.seeds_beyond} of {statistic.seeds}",
        f"{statistic.tolerance_decades:.3g}",
        noise_text(statistic.noise_decades),
        verdict.cause,
    )


def _escaped(text: str) -> str:
    """Nothing in a name or a message is markup, and a cell stays a cell."""
    for sign in "\\`*_|<>[]":
        text = text.replace(sign, {"<": "&lt;", ">": "&gt;"}.get(sign, f"\\{sign}"))
    return text.replace("\r", "").replace("\n", "<br>")
