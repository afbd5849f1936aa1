"""What a check says about one case, and what all of them together mean for a merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gradscope.commands.check.statistic import StatisticName
from gradscope.errors import CHANGED, DONE, NOT_COMPARED, SOME_FAILED

Outcome = Literal["ok", "changed", "incomparable", "missing", "failed", "noisy"]
Kind = Literal["", "vanishing more", "exploding more", "shifted"]
Cause = Literal["", "initialisation", "dynamics"]
Tier = Literal["tight", "robust"]

OUTCOMES: tuple[Outcome, ...] = ("failed", "changed", "incomparable", "missing", "noisy", "ok")  # worst news first


@dataclass(frozen=True)
class StatisticVerdict:
    """One statistic of a case, new against base; every shift is new − base, in decades.

    Attributes:
        name: Of the statistic.
        outcome: ``"ok"``, ``"changed"`` or ``"noisy"`` (rounding alone moves it too far for any judgement).
        tier: ``"tight"``: every seed and step counts; ``"robust"``: the median over seeds, at the first step.
        shift_decades: The largest over seeds and steps, with its sign; in the robust tier the median over seeds.
        median_decades: Over seeds, at ``step``.
        seed: Where the largest shift is; None in the robust tier.
        step: Where the largest shift is; None for a single number per seed.
        from_step: The latest step beyond the tolerance: from here on, going back; None if none is.
        to_step: The earliest step beyond the tolerance.
        is_contiguous: Every measured step between the two is beyond the tolerance.
        seeds_beyond: How many seeds are beyond the tolerance.
        is_mixed: Some of the seeds beyond the tolerance rose and some fell, each by its largest shift.
        seeds: How many there are.
        way_back_decades: For norms at several steps: the shift at the first step less that at the last, in the seed of
            the largest shift; it is what the way back has changed.
        tolerance_decades: What a shift must exceed.
        noise_decades: What rounding alone makes, the larger one of base and new.
    """

    name: StatisticName
    outcome: Outcome
    tier: Tier
    shift_decades: float
    median_decades: float
    seed: int | None
    step: int | None
    from_step: int | None
    to_step: int | None
    is_contiguous: bool
    seeds_beyond: int
    is_mixed: bool
    seeds: int
    way_back_decades: float | None
    tolerance_decades: float
    noise_decades: float


@dataclass(frozen=True)
class CaseVerdict:
    """One case.

    Attributes:
        name: Of the case.
        outcome: The verdict.
        sentence: The verdict in plain words, with what to do.
        kind: What a change does to the gradients on their way back.
        cause: Where a change comes from: other initial weights, or the same weights and another recurrence.
        decisive: The statistic that the verdict rests on; None where nothing was compared.
        statistics: All that were compared.
        note: What could not be compared, of a case that otherwise was.
        environment: How the places of the two measurements differ, such as ``"torch 2.5.0 → 2.13.0"``.
    """

    name: str
    outcome: Outcome
    sentence: str
    kind: Kind = ""
    cause: Cause = ""
    decisive: StatisticVerdict | None = None
    statistics: tuple[StatisticVerdict, ...] = ()
    environment: tuple[str, ...] = ()
    note: str = ""

    @property
    def was_compared(self) -> bool:
        """Whether at least one statistic was judged, if only within a wide tolerance."""
        return any(math.isfinite(statistic.tolerance_decades) for statistic in self.statistics)


def exit_code(verdicts: Sequence[CaseVerdict]) -> int:
    """0 ok, 1 changed, 3 something could not be compared or nothing was, 4 a case failed; 4 before 1 before 3.

    A noisy case alone does not hold up a merge, unless nothing at all was judged.
    """
    found = {verdict.outcome for verdict in verdicts}
    if "failed" in found:
        return SOME_FAILED
    if "changed" in found:
        return CHANGED
    if found & {"incomparable", "missing"} or not any(verdict.was_compared for verdict in verdicts):
        return NOT_COMPARED
    return DONE


def counts(verdicts: Sequence[CaseVerdict]) -> str:
    """Such as ``"2 changed, 14 ok"``, the worst first."""
    numbers = {outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in OUTCOMES}
    return ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number) or "no cases"


def worst_first(verdicts: Sequence[CaseVerdict]) -> list[CaseVerdict]:
    """The worst news first, otherwise in the order given."""
    return sorted(verdicts, key=lambda verdict: OUTCOMES.index(verdict.outcome))
