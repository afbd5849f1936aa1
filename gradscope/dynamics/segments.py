"""The reverse pass goes through time in segments in which the set of active lengths does not change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from gradscope.contract.state import Prepared, State


@dataclass(frozen=True)
class Segment:
    """Steps ``start + 1 … stop``.

    Attributes:
        active: How many of the lengths, sorted from the longest, are at least ``stop``; the others have not begun.
    """

    start: int
    stop: int
    active: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.stop - self.start


@dataclass(frozen=True)
class SegmentStates:
    """One segment of a trajectory.

    Attributes:
        segment: Which steps.
        states: ``s_start … s_stop``, ``(steps + 1, batch, *block shape)``.
        u: What the steps consume, ``(steps, batch, *)``.
        times: Their numbers, ``(steps,)``.
        x: Their inputs, ``(steps, batch, input_size)``, and as many earlier ones as ``prepare`` reaches back.
    """

    segment: Segment
    states: State
    u: Prepared
    times: Tensor
    x: Tensor

    @property
    def before(self) -> State:
        """The states that the steps start from."""
        return {name: value[:-1] for name, value in self.states.items()}

    @property
    def after(self) -> State:
        """The states that the steps lead to."""
        return {name: value[1:] for name, value in self.states.items()}


def reversed_segments(lengths: Sequence[int], size: int) -> Iterator[Segment]:
    """Segments from the last step to the first, cut at every length and at multiples of ``size``.

    Args:
        lengths: Distinct lengths in any order.
        size: The largest number of steps in a segment.
    """
    cuts = sorted({*range(0, max(lengths), size), *lengths}, reverse=True)
    for stop, start in pairwise(cuts):
        yield Segment(start, stop, sum(length >= stop for length in lengths))
