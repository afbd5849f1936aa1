"""Numbers of several seeds as one number, or as one text."""

from __future__ import annotations

import math

import numpy as np

NOTHING = "–"  # where there is no number
Values = np.ndarray[tuple[int], np.dtype[np.float64]]


def finite_mean(values: Values) -> float:
    """Mean of the finite values; NaN where there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def mean_and_deviation(values: Values, digits: int = 2) -> str:
    """``mean ± standard deviation`` of logarithms over seeds; exact zeros are left out and counted."""
    finite = values[np.isfinite(values)]
    zeros = int(np.isneginf(values).sum())
    if len(finite) == 0:
        return "-inf" if zeros else NOTHING
    if abs(finite.mean()) >= 100:
        digits = min(digits, 1)
    text = f"{finite.mean():.{digits}f}"
    if len(finite) > 1:
        text += f" ± {finite.std(ddof=1):.{digits}f}"
    return f"{text} ({zeros} zero)" if zeros else text
