"""One number, or one text, for the samples of a batch or for several seeds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log10_root_mean_square(log10_norm: Array, axis: int = 0) -> Array:
    """log10 of the root mean square of norms given as log10, by log-sum-exp.

    Args:
        log10_norm: Norms; −inf is an exact zero and counts as one, NaN gives NaN.
        axis: The axis of the batch, which goes.
    """
    largest = np.max(log10_norm, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        mean_square = np.mean(10.0 ** (2 * (log10_norm - safe)), axis=axis)
        return np.asarray(np.log10(mean_square) / 2 + np.squeeze(safe, axis=axis))


def log10_median(log10_norm: Array, axis: int = 0) -> Array:
    """Median over the batch; the mean of the middle two logarithms for an even batch, −inf if one of them is."""
    with np.errstate(invalid="ignore"):
        ordered = np.sort(log10_norm, axis=axis)
        count = log10_norm.shape[axis]
        low, high = (np.take(ordered, index, axis=axis) for index in ((count - 1) // 2, count // 2))
        return np.asarray(np.where(low == high, low, (low + high) / 2))


def exact_zeros(log10_norm: Array, axis: int = 0) -> NDArray[np.int64]:
    """How many norms of the batch are exactly zero."""
    return np.asarray(np.isneginf(log10_norm).sum(axis=axis))


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
