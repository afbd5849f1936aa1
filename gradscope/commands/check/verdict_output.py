"""Verdicts in the format that was asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gradscope.errors import UnknownName
from gradscope.running.console import Messages, print_wide

if TYPE_CHECKING:
    from gradscope.commands.check.verdict import CaseVerdict

FORMATS = ("table", "markdown", "github", "junit", "json")


def checked_format(format_: str) -> None:
    """Raises :class:`UnknownName` for a format that there is not."""
    if format_ not in FORMATS:
        raise UnknownName("format", format_, FORMATS)


def print_verdicts(
    verdicts: Sequence[CaseVerdict], format_: str, base_name: str, case_file: Path | None, messages: Messages
) -> None:
    """The report, on stdout alone; for GitHub also the job's summary."""
    if format_ == "json":
        from gradscope.commands.check.report_json import verdict_json

        typer.echo(verdict_json(verdicts, base_name))
    elif format_ == "junit":
        from gradscope.commands.check.report_junit import verdict_junit

        typer.echo(verdict_junit(verdicts))
    elif format_ == "markdown":
        from gradscope.commands.check.report_markdown import verdict_markdown

        typer.echo(verdict_markdown(verdicts, base_name))
    else:
        if format_ == "github":
            _tell_github(verdicts, base_name, case_file, messages)
        from gradscope.commands.check.report_table import verdict_sentences, verdict_table

        print_wide(verdict_table(verdicts))
        typer.echo(verdict_sentences(verdicts, base_name))


def _tell_github(verdicts: Sequence[CaseVerdict], base_name: str, case_file: Path | None, messages: Messages) -> None:
    from gradscope.commands.check.report_github import append_summary, error_commands

    for line in error_commands(verdicts, case_file):
        typer.echo(line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            written = append_summary(verdicts, base_name, Path(summary))
        except OSError as error:
            messages.say(f"The job's summary {summary} could not be written: {error.strerror or error}.")
        else:
            if not written:
                messages.say(f"The job's summary {summary} is full.")
