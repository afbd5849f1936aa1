"""Changing a baseline: new numbers taken in, old cases removed, each time with a reason in its history."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gradscope.commands.check.baseline import Baseline, Change, Entry, now
from gradscope.commands.check.baseline_file import update_baseline
from gradscope.commands.check.cases import chosen
from gradscope.commands.check.compare_case import compare_case, max_shift_decades
from gradscope.errors import UsageError

LARGEST_SHIFT_DECADES = 0.3
_GIT_SECONDS = 10


@dataclass(frozen=True)
class Acceptance:
    """What a baseline has taken in.

    Attributes:
        change: What stands in the history; None where nothing had to be changed.
        shifts_decades: Case to its largest difference to the numbers before; None where there was nothing to compare.
    """

    change: Change | None
    shifts_decades: Mapping[str, float | None]


def accept(path: Path, candidate: Baseline, pattern: str | None, *, reason: str, force: bool) -> Acceptance:
    """Takes the cases of a candidate that differ from the baseline; those that agree stay as they are.

    Args:
        path: Of the baseline; it may be missing.
        candidate: What a check has written.
        pattern: Which cases.
        reason: Why the numbers may change.
        force: Take shifts of any size.

    Raises:
        UsageError: No reason, a case of the candidate that was edited or is not a number; without ``force`` a shift
            over 0.3 decades, or a case of the baseline that was edited.
        UnknownName: The pattern means no case of the candidate.
    """
    entries = _acceptable(candidate, pattern)
    shifts: dict[str, float | None] = {}

    def taken(baseline: Baseline) -> Baseline:
        shifts.clear()
        shifts.update(_shifts(baseline, entries, skip_equal=True))
        edited = [name for name in shifts if name in baseline.cases and baseline.cases[name].is_edited]
        if edited and not force:
            raise UsageError(
                f"{edited[0]} of the baseline was edited by hand (its sha256 no longer fits), so there is no telling "
                "how far it has moved; restore it from version control, or repeat the command with --force."
            )
        far = {name: shift for name, shift in shifts.items() if shift is not None and shift > LARGEST_SHIFT_DECADES}
        if far and not force:
            worst = max(far, key=lambda name: far[name])
            raise UsageError(
                f"{worst} has moved by {far[worst]:.3g} decades, and accept takes up to {LARGEST_SHIFT_DECADES}; "
                "if it is meant, repeat the command with --force."
            )
        return _with_entries(baseline, {name: entries[name] for name in shifts}, shifts, reason, path)

    reason = checked_reason(reason)
    written = update_baseline(path, taken)
    return Acceptance(written.history[-1] if shifts else None, dict(shifts))


def record(path: Path, entries: Mapping[str, Entry], *, reason: str) -> Acceptance:
    """Writes measured cases into the baseline, over those of the same names."""
    shifts: dict[str, float | None] = {}

    def recorded(baseline: Baseline) -> Baseline:
        shifts.clear()
        shifts.update(_shifts(baseline, entries, skip_equal=False))
        return _with_entries(baseline, entries, shifts, reason, path)

    reason = checked_reason(reason)
    if not entries:
        return Acceptance(None, {})
    return Acceptance(update_baseline(path, recorded).history[-1], dict(shifts))


def prune(path: Path, kept: Iterable[str], *, reason: str) -> tuple[str, ...]:
    """Removes cases that are not among ``kept``; returns their names."""
    names = set(kept)
    gone: list[str] = []

    def pruned(baseline: Baseline) -> Baseline:
        gone[:] = [name for name in baseline.cases if name not in names]
        if not gone:
            return baseline
        cases = {name: entry for name, entry in baseline.cases.items() if name in names}
        change = Change(now(), commit(path.parent), reason, tuple(gone), None)
        return replace(baseline, cases=cases, history=(*baseline.history, change))

    reason = checked_reason(reason)
    update_baseline(path, pruned)
    return tuple(gone)


def checked_reason(reason: str) -> str:
    """The reason on one line.

    Raises:
        UsageError: An empty one.
    """
    text = " ".join(reason.split())
    if not text:
        raise UsageError('--reason should say why the numbers change, such as --reason "forget bias 1 to 0.5".')
    return text


def commit(folder: Path) -> str:
    """The commit of git that a folder is at, ``-dirty`` where files were changed; empty where there is none."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def _acceptable(candidate: Baseline, pattern: str | None) -> dict[str, Entry]:
    names = chosen([*candidate.cases, *candidate.failed], pattern)
    failed = [name for name in names if name in candidate.failed]
    if failed and (pattern is not None or len(failed) == len(names)):
        raise UsageError(f"{failed[0]} failed when the candidate was measured: {candidate.failed[failed[0]]}")
    entries = {name: candidate.cases[name] for name in names if name in candidate.cases}
    if not entries:
        raise UsageError("The candidate has no case; measure again with gradscope check.")
    for name, entry in entries.items():
        if entry.is_edited:
            raise UsageError(
                f"{name} of the candidate was edited by hand (its sha256 no longer fits); measure again with "
                "gradscope check."
            )
        if entry.measured.has_nan:
            raise UsageError(
                f"{name} of the candidate holds NaN, with which nothing could be compared; put the model right first, "
                "or choose other cases with --case."
            )
    return entries


def _shifts(baseline: Baseline, entries: Mapping[str, Entry], *, skip_equal: bool) -> dict[str, float | None]:
    """Case to its largest difference, of those that are new, differ, or all."""
    found: dict[str, float | None] = {}
    for name, entry in entries.items():
        before = baseline.cases.get(name)
        if before is None or before.is_edited:
            found[name] = None
        elif not skip_equal or not _agrees(before, entry):
            found[name] = max_shift_decades(before.measured, entry.measured)
    return found


def _agrees(before: Entry, entry: Entry) -> bool:
    same_weights = before.measured.weights_hash == entry.measured.weights_hash
    return same_weights and compare_case(before.measured, entry.measured).outcome in ("ok", "noisy")


def _with_entries(
    baseline: Baseline, entries: Mapping[str, Entry], shifts: Mapping[str, float | None], reason: str, path: Path
) -> Baseline:
    if not entries:
        return baseline
    known = [shift for shift in shifts.values() if shift is not None]
    change = Change(now(), commit(path.parent), reason, tuple(sorted(entries)), max(known, default=None))
    return replace(baseline, cases=dict(baseline.cases) | dict(entries), history=(*baseline.history, change))
