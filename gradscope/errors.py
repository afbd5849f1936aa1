"""Errors a user can cause, each one full sentence, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GradscopeError(Exception):
    """Something the user can put right; the command line prints its sentence and exits with ``exit_code``."""

    exit_code = 2


class UsageError(GradscopeError):
    """An argument that cannot be understood or does not fit the others."""


class UnknownName(UsageError):
    """A name that is not in a table: says which, what there is, and what was probably meant."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        super().__init__(f"There is no {kind} called '{given}'.{hint} Known: {', '.join(names)}.")


class Unmeasurable(GradscopeError):
    """A model that cannot be measured as it is (dropout, batch norm, not causal), with advice."""


class NoRecurrentState(Unmeasurable):
    """A recurrent quantity was asked of a model without a recurrent state; names the counterpart."""
