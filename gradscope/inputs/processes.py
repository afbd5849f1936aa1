"""Random processes, time first, and those among them that are linear filters of white noise.

white       R(Δ) = 1[Δ = 0]
ar1         R(Δ) = ρ^|Δ|
constant    one value held for the whole sequence: ρ = 1
wiki-like   R(Δ) = 0.332 · 1[Δ = 0] + 0.043056 · 0.997005^|Δ|, embedded Wikipedia text (arXiv:2405.21064, section 5)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gradscope.errors import UnknownName

# R(Δ) = WHITE · 1[Δ = 0] + SLOW · RHO^|Δ|, embedded Wikipedia text (Zucchet & Orvieto 2024, arXiv:2405.21064, s. 5)
WHITE, SLOW, RHO = 0.332, 0.043056, 0.997005


def white(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """Independent N(0, 1), ``(length, batch, input_size)``."""
    return random.standard_normal((length, batch, input_size))


def ar1(random: np.random.RandomState, length: int, batch: int, input_size: int, *, rho: float) -> NDArray[np.float64]:
    """Stationary with unit variance and R(Δ) = ρ^|Δ|, ``(length, batch, input_size)``; x_1 is N(0, 1)."""
    x = random.standard_normal((length, batch, input_size))
    innovation = math.sqrt(1 - rho * rho)
    for before, now in pairwise(x):
        now *= innovation
        now += rho * before
    return x


def constant(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
    """N(0, 1) for each sample and feature, the same at every step, ``(length, batch, input_size)``."""
    return np.repeat(random.standard_normal((1, batch, input_size)), length, axis=0)


def wiki_like(random: np.random.RandomState, length: int, batch: int, input_size: int) -> NDArray[np.float64]:
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


KINDS = ("white", "ar1", "constant", "wiki-like")


@dataclass(frozen=True)
class DrivenInput:
    """A sum of independent AR(1) processes, stationary from the first step.

    Attributes:
        label: As the user writes it.
        weights: Variance of each process.
        rhos: Correlation of neighbouring steps of each; 0 is white, 1 is constant.
    """

    label: str
    weights: tuple[float, ...]
    rhos: tuple[float, ...]


def driven_input(kind: str, rho: float = 0.9) -> DrivenInput:
    """One of the kinds above.

    Raises:
        UnknownName: No such kind.
    """
    if kind == "white":
        return DrivenInput("white", (1.0,), (0.0,))
    if kind == "ar1":
        return DrivenInput(f"ar1:rho={rho:g}", (1.0,), (rho,))
    if kind == "constant":
        return DrivenInput("constant", (1.0,), (1.0,))
    if kind == "wiki-like":
        return DrivenInput("wiki-like", (WHITE, SLOW), (0.0, RHO))
    raise UnknownName("input of the scalar law", kind, KINDS)
