"""Tasks that ask for memory, time first: adding two marked values, and recalling symbols."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def adding(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """Value U(0, 1) and marker, ``(length, batch, 2)``: one mark in the first half, one in the second."""
    x = np.zeros((length, batch, 2))
    x[..., 0] = random.random_sample((length, batch))
    half = max(1, length // 2)
    first, second = random.randint(0, half, batch), random.randint(min(half, length - 1), length, batch)
    x[first, np.arange(batch), 1] = 1
    x[second, np.arange(batch), 1] = 1
    return x


def copy_memory(
    random: np.random.RandomState, length: int, batch: int, input_size: int, *, symbols: int, memory: int
) -> NDArray[np.float64]:
    """One-hot, ``(length, batch, symbols + 2)``: symbols, blanks, the signal, and blanks to answer in.

    The last two features are the blank and the signal. A sequence too short for all of it keeps fewer symbols.
    """
    kept = max(1, min(memory, (length - 1) // 2))
    tokens = np.full((length, batch), symbols)
    tokens[:kept] = random.randint(0, symbols, (kept, batch))
    tokens[length - kept - 1 if length > kept + 1 else length - 1] = symbols + 1
    one_hot: NDArray[np.float64] = np.eye(symbols + 2)[tokens]
    return one_hot
