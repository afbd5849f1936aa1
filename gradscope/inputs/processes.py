"""Random processes, time first, which are sums of independent AR(1) processes: R(Δ) = Σ_k w_k ρ_k^|Δ|.

The catalogue says the variances w_k and the correlations ρ_k of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gradscope.contract.option import OptionValue
from gradscope.errors import UnknownName
from gradscope.inputs.catalogue import INPUTS, WIKI_LIKE

KINDS = tuple(name for name, spec in INPUTS.items() if spec.parts)


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
    (white_variance, _), (slow_variance, rho) = WIKI_LIKE
    slow *= math.sqrt(slow_variance)
    innovation = math.sqrt(1 - rho * rho)
    for before, now in pairwise(slow):
        now *= innovation
        now += rho * before
    white *= math.sqrt(white_variance)
    white += slow
    return white


@dataclass(frozen=True)
class DrivenInput:
    """A sum of independent AR(1) processes, stationary from the first step.

    Attributes:
        weights: Variance of each process.
        rhos: Correlation of neighbouring steps of each; 0 is white, 1 is constant.
    """

    weights: tuple[float, ...]
    rhos: tuple[float, ...]


def driven_input(kind: str, **options: OptionValue) -> DrivenInput:
    """An input by its kind, as the catalogue has it.

    Args:
        kind: One of ``KINDS``.
        options: The kind's own, such as ``rho=0.9``.

    Raises:
        UnknownName: No such kind.
    """
    parts_of = INPUTS[kind].parts if kind in INPUTS else None
    if parts_of is None:
        raise UnknownName("input of the scalar law", kind, KINDS)
    weights, rhos = zip(*parts_of(INPUTS[kind].all_options(options)), strict=True)
    return DrivenInput(weights, rhos)
