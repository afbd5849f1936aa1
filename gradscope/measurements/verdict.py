"""What a gradient's way back amounts to, in one word: for one seed and length, and over seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from gradscope.numerics.decades import (
    EXPLODED_DECADES,
    FADED_DECADES,
    FROZEN_ALONE,
    FROZEN_EACH,
    FROZEN_TOGETHER,
    LOST_DECADES,
)

# In the order in which they apply.
Verdict = Literal["unknown", "saturated", "cut", "cut or saturated", "exploding", "lost", "fading", "frozen", "carried"]
Zeros = Literal["", "saturated", "cut", "cut or saturated"]  # what an exact zero is; empty where there is none

MIXED = "mixed"  # over seeds alone
CARRIED: Verdict = "carried"
UNKNOWN: Verdict = "unknown"

VERDICTS: dict[Verdict, str] = {
    "unknown": "a norm is not a number",
    "saturated": "exactly zero in this dtype, not in float64",
    "cut": "exactly zero in float64 too, for no path leads there",
    "cut or saturated": "exactly zero, and it cannot be told which: units may be saturated in float64 too, or the code "
    "does not run there",
    "exploding": f"carried {EXPLODED_DECADES:g} decades or more above the last steps'",
    "lost": f"{LOST_DECADES:g} decades or more below: less than half an ulp of float32 beside the last steps'",
    "fading": f"{FADED_DECADES:g} decades or more below",
    "frozen": "carried, but the inputs hardly enter the state: together they move it by less than "
    f"{100 * 10**FROZEN_TOGETHER:.0f} %, each by less than {100 * 10**FROZEN_EACH:.1g} %, or the first ones not at all",
    "carried": "none of these",
}
# Those that something can be done about; a cut is how a model is built, and the unknown has to be known first.
TROUBLES: tuple[Verdict, ...] = ("saturated", "exploding", "lost", "fading", "frozen")


@dataclass(frozen=True)
class InputShares:
    """How much the inputs move the state, as log10.

    Attributes:
        log10_together: All of them, relative to the state's own gradient.
        log10_largest: The one that moves it most.
        log10_first: The first ones relative to the strongest, without the drop.
        num_layers: Layers that an input has to go through.
    """

    log10_together: float
    log10_largest: float
    log10_first: float = 0.0
    num_layers: int = 1

    @property
    def hardly_enter(self) -> bool:
        """Whether hardly anything is written into the state, or at its beginning."""
        layers, together = self.num_layers, self.log10_together
        each = self.log10_largest < layers * FROZEN_EACH or together < FROZEN_ALONE + layers * FROZEN_TOGETHER
        return (together < layers * FROZEN_TOGETHER and each) or self.log10_first <= -LOST_DECADES


def verdict_of(carried_decades: float, zeros: Zeros = "", shares: InputShares | None = None) -> Verdict:
    """The verdict on one gradient, the first that applies.

    Args:
        carried_decades: Of the judged gradient at step 1, see :class:`~gradscope.measurements.judgement.Judgement`.
        zeros: What it is that it is exactly zero.
        shares: How much the inputs move the state; None where there is no state.

    Example:
        >>> [verdict_of(decades) for decades in (3.0, -1.0, -2.0, -8.0, float("nan"))]
        ['exploding', 'carried', 'fading', 'lost', 'unknown']
    """
    if zeros:
        return zeros
    if not math.isfinite(carried_decades):
        return UNKNOWN
    if carried_decades >= EXPLODED_DECADES:
        return "exploding"
    if carried_decades <= -FADED_DECADES:
        return "lost" if carried_decades <= -LOST_DECADES else "fading"
    return "frozen" if shares is not None and shares.hardly_enter else CARRIED


def over_seeds(verdicts: Iterable[str]) -> str:
    """One word for all seeds: theirs where they agree, ``mixed`` where they do not."""
    found = set(verdicts)
    return found.pop() if len(found) == 1 else MIXED


def counted_verdicts(verdicts: Iterable[str]) -> str:
    """How many seeds have which, the most frequent first, in the verdicts' order where they are as many.

    Example:
        >>> counted_verdicts(["fading", "lost", "lost", "lost"])
        '3 lost, 1 fading'
    """
    order = {word: place for place, word in enumerate(get_args(Verdict))}
    counts = Counter(verdicts).items()
    ranked = sorted(counts, key=lambda item: (-item[1], order.get(item[0], len(order))))
    return ", ".join(f"{count} {word}" for word, count in ranked)
