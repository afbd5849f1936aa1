"""``gradscope baseline``: the numbers that a check compares with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.commands.check.names import BASELINE_NAME, PROFILE
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
from gradscope.errors import DONE, SOME_FAILED
from gradscope.running.console import Messages, print_wide

if TYPE_CHECKING:
    from gradscope.commands.check.baseline_changes import Acceptance

_RECORDED, _PRUNED = "recorded", "removed: no longer among the cases"
_EPILOG = (
    "Examples: gradscope baseline record · gradscope baseline record --case 'lstm*' · gradscope baseline show · "
    "gradscope baseline accept gradscope-candidate.json --reason 'forget bias 1 to 0.5, on purpose' · "
    "gradscope baseline diff old.json gradscope-baseline.json · gradscope baseline prune"
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    commands = typer.Typer(
        help="Record, accept, show, compare and prune baselines of gradients.",
        epilog=_EPILOG,
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    commands.callback()(_root)
    for name, function in (("record", record), ("accept", accept), ("show", show), ("diff", diff), ("prune", prune)):
        commands.command(name, epilog=_EPILOG)(function)
    app.add_typer(commands, name="baseline")


def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def record(
    cases: CasesOption = None,
    baseline: BaselineOption = None,
    profile: ProfileOption = PROFILE,
    case: CaseOption = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for the baseline's history.", metavar="TEXT")
    ] = _RECORDED,
    quiet: QuietOption = False,
) -> int:
    """Measure the cases of gradscope.toml and write them into the baseline, over those of the same names.

    Exit codes: 0 done, 2 wrong use, 4 a case failed to run (the others are written), 130 interrupted.
    """
    from gradscope.commands.check.baseline import candidate_of, checked_profile, environment_stamp
    from gradscope.commands.check.baseline_changes import checked_reason
    from gradscope.commands.check.baseline_changes import record as record_entries
    from gradscope.commands.check.baseline_file import read_baseline

    checked_profile(profile)
    checked_reason(reason)
    messages = Messages(quiet=quiet)
    case_file, selected = selected_cases(cases, case)
    path = baseline or from_here(case_file.path.parent) / BASELINE_NAME
    if path.exists():
        read_baseline(path)  # a damaged file is told of before anything is measured
    measured = candidate_of(measured_cases(selected, messages), environment_stamp())
    broken = [name for name, entry in measured.cases.items() if entry.measured.has_nan]
    failed = dict(measured.failed) | dict.fromkeys(broken, "it gave NaN, with which nothing could be compared.")
    entries = {name: entry for name, entry in measured.cases.items() if name not in failed}
    taken = record_entries(path, entries, reason=reason)
    for name, why in failed.items():
        typer.echo(f"gradscope: {name} was not recorded: {why}", err=True)
    _tell(taken, path, messages)
    return SOME_FAILED if failed else DONE


def accept(
    candidate: Annotated[Path, typer.Argument(help="The file that gradscope check has written.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why the numbers may change; required.", metavar="TEXT", show_default=False)
    ] = "",
    case: CaseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Take shifts of more than 0.3 decades.")] = False,
    baseline: BaselineOption = None,
    quiet: QuietOption = False,
) -> int:
    """Take the cases of a candidate that differ into the baseline beside it, with a reason for its history.

    Exit codes: 0 done, 2 wrong use or a shift of more than 0.3 decades without --force, 3 there is no candidate.
    """
    from gradscope.commands.check.baseline_changes import accept as accept_entries
    from gradscope.commands.check.baseline_changes import checked_reason
    from gradscope.commands.check.baseline_file import read_baseline

    checked_reason(reason)
    messages = Messages(quiet=quiet)
    path = baseline or candidate.parent / BASELINE_NAME
    found = read_baseline(candidate)
    taken = accept_entries(path, found, case, reason=reason, force=force)
    for name, why in found.failed.items():
        typer.echo(f"gradscope: {name} was not accepted: it failed when it was measured: {why}", err=True)
    _tell(taken, path, messages)
    return DONE


def show(
    file: Annotated[Path, typer.Argument(help="A baseline or a candidate.")] = Path(BASELINE_NAME),
    case: CaseOption = None,
) -> int:
    """Show what a baseline holds: cases, where they were measured, and its history.

    Exit codes: 0 done, 2 wrong use or a file that cannot be read, 3 there is no such file.
    """
    from gradscope.commands.check.baseline_file import read_baseline
    from gradscope.commands.check.report_tables import baseline_table, history_lines

    found = read_baseline(file)
    typer.echo(f"{file}, written by gradscope {found.tool}")
    print_wide(baseline_table(found, case))
    for line in history_lines(found):
        typer.echo(line)
    return DONE


def diff(
    old: Annotated[Path, typer.Argument(help="A baseline or a candidate.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
    format_: FormatOption = "table",
    case: CaseOption = None,
) -> int:
    """Compare two baselines, without measuring; a tolerance of 0.01 decades or ten times the noise.

    Exit codes: 0 ok, 1 changed, 2 wrong use or a file that cannot be read, 3 a case could not be compared or a file
    is missing, 4 a case failed when it was measured.
    """
    from gradscope.commands.check.baseline_file import read_baseline
    from gradscope.commands.check.compare_case import compare_baselines
    from gradscope.commands.check.report import print_verdicts
    from gradscope.commands.check.verdict import exit_code

    checked_format(format_)
    verdicts = compare_baselines(read_baseline(old), read_baseline(new), case, names=(str(old), str(new)))
    print_verdicts(verdicts, format_, str(old), None, Messages(quiet=False))
    return exit_code(verdicts)


def prune(
    cases: CasesOption = None,
    baseline: BaselineOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the baseline's history.", metavar="TEXT")] = _PRUNED,
    quiet: QuietOption = False,
) -> int:
    """Remove cases from the baseline that gradscope.toml no longer has.

    Exit codes: 0 done, 2 wrong use, 3 there is no baseline.
    """
    from gradscope.commands.check.baseline_changes import prune as prune_entries
    from gradscope.commands.check.baseline_file import read_baseline
    from gradscope.commands.check.case_file import read_cases

    case_file = read_cases(Path.cwd(), cases)
    path = baseline or from_here(case_file.path.parent) / BASELINE_NAME
    read_baseline(path)
    gone = prune_entries(path, [one.name for one in case_file.cases], reason=reason)
    source = from_here(case_file.path)
    listed = f"Removed {', '.join(gone)} from {path}." if gone else f"{path} has no case that {source} lacks."
    Messages(quiet=quiet).say(listed)
    return DONE


def _tell(taken: Acceptance, path: Path, messages: Messages) -> None:
    for name, shift in taken.shifts_decades.items():
        if shift is None:
            messages.say(f"{name}: new in {path}.")
        else:
            messages.say(f"{name}: moved by {shift:.3g} decades.")
    if taken.change is None:
        messages.say(f"{path} was left as it is: nothing to change.")
    else:
        messages.say(f"Wrote {path}: {len(taken.change.cases)} of its cases; commit it.")
