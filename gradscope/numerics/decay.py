"""How norms fall from lag to lag."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def decades_per_step(by_lag: Array) -> float:
    """Slope of log10 norms against the lag: least squares over finite ones from lag 1 on; NaN for fewer than two."""
    lags = np.arange(len(by_lag), dtype=np.float64)[1:]
    known = np.isfinite(by_lag[1:])
    if known.sum() < 2:
        return math.nan
    x, y = lags[known] - lags[known].mean(), by_lag[1:][known]
    return float((x * (y - y.mean())).sum() / (x * x).sum())


def decades_between(log10_norm: float, log10_reference: float) -> float:
    """How far a norm lies above a reference, in decades; NaN where both are zero or infinite."""
    both = math.isinf(log10_norm) and math.isinf(log10_reference)
    return math.nan if both else float(log10_norm - log10_reference)
