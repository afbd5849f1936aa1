"""One random value held for the whole sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """N(0, 1) for each sample and feature, the same at every step, ``(length, batch, input_size)``."""
    return np.repeat(random.standard_normal((1, batch, input_size)), length, axis=0)
