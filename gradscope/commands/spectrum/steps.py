"""Which steps of a sequence: ``10,50,200``, ``every:20``, ``last``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gradscope.errors import UsageError

_GRAMMAR = "write steps, 10,50,200, or every:20, or last"


@dataclass(frozen=True)
class StepChoice:
    """Steps that a length turns into numbers.

    Attributes:
        text: As it was given.
        numbers: The steps themselves; empty for the other two.
        every: Distance of steps counted back from the last one; 0 for none.
    """

    text: str
    numbers: tuple[int, ...] = ()
    every: int = 0

    def as_plain(self) -> str:
        """For ``run.json``."""
        return self.text

    def of_length(self, length: int) -> tuple[int, ...]:
        """The steps, ascending.

        Raises:
            UsageError: One is outside the sequence.
        """
        if self.every:
            return tuple(range(length, 0, -self.every))[::-1]
        outside = [step for step in self.numbers if step > length]
        if outside:
            raise UsageError(
                f"Step {outside[0]} lies outside the sequence, which has {length} steps; take another, or a longer one."
            )
        return self.numbers or (length,)


def parse_steps(shown: str, text: str) -> StepChoice:
    """The steps that a text stands for.

    Raises:
        UsageError: Not of one of the three forms, or a step below 1.

    Example:
        >>> parse_steps("--steps", "every:20").of_length(50)
        (10, 30, 50)
        >>> parse_steps("--steps", "5, 2").of_length(50)
        (2, 5)
    """
    words = text.replace("_", "").strip()
    if words == "last":
        return StepChoice(text)
    every = re.fullmatch(r"every:0*([1-9]\d*)", words)
    if every:
        return StepChoice(text, every=int(every[1]))
    items = [item.strip() for item in words.split(",")]
    if not all(re.fullmatch(r"0*[1-9]\d*", item) for item in items):
        raise UsageError(f"{shown} '{text}' cannot be read; {_GRAMMAR}, each from 1 on.")
    return StepChoice(text, tuple(sorted({int(item) for item in items})))
