"""Errors a user can cause, each one full sentence, with the nearest valid name; and the exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What a command's exit code says.
DONE, CHANGED, WRONG_USE, NOT_COMPARED, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130
SHOWN_NAMES = 30


class GradscopeError(Exception):
    """Something the user can put right; the command line prints its sentence and exits with ``exit_code``."""

    exit_code = WRONG_USE


class UsageError(GradscopeError):
    """An argument that cannot be understood or does not fit the others."""


class UnknownName(UsageError):
    """A name that is not in a table: says which, what there is, and what was probably meant."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        by_lower = {name.lower(): name for name in names}
        near = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
        hint = f" Did you mean '{by_lower[near[0]]}'?" if near else ""
        known = ", ".join(names[:SHOWN_NAMES]) + (
            f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        )
        super().__init__(f"There is no {kind} called '{given}'.{hint} Known: {known or 'none'}.")


class Unmeasurable(GradscopeError):
    """A model that cannot be measured as it is (dropout, batch norm, not causal), with advice."""


class NoRecurrentState(Unmeasurable):
    """A recurrent quantity was asked of a model without a recurrent state; names the counterpart."""
