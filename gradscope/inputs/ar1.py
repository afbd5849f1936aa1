"""First-order autoregressive noise: x_t = ρ x_{t−1} + √(1 − ρ²) ε_t."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def draw(random: np.random.RandomState, length: int, batch: int, input_size: int, *, rho: float) -> NDArray[np.float64]:
    """Stationary with unit variance and R(Δ) = ρ^|Δ|, ``(length, batch, input_size)``; x_1 is N(0, 1)."""
    x = random.standard_normal((length, batch, input_size))
    innovation = math.sqrt(1 - rho * rho)
    for before, now in pairwise(x):
        now *= innovation
        now += rho * before
    return x
