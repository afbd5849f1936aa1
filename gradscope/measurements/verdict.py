"""What a gradient's way back amounts to, in one word: for one seed and length, and over seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

from gradscope.numerics.decades import (
    EXPLODED_DECADES,
    FADED_DECADES,
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
    "cut or saturated": "zero in float64 too, in a model of one's own whose units may be saturated there as well",
    "exploding": f"carried {EXPLODED_DECADES:g} decades or more above the last steps'",
    "lost": f"{LOST_DECADES:g} decades or more below: less than half an ulp of float32 beside the last steps'",
    "fading": f"{FADED_DECADES:g} decades or more below",
    "frozen": "carried, but the inputs hardly enter the state: together they move it by less than "
    f"{100 * 10**FROZEN_TOGETHER:.0f} %, each by less than {100 * 10**FROZEN_EACH:.1g} %",
    "carried": "none of these",
}
# Those that something can be done about; a cut is how a model is built, and the unknown has to be known first.
TROUBLES: tuple[Verdict, ...] = ("saturated", "exploding", "lost", "fading", "frozen")


def verdict_of(
    carried_decades: float,
    zeros: Zeros = "",
    log10_input_share: float = math.nan,
    log10_largest_input_share: float = math.nan,
) -> Verdict:
    """The verdict on one gradient, the first that applies.

    Args:
        carried_decades: Of the judged gradient at step 1, see :class:`~gradscope.measurements.judgement.Judgement`.
        zeros: What it is that it is exactly zero.
        log10_input_share: How much all inputs move the state; NaN where there is no state.
        log10_largest_input_share: How much the strongest of them does.

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
    hardly = log10_input_share < FROZEN_TOGETHER and log10_largest_input_share < FROZEN_EACH
    return "frozen" if hardly else CARRIED


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
