"""How long something takes, for ratios of times in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


def seconds(run: Callable[[], object], repeat: int = 5) -> float:
    """Median of several runs after one that warms up."""
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@dataclass(frozen=True)
class Ratio:
    """Of two things timed alternately: the median of the pairs' ratios, and their range."""

    median: float
    smallest: float
    largest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.smallest:.2f}–{self.largest:.2f})"


def ratio(mine: Callable[[], object], other: Callable[[], object], pairs: int = 5) -> Ratio:
    """How long one takes, divided by the other, in one process: A B A B …, after each has warmed up."""
    mine()
    other()
    found = []
    for _ in range(pairs):
        start = time.perf_counter()
        mine()
        middle = time.perf_counter()
        other()
        found.append((middle - start) / (time.perf_counter() - middle))
    return Ratio(statistics.median(found), min(found), max(found))
