"""A baseline: the numbers that later ones are compared with, where they were measured, and why they changed."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gradscope import __version__
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase, integrity, plain_case
from gradscope.commands.check.names import PROFILE
from gradscope.errors import UsageError

Environment = Mapping[str, str]  # versions and hardware: what explains a difference that the code does not


@dataclass(frozen=True)
class Entry:
    """A case in a baseline.

    Attributes:
        measured: The numbers.
        environment: Where they were measured.
        sha256: The hash that stands in the file; it is kept when the file is written again, so that an edit shows.
        is_edited: The numbers are not those that the hash was taken of.
    """

    measured: MeasuredCase
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


def candidate_of(found: tuple[MeasuredCase | FailedCase, ...], environment: Environment) -> Baseline:
    """What was measured, as a file holds it."""
    measured = [case for case in found if isinstance(case, MeasuredCase)]
    return Baseline(
        cases={case.name: Entry(case, environment, integrity(plain_case(case))) for case in measured},
        failed={case.name: case.reason for case in found if isinstance(case, FailedCase)},
        created=now(),
    )


def environment_stamp() -> dict[str, str]:
    """Versions and hardware of this process, as texts."""
    import numpy as np
    import torch

    return {
        "gradscope": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "linear_algebra": _linear_algebra(torch.__config__.show()),
    }


def environment_differences(base: Environment, new: Environment) -> tuple[str, ...]:
    """What differs, such as ``"torch 2.5.0 → 2.13.0"``; nothing where one of them is unknown."""
    if not base or not new:
        return ()
    keys = [*base, *(key for key in new if key not in base)]
    return tuple(
        f"{key} {base.get(key) or 'none'} → {new.get(key) or 'none'}" for key in keys if base.get(key) != new.get(key)
    )


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked_profile(name: str) -> str:
    """The profile.

    Raises:
        UsageError: There is no such one; says which there is.
    """
    if name != PROFILE:
        raise UsageError(f"There is no profile '{name}': {PROFILE} (float64 on the CPU) is the one there is.")
    return name


def _linear_algebra(configuration: str) -> str:
    """The library of matrix products that torch was built with."""
    for line in configuration.splitlines():
        for library in ("Math Kernel Library", "OpenBLAS", "Accelerate"):
            if library in line:
                return line.strip(" -").split(" for ")[0].split("-Product")[0]
    return "unknown"
