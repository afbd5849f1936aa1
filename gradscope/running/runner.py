"""Run the cells of a sweep, keep what is finished, and stop cleanly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pandas as pd
import torch

from gradscope.errors import GradscopeError
from gradscope.running.cell import SUMMARY, Cell, CellResult


class Memory(Protocol):
    """Finished cells of this and of earlier runs."""

    def recall(self, cell: Cell) -> CellResult | None:
        """The result of a cell that is already finished."""
        ...

    def keep(self, cell: Cell, result: CellResult) -> None:
        """Remember the result of a cell."""
        ...


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep gave.

    Attributes:
        results: Those of the finished cells, in the cells' order.
        recalled: How many of them came from an earlier run.
        interrupted: Whether the user stopped it before all cells were finished.
    """

    results: tuple[CellResult, ...]
    recalled: int
    interrupted: bool

    def followed_by(self, other: SweepOutcome) -> SweepOutcome:
        """Both, one after the other."""
        return SweepOutcome(self.results + other.results, self.recalled + other.recalled, other.interrupted)


def run_cell(cell: Cell) -> CellResult:
    """Measure one cell.

    A model that cannot be measured, or that runs out of memory, gives rows with the status ``failed``; so does any
    error that a class of the user's raises. The result depends on nothing but the cell.
    """
    started = time.perf_counter()
    expected = (Exception,) if cell.is_own else (GradscopeError, torch.OutOfMemoryError, MemoryError)
    try:
        result = cell.measure()
    except expected as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        failure = f"{cell.label}, seed {cell.seed}, could not be measured: {reason}"
        rows = cell.failed_rows()
        result = CellResult({SUMMARY: pd.DataFrame(rows)} if rows else {}, (), failure)
    return replace(result, elapsed_seconds=time.perf_counter() - started)


def run_sweep(
    cells: Sequence[Cell],
    *,
    memory: Memory | None = None,
    run: Callable[[Cell], CellResult] = run_cell,
    finished: Callable[[Cell], None] = lambda cell: None,
) -> SweepOutcome:
    """Run cells one after the other in this process.

    Args:
        cells: What to run.
        memory: Where finished cells are looked up and kept.
        run: What runs one cell.
        finished: Called after each cell.

    Returns:
        Everything that was finished, also when the user pressed Ctrl-C.
    """
    results: list[CellResult] = []
    recalled = 0
    try:
        for cell in cells:
            result = memory.recall(cell) if memory else None
            recalled += result is not None
            if result is None:
                result = run(cell)
                if memory:
                    memory.keep(cell, result)
            results.append(result)
            finished(cell)
    except KeyboardInterrupt:
        return SweepOutcome(tuple(results), recalled, interrupted=True)
    return SweepOutcome(tuple(results), recalled, interrupted=False)


@contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """While active, SIGINT raises KeyboardInterrupt as always; what is yielded raises it again if it was swallowed.

    An interrupt that arrives inside a callback of torch or of a progress bar is swallowed there.
    """
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield check
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
