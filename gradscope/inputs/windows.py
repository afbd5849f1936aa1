"""Cuts long recordings into windows and standardises their features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.errors import UsageError


@dataclass(frozen=True)
class Windows:
    """A batch cut from data.

    Attributes:
        x: ``(batch, length, features)``, every feature with mean 0 and variance 1 over the whole file.
        note: What was done, in one sentence.
    """

    x: NDArray[np.float64]
    note: str


def cut_windows(array: NDArray[np.float64], *, length: int, batch: int) -> Windows:
    """``batch`` windows of ``length`` steps at evenly spread places.

    Args:
        array: ``(time, features)``, or ``(sequences, time, features)``.
        length: Steps of a window.
        batch: How many windows; they overlap where the data are short.

    Raises:
        UsageError: The data are shorter than a window.
    """
    sequences, constant = standardised(array)
    count, time, _ = sequences.shape
    if time < length:
        raise UsageError(
            f"The data have {time} steps, but the longest length is {length}; ask for lengths up to {time}."
        )
    places = np.linspace(0, count * (time - length + 1) - 1, batch).round().astype(int)
    which, start = np.divmod(places, time - length + 1)
    x = np.stack([sequences[w, s : s + length] for w, s in zip(which, start, strict=True)])
    source = f"{time} steps" if count == 1 else f"{count} sequences of {time} steps"
    note = f"Data: {batch} windows of {length} from {source}, features standardised (mean 0, variance 1)"
    return Windows(x, f"{note}; {len(constant)} constant ones are 0." if constant else f"{note}.")


def standardised(array: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[int]]:
    """``(sequences, time, features)``, every feature with mean 0 and variance 1; and which are constant, left at 0."""
    sequences = array if array.ndim == 3 else array[None]
    flat = sequences.reshape(-1, sequences.shape[-1])
    mean, deviation = flat.mean(axis=0), flat.std(axis=0)
    constant = np.flatnonzero(deviation == 0).tolist()
    return (sequences - mean) / np.where(deviation == 0, 1, deviation), constant
