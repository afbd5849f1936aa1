"""White noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """Independent N(0, 1), ``(length, batch, input_size)``."""
    return random.standard_normal((length, batch, input_size))
