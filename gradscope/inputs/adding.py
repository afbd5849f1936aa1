"""The adding problem (Hochreiter & Schmidhuber 1997): add the two marked values of a long sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """Value U(0, 1) and marker, ``(length, batch, 2)``: one mark in the first half, one in the second."""
    x = np.zeros((length, batch, 2))
    x[..., 0] = random.random_sample((length, batch))
    half = max(1, length // 2)
    first, second = random.randint(0, half, batch), random.randint(min(half, length - 1), length, batch)
    x[first, np.arange(batch), 1] = 1
    x[second, np.arange(batch), 1] = 1
    return x
