"""``gradscope check``: do gradients still travel as they did?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.commands.check.names import BASELINE_NAME, CANDIDATE_NAME, CASES_FILE, PROFILE
from gradscope.commands.check.options import (
    BaselineOption,
    CaseOption,
    CasesOption,
    FormatOption,
    ProfileOption,
    QuietOption,
    checked_format,
    from_here,
    measured_cases,
    selected_cases,
)
from gradscope.errors import DONE, GradscopeError, UsageError
from gradscope.running.console import Messages

if TYPE_CHECKING:
    from gradscope.commands.check.baseline import Baseline
    from gradscope.commands.check.case_file import CaseFile
    from gradscope.commands.check.cases import Case

_EPILOG = (
    "Examples: gradscope check --init · gradscope baseline record · gradscope check · "
    "gradscope check --against origin/main --format github · gradscope check --case 'lstm*' --format junit > gate.xml "
    "· gradscope baseline accept gradscope-candidate.json --reason 'forget bias 1 to 0.5, on purpose'"
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("check", epilog=_EPILOG)(check)


def check(
    cases: CasesOption = None,
    baseline: BaselineOption = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="Compare with the code of this git revision, measured here and now; needs no baseline.",
            metavar="GIT-REV",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = PROFILE,
    format_: FormatOption = "table",
    candidate: Annotated[
        Path | None,
        typer.Option(
            "--candidate",
            help=f"Where the new numbers are written, always; {CANDIDATE_NAME} beside the baseline when not given.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    case: CaseOption = None,
    init: Annotated[bool, typer.Option("--init", help=f"Write a commented {CASES_FILE} to start from.")] = False,
    quiet: QuietOption = False,
) -> int:
    """Measure the cases of gradscope.toml and compare them with a baseline, or with another git revision.

    Verdicts: ok; changed (gradients vanish more, explode more, or are shifted, in any seed at any step, by more than
    the case's tolerance, 0.01 decades and ten times the measured rounding noise); incomparable (another definition or
    other random numbers); missing (no baseline of the case, or no case of the baseline); failed (it did not run, or
    gave NaN); noisy (rounding alone moves it too far). Exit codes: 0 ok, 1 changed, 2 wrong use or a file that cannot
    be read, 3 a case could not be compared or its baseline is missing, 4 a case failed to run, 130 interrupted; the
    first that holds of 4, 1, 3, 0.
    """
    from gradscope.commands.check.baseline import checked_profile

    messages = Messages(quiet=quiet)
    if init:
        return _write_starter(cases or Path(CASES_FILE), messages)
    checked_profile(profile)
    checked_format(format_)
    if against is not None and baseline is not None:
        raise UsageError("--baseline and --against were both given; numbers are compared with one of them.")
    case_file, selected = selected_cases(cases, case)
    folder = case_file.path.parent
    base_path = baseline or from_here(folder) / BASELINE_NAME
    candidate_path = candidate or base_path.parent / CANDIDATE_NAME
    if candidate_path.resolve() == base_path.resolve():
        raise UsageError("--candidate and --baseline name the same file; a check never writes the baseline.")
    return _check(case_file, selected, base_path, candidate_path, against, case, format_, messages)


def _check(
    case_file: CaseFile,
    selected: tuple[Case, ...],
    base_path: Path,
    candidate_path: Path,
    against: str | None,
    pattern: str | None,
    format_: str,
    messages: Messages,
) -> int:
    from gradscope.commands.check.baseline import Baseline, candidate_of, environment_stamp
    from gradscope.commands.check.baseline_file import MissingBaseline, write_baseline
    from gradscope.commands.check.compare_case import compare_cases
    from gradscope.commands.check.report import print_verdicts
    from gradscope.commands.check.verdict import exit_code

    base, problem = _base_of(base_path) if against is None else (Baseline(), None)
    if isinstance(problem, MissingBaseline):
        messages.say(str(problem))
    measured = measured_cases(selected, messages)
    environment = environment_stamp()
    write_baseline(candidate_path, candidate_of(measured, environment))
    messages.say(f"Wrote {candidate_path}.")
    if problem is not None and not isinstance(problem, MissingBaseline):
        raise problem
    if against is not None:
        base = _base_at(against, case_file, selected, messages)
    base_name = against or str(base_path)
    verdicts = compare_cases(
        base.cases,
        measured,
        environment=environment,
        tolerances={one.name: one.tolerance for one in selected},
        expected=_unlisted(base, case_file, pattern),
        failed_at_base=base.failed if against else {},
        base_name=base_name,
        case_file=case_file.path.name,
        advice=_advice_against(against) if against else None,
    )
    print_verdicts(verdicts, format_, base_name, case_file.path, messages)
    return exit_code(verdicts)


def _advice_against(revision: str) -> Callable[[str], str]:
    return lambda name: f"compare with a baseline instead, or leave it out with --case until it is part of {revision}"


def _base_of(path: Path) -> tuple[Baseline, GradscopeError | None]:
    """The baseline, or none and why; the new numbers are measured and written in any case."""
    from gradscope.commands.check.baseline import Baseline
    from gradscope.commands.check.baseline_file import MissingBaseline, read_baseline

    try:
        found = read_baseline(path)
    except GradscopeError as error:
        return Baseline(), error
    if not found.cases:
        return found, MissingBaseline(f"{path} has no case; write some with gradscope baseline record.")
    return found, None


def _base_at(revision: str, case_file: CaseFile, selected: tuple[Case, ...], messages: Messages) -> Baseline:
    """The same cases with another revision's code."""
    from gradscope.commands.check.against import check_working_copy, measure_at
    from gradscope.commands.check.baseline import candidate_of, environment_stamp

    check_working_copy(selected, case_file.path)
    messages.say(f"Measuring the code at {revision}.")
    names = [one.name for one in selected]
    measured = measure_at(revision, case_file.path, Path.cwd(), names)
    return candidate_of(measured, environment_stamp())


def _unlisted(base: Baseline, case_file: CaseFile, pattern: str | None) -> list[str]:
    """Cases of the base that the file no longer has, of those that the pattern means."""
    from gradscope.commands.check.cases import matches

    listed = {one.name for one in case_file.cases}
    return [name for name in base.cases if name not in listed and matches(name, pattern)]


def _write_starter(path: Path, messages: Messages) -> int:
    from gradscope.commands.check.case_file import STARTER
    from gradscope.running.atomic_file import write_whole

    if path.exists():
        raise UsageError(f"{path} is already there; edit it, or name another file with --cases.")
    write_whole(path, STARTER)
    messages.say(f"Wrote {path}; next: gradscope baseline record.")
    return DONE
