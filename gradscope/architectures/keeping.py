"""Factors that keep: how little a step may forget for a memory of T steps."""

from __future__ import annotations

import math

from gradscope.numerics.decades import VANISHED_DECADES


def keeping_modulus(length: int) -> float:
    """Smallest factor of every step that loses no more than two decades over T, 10^(-2/T), rounded up."""
    scale = math.pow(10, 2 + len(str(length)))
    return math.ceil(scale * math.pow(10, -VANISHED_DECADES / length)) / scale


def keeping_bias(length: int) -> float:
    """Bias b of a forget gate with σ(b) = 10^(-2/T), rounded up; at least the 1 of Jozefowicz et al. (2015)."""
    modulus = math.pow(10, -VANISHED_DECADES / length)
    return max(1.0, math.ceil(10 * math.log(modulus / (1 - modulus))) / 10)
