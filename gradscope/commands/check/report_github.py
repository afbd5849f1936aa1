"""Verdicts for GitHub Actions: annotations on stdout, and the table in the job's summary."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gradscope.commands.check.report_markdown import verdict_markdown
from gradscope.commands.check.verdict import CaseVerdict, worst_first

MOST_ANNOTATIONS = 10  # GitHub shows no more of one step
SUMMARY_BYTES = 1024 * 1024  # a longer summary is not shown at all


def error_commands(verdicts: Sequence[CaseVerdict], case_file: Path | None) -> list[str]:
    """At most ten ``::error`` commands, the worst news first; the last one counts what is left out."""
    told = [verdict for verdict in worst_first(verdicts) if verdict.outcome not in ("ok", "noisy")]
    shown = told if len(told) <= MOST_ANNOTATIONS else told[: MOST_ANNOTATIONS - 1]
    lines = [_error(f"gradscope: {verdict.name} {verdict.outcome}", verdict.sentence, case_file) for verdict in shown]
    if len(shown) < len(told):
        rest = len(told) - len(shown)
        lines.append(_error("gradscope", f"{rest} more cases are not ok; see the job's summary.", case_file))
    return lines


def append_summary(verdicts: Sequence[CaseVerdict], base_name: str, summary: Path) -> bool:
    """Appends the Markdown table to a job's summary, as far as GitHub takes it.

    Returns:
        Whether there was room for it.
    """
    used = summary.stat().st_size if summary.exists() else 0
    room = SUMMARY_BYTES - used - 2
    if room < 2000:
        return False
    with summary.open("a", encoding="utf-8", newline="\n") as file:
        file.write(verdict_markdown(verdicts, base_name, limit_bytes=room) + "\n\n")
    return True


def _error(title: str, message: str, case_file: Path | None) -> str:
    place = f"file={_property(_relative(case_file))}," if case_file is not None else ""
    return f"::error {place}title={_property(title)}::{_data(message)}"


def _relative(path: Path) -> str:
    """From the root of the repository, where GitHub looks for files."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    return Path(os.path.relpath(path.resolve(), root)).as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
