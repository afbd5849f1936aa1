"""Noise with the autocorrelation of embedded Wikipedia text (Zucchet & Orvieto 2024, arXiv:2405.21064, section 5)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

WHITE, SLOW, RHO = 0.332, 0.043056, 0.997005  # R(Δ) = WHITE · 1[Δ = 0] + SLOW · RHO^|Δ|


def draw(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """A white and a slow process added, ``(length, batch, input_size)``; stationary from the first step."""
    drawn: NDArray[np.float64] = random.standard_normal((length, 2, batch, input_size))
    white, slow = drawn[:, 0].copy(), drawn[:, 1].copy()
    slow *= math.sqrt(SLOW)
    innovation = math.sqrt(1 - RHO * RHO)
    for before, now in pairwise(slow):
        now *= innovation
        now += RHO * before
    white *= math.sqrt(WHITE)
    white += slow
    return white
