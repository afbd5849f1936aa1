"""Run the cells of a sweep, keep what is finished, and stop cleanly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gradscope.running.cell import Cell
from gradscope.running.cell_result import CellResult
from gradscope.running.run_cell import run_cell


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
