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


def middle(values: Values) -> float:
    """Median of what is no NaN; infinite values count as what they are. NaN where there is nothing.

    Example:
        >>> middle(np.array([-math.inf, -3.0, -1.0, math.nan]))
        -3.0
    """
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return math.nan
    low, high = known[(len(known) - 1) // 2], known[len(known) // 2]
    return float(low if low == high or np.isinf(low) or np.isinf(high) else (low + high) / 2)


def median_and_range(values: Values, digits: int = 2) -> str:
    """``median [smallest … largest]`` over seeds; the median alone where the others look the same.

    Numbers of a hundred or more have one digit, exact zeros are −inf, and what is no number is counted.

    Example:
        >>> median_and_range(np.array([-20.4, -5.7, -2.4])), median_and_range(np.array([-201.66, math.nan]))
        ('-5.70 [-20.40 … -2.40]', '-201.7 (1 of 2 not finite)')
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return NOTHING
    places = min(digits, 1) if np.abs(known[np.isfinite(known)]).max(initial=0.0) >= 100 else digits
    # rounded first and with 0 added, for there is no −0.00
    texts = [f"{round(value, places) + 0.0:.{places}f}" for value in (middle(known), known.min(), known.max())]
    text = with_range(*texts)
    return f"{text} ({len(values) - len(known)} of {len(values)} not finite)" if len(known) < len(values) else text


def with_range(text: str, smallest: str, largest: str) -> str:
    """``text [smallest … largest]``; the text alone where the two are the same."""
    return text if smallest == largest else f"{text} [{smallest} … {largest}]"
