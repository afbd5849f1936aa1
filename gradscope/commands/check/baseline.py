"""A baseline: the numbers that later ones are compared with, where they were measured, and why they changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gradscope import __version__
from gradscope.commands.check.environment import Environment
from gradscope.commands.check.numbers import CaseNumbers, FailedCase
from gradscope.commands.check.plain_case import integrity, plain_case
from gradscope.errors import UsageError

PROFILE = "cpu-f64"
PROFILES = (PROFILE,)


@dataclass(frozen=True)
class Entry:
    """A case in a baseline.

    Attributes:
        numbers: What was measured.
        environment: Where.
        sha256: The hash that stands in the file; it is kept when the file is written again, so that an edit shows.
        is_edited: The numbers are not those that the hash was taken of.
    """

    numbers: CaseNumbers
    environment: Environment
    sha256: str
    is_edited: bool = False


@dataclass(frozen=True)
class Change:
    """Why a baseline is what it is.

    Attributes:
        date: In UTC, ISO 8601.
        commit: Of git, when the change was written; empty where there is none.
        reason: In the user's words.
        cases: What was changed.
        max_shift_decades: The largest difference to the numbers before; None where there was nothing to compare.
    """

    date: str
    commit: str
    reason: str
    cases: tuple[str, ...]
    max_shift_decades: float | None


@dataclass(frozen=True)
class Baseline:
    """A baseline, or a candidate for one.

    Attributes:
        cases: By name.
        history: The oldest change first.
        failed: Cases of a candidate that could not be measured, with the reason.
        created: In UTC, ISO 8601.
        tool: The version of gradscope that wrote it.
        other_profiles: What the file holds beside this profile; written back as it was.
    """

    cases: Mapping[str, Entry] = field(default_factory=dict)
    history: tuple[Change, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    tool: str = __version__
    other_profiles: Mapping[str, Any] = field(default_factory=dict)


def entry_of(numbers: CaseNumbers, environment: Environment) -> Entry:
    """A measured case as an entry."""
    return Entry(numbers, environment, integrity(plain_case(numbers)))


def candidate_of(measured: tuple[CaseNumbers | FailedCase, ...], environment: Environment) -> Baseline:
    """What was measured, as a file holds it."""
    numbers = [case for case in measured if isinstance(case, CaseNumbers)]
    return Baseline(
        cases={case.name: entry_of(case, environment) for case in numbers},
        failed={case.name: case.reason for case in measured if isinstance(case, FailedCase)},
        created=now(),
    )


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked_profile(name: str) -> str:
    """The profile.

    Raises:
        UsageError: There is no such one; says which there is.
    """
    if name not in PROFILES:
        raise UsageError(f"There is no profile '{name}': {PROFILE} (float64 on the CPU) is the one there is.")
    return name
