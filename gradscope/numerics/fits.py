"""Fitted rates: decades per step of a decay, and the exponent of a power law in 1 − |λ| with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


SLOPE_POINTS = 200  # of a profile, evenly spaced, that a robust slope is taken from: 19,900 pairs


def robust_slope(by_lag: Array, first: int = 0) -> float:
    """Median of the slopes of all pairs of points from a lag on (Theil–Sen); NaN for fewer than two finite ones.

    A third of the points may be anything without much effect.

    Example:
        >>> round(robust_slope(np.array([5.0, 1.0, 0.9, 0.8, 0.7, 9.0, 0.5]), 1), 9)
        -0.1
    """
    lags = np.unique(np.linspace(first, max(first, len(by_lag) - 1), SLOPE_POINTS).round().astype(np.int64))
    lags = lags[lags < len(by_lag)]
    lags = lags[np.isfinite(by_lag[lags])]
    if len(lags) < 2:
        return math.nan
    left, right = np.triu_indices(len(lags), 1)
    slopes = (by_lag[lags[right]] - by_lag[lags[left]]) / (lags[right] - lags[left])
    return float(np.median(slopes))


def decades_between(log10_norm: float, log10_reference: float) -> float:
    """How far a norm lies above a reference, in decades; NaN where both are zero or infinite."""
    both = math.isinf(log10_norm) and math.isinf(log10_reference)
    return math.nan if both else float(log10_norm - log10_reference)


GROUPS = 32  # of samples, that the jackknife leaves out in turn


@dataclass(frozen=True)
class Exponent:
    """Slope of log10 E against log10(1 − |λ|), least squares over all values.

    Attributes:
        exponent: NaN where fewer than two values are positive and finite.
        standard_error: From the scatter of the samples, by a grouped jackknife; NaN for fewer than two groups.
    """

    exponent: float
    standard_error: float


def fit_exponent(epsilon: Array, powers: Array, blocks: int | None = None) -> Exponent:
    """The exponent of the mean of samples that the values of λ share.

    Args:
        epsilon: 1 − |λ|, ``(lambdas,)``.
        powers: Squares sample by sample, ``(lambdas, samples)``; a sample is one sequence, or one seed, at every λ.
        blocks: Runs of samples that are independent of each other; all samples by default.

    Example:
        >>> epsilon = np.array([0.1, 0.01, 0.001])
        >>> round(fit_exponent(epsilon, np.outer(epsilon**-3.0, np.ones(8))).exponent, 9)
        -3.0
    """
    exponent = _slope(epsilon, powers.mean(axis=1))
    groups = np.array_split(np.arange(powers.shape[1]), min(GROUPS, blocks or powers.shape[1]))
    if len(groups) < 2 or math.isnan(exponent):
        return Exponent(exponent, math.nan)
    total, count = powers.sum(axis=1), powers.shape[1]
    without = np.array(
        [_slope(epsilon, (total - powers[:, group].sum(axis=1)) / (count - len(group))) for group in groups]
    )
    spread = ((without - without.mean()) ** 2).sum() * (len(groups) - 1) / len(groups)
    return Exponent(exponent, float(math.sqrt(spread)))


def _slope(epsilon: Array, power: Array) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = np.log10(epsilon), np.log10(power)
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2 or np.ptp(x[known]) == 0:
        return math.nan
    x, y = x[known] - x[known].mean(), y[known]
    return float((x * y).sum() / (x * x).sum())
