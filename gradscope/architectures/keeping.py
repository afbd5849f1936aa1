"""Factors that keep: how little a step may forget for a memory of T steps."""

from __future__ import annotations

import math

from gradscope.numerics.decades import FADED_DECADES


def keeping_modulus(length: float, decades: float = FADED_DECADES) -> float:
    """Smallest factor of every step that loses no more than so many decades over T, 10^(-decades/T), rounded up.

    Example:
        >>> keeping_modulus(1000), keeping_modulus(100, decades=1.0)
        (0.995406, 0.97724)
    """
    scale = math.pow(10, 2 + len(str(int(length))))
    return math.ceil(scale * math.pow(10, -decades / length)) / scale


def keeping_bias(length: float, bias: float = 0.0, kept: float = math.nan) -> float:
    """Bias of a forget gate under which a step keeps 10^(-2/T), rounded up; at least 1 (Jozefowicz et al., 2015).

    Args:
        length: T.
        bias: The bias now,
        kept: and the median factor that was measured under it; by default what the bias alone keeps.

    Example:
        >>> keeping_bias(100), keeping_bias(100, bias=0.0, kept=0.5)
        (3.1, 3.1)
    """
    beside = _logit(kept) - bias if 0 < kept < 1 else 0.0
    return max(1.0, math.ceil(10 * (_logit(math.pow(10, -FADED_DECADES / length)) - beside)) / 10)


def _logit(modulus: float) -> float:
    return math.log(modulus / (1 - modulus))
