"""Where the features of a view stand in the values that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gradscope.dynamics.program.trace import Value


@dataclass(frozen=True)
class Piece:
    """Consecutive features of a base, a value that has cotangents of its own; of several dimensions, laid out flat."""

    base: Value
    start: int
    width: int


def consecutive(positions: list[int]) -> list[tuple[int, int]]:
    """Runs of numbers that follow one another, by their first and how many they are.

    Example:
        >>> consecutive([3, 0, 1, 2])
        [(3, 1), (0, 3)]
    """
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and sum(runs[-1]) == position:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((position, 1))
    return runs


def sliced(pieces: tuple[Piece, ...], start: int, width: int) -> tuple[Piece, ...]:
    """The pieces of some consecutive features."""
    found, position = [], 0
    for piece in pieces:
        low, high = max(start, position), min(start + width, position + piece.width)
        if low < high:
            found.append(Piece(piece.base, piece.start + low - position, high - low))
        position += piece.width
    return tuple(found)


def flat(bar: Tensor) -> Tensor:
    """A cotangent ``(steps, active, batch, *features)`` with its features in one dimension."""
    return bar.unsqueeze(-1) if bar.dim() == 3 else bar.flatten(3)
