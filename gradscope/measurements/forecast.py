"""How well the last output can learn from the first input, from gradients before training."""

from __future__ import annotations

import math

import numpy as np

from gradscope.contract.component import INPUT
from gradscope.measurements.gradient_result import GradientNorms


def forecast_of(result: GradientNorms, index: int, carried_decades: float) -> float:
    """The forecast of one length; NaN where ``x`` was not measured."""
    if INPUT not in result.log10_norm:
        return math.nan
    inputs = 2 * result.by_lag(index, INPUT)
    largest = inputs.max()
    share = float(inputs[-1] - largest - np.log10((10.0 ** (inputs - largest)).sum()))
    return share + min(carried_decades, 0.0)
