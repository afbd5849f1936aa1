"""Options that the commands over cases share, and the cases that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.commands.check.names import BASELINE_NAME, CASES_FILE, PROFILE, PROJECT_FILE
from gradscope.errors import UnknownName
from gradscope.running.console import Messages

if TYPE_CHECKING:
    from gradscope.commands.check.case_file import CaseFile
    from gradscope.commands.check.cases import Case
    from gradscope.commands.check.measured_case import FailedCase, MeasuredCase

FORMATS = ("table", "markdown", "github", "junit", "json")
CasesOption = Annotated[
    Path | None,
    typer.Option(
        "--cases",
        help=f"File with the cases; {CASES_FILE}, or [tool.gradscope] in {PROJECT_FILE}, when not given.",
        metavar="FILE",
        show_default=False,
    ),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help=f"The baseline; {BASELINE_NAME} beside the cases when not given.",
        metavar="FILE",
        show_default=False,
    ),
]
ProfileOption = Annotated[
    str, typer.Option("--profile", help=f"Where and in which precision: {PROFILE} alone.", metavar="NAME")
]
CaseOption = Annotated[
    str | None,
    typer.Option("--case", help="Only cases whose names match, such as 'lstm*'.", metavar="GLOB", show_default=False),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress and no messages on stderr.")]
FormatOption = Annotated[str, typer.Option("--format", help="What is printed on stdout.", metavar="|".join(FORMATS))]


def checked_format(format_: str) -> None:
    """Raises :class:`UnknownName` for a format that there is not."""
    if format_ not in FORMATS:
        raise UnknownName("format", format_, FORMATS)


def selected_cases(file: Path | None, pattern: str | None) -> tuple[CaseFile, tuple[Case, ...]]:
    """The case file, and its cases that a pattern means."""
    from gradscope.commands.check.case_file import read_cases
    from gradscope.commands.check.cases import chosen

    case_file = read_cases(Path.cwd(), file)
    names = set(chosen([one.name for one in case_file.cases], pattern))
    return case_file, tuple(one for one in case_file.cases if one.name in names)


def from_here(path: Path) -> Path:
    """A path as a user would write it in this folder."""
    folder = Path.cwd()
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def measured_cases(selected: Sequence[Case], messages: Messages) -> tuple[MeasuredCase | FailedCase, ...]:
    """The numbers of the cases, measured here."""
    from gradscope.commands.check.measure import measure_cases

    with messages.progress(len(selected), "Measuring") as advance:
        return measure_cases(selected, finished=advance)
