"""The copy task (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016): recall symbols after a long blank stretch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(
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
