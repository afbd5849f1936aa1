"""Verdicts as GitHub Markdown, for a comment on a pull request or a job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from gradscope.commands.check.report_rows import HEADERS, verdict_rows
from gradscope.commands.check.verdict import CaseVerdict, counts, worst_first

MARKER = "<!-- gradscope check -->"
COMMENT_BYTES = 64_000  # GitHub takes comments of up to 65536 characters
CUT_NOTE = "\n\n_Cut here: the report is longer than this place takes; the candidate file has everything._\n"


def verdict_markdown(verdicts: Sequence[CaseVerdict], base_name: str, limit_bytes: int = COMMENT_BYTES) -> str:
    """A heading, a sentence and a table row for every case that is not ok or has a note, the others named.

    It starts with a hidden marker, by which a bot finds its comment again, and is cut at the end of a line below
    ``limit_bytes`` bytes.
    """
    told = [verdict for verdict in worst_first(verdicts) if verdict.outcome != "ok" or verdict.note]
    fine = [verdict.name for verdict in verdicts if verdict.outcome == "ok"]
    lines = [MARKER, f"### gradscope check against {_escaped(base_name)}: {counts(verdicts)}", ""]
    if told:
        lines += [f"| {' | '.join(HEADERS)} |", "|" + " --- |" * len(HEADERS)]
        lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in verdict_rows(told)]
        lines += ["", *(f"- {_escaped(verdict.sentence)}" for verdict in told), ""]
    if fine:
        lines += [f"ok: {', '.join(_escaped(name) for name in fine)}"]
    return cut("\n".join(lines), limit_bytes)


def cut(text: str, limit_bytes: int) -> str:
    """The text, or its first whole lines and a note, in at most ``limit_bytes`` bytes of UTF-8."""
    if len(text.encode()) <= limit_bytes:
        return text
    kept = text.encode()[: max(0, limit_bytes - len(CUT_NOTE.encode()))]
    return kept[: kept.rfind(b"\n") + 1].decode().rstrip("\n") + CUT_NOTE


def _escaped(text: str) -> str:
    """Nothing in a name or a message is markup, and a cell stays a cell."""
    for sign in "\\`*_|<>[]":
        text = text.replace(sign, {"<": "&lt;", ">": "&gt;"}.get(sign, f"\\{sign}"))
    return text.replace("\r", "").replace("\n", "<br>")
