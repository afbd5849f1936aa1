"""Fitted rates: decades per step of a decay, and the exponent of a power law in 1 − |λ|, its error and its fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gradscope.numerics.student import probability_beyond, student_bound

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
COVERED = 0.9545  # of a normal distribution, within two standard errors


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
    with np.errstate(invalid="ignore", over="ignore"):  # of powers that are not finite
        exponent = _slope(epsilon, powers.mean(axis=1))
    without = _means_without(powers, blocks)
    if without.shape[1] < 2 or math.isnan(exponent):
        return Exponent(exponent, math.nan)
    slopes = np.array([_slope(epsilon, mean) for mean in without.T])
    spread = ((slopes - slopes.mean()) ** 2).sum() * (len(slopes) - 1) / len(slopes)
    return Exponent(exponent, float(math.sqrt(spread)))


def exponent_of_draws(epsilon: Array, powers: Array) -> Exponent:
    """The mean of the exponents that draws of weights have one by one.

    The draws are few, so that their scatter is known badly itself: the standard error is widened by Student's bound,
    and two of it cover as much as two of a normal distribution do.

    Args:
        epsilon: 1 − |λ|, ``(lambdas,)``.
        powers: The mean square of each draw, ``(lambdas, draws)``; a draw with a zero or an infinite one is left out.

    Returns:
        The standard error of a single draw is NaN.

    Example:
        >>> epsilon = np.array([0.1, 0.01, 0.001])
        >>> found = exponent_of_draws(epsilon, np.stack([epsilon**-3.0, 7 * epsilon**-2.0], axis=1))
        >>> round(found.exponent, 9)
        -2.5
    """
    slopes = np.array([_slope(epsilon, one) for one in _complete(powers).T])
    if not len(slopes) or np.isnan(slopes).any():
        return Exponent(math.nan, math.nan)
    exponent, freedom = float(slopes.mean()), len(slopes) - 1
    if freedom < 1:
        return Exponent(exponent, math.nan)
    widened = student_bound(COVERED, freedom) / 2
    return Exponent(exponent, float(widened * slopes.std(ddof=1) / math.sqrt(len(slopes))))


def local_slopes(epsilon: Array, powers: Array) -> Array:
    """Slopes of log10 E against log10(1 − |λ|) between neighbours, ``(lambdas − 1, …)``; NaN at a zero.

    Args:
        epsilon: 1 − |λ|, ``(lambdas,)``.
        powers: ``(lambdas, …)``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log10(epsilon)).reshape(-1, *[1] * (powers.ndim - 1))
        return np.asarray(np.diff(np.log10(powers), axis=0) / steps)


def slopes_of_draws(epsilon: Array, powers: Array) -> Array:
    """Local slopes of each draw that has all of them, ``(lambdas − 1, draws)``; their mean is the local slope of all.

    Args:
        epsilon: 1 − |λ|, ``(lambdas,)``.
        powers: ``(lambdas, draws)``.
    """
    return local_slopes(epsilon, _complete(powers))


def slopes_of_samples(epsilon: Array, powers: Array, blocks: int | None = None) -> Array:
    """Local slopes of the mean over samples, as the jackknife shares them out among its groups.

    Args:
        epsilon: 1 − |λ|, ``(lambdas,)``.
        powers: ``(lambdas, samples)``.
        blocks: Runs of samples that are independent of each other; all samples by default.

    Returns:
        Pseudo-values n θ − (n − 1) θ_{−i}, ``(lambdas − 1, groups)``: their mean is the slope but for its bias, and
        their scatter its error.
    """
    without = _means_without(powers, blocks)
    count = without.shape[1]
    every = local_slopes(epsilon, powers.mean(axis=1))[:, None]
    return every if count < 2 else count * every - (count - 1) * local_slopes(epsilon, without)


def slopes_disagree(slopes: Array, *, within: float, false_alarms: float) -> bool:
    """Whether two local slopes differ by more than they may, beyond their error.

    Every pair is compared draw by draw, for neighbours share a power and err in opposite directions; the probability of
    a false alarm in any of the pairs is at most the one that is allowed (Bonferroni).

    Args:
        slopes: ``(intervals, draws)``.
        within: By how much slopes of one power law may differ.
        false_alarms: The probability with which slopes that do not differ by more may be told apart.

    Returns:
        False where fewer than two intervals or draws leave nothing to compare.

    Example:
        >>> slopes = np.array([[-3.0, -3.1, -2.9, -3.0], [0.1, 0.2, 0.0, 0.1]])
        >>> slopes_disagree(slopes, within=0.5, false_alarms=0.05)
        True
    """
    intervals, draws = slopes.shape
    if intervals < 2 or draws < 2 or not np.isfinite(slopes).all():
        return False
    pairs = list(combinations(range(intervals), 2))
    for first, second in pairs:
        apart = slopes[second] - slopes[first]
        beyond = abs(float(apart.mean())) - within
        error = float(apart.std(ddof=1)) / math.sqrt(draws)
        t = beyond / error if error else math.inf
        if beyond > 0 and probability_beyond(t, draws - 1) * len(pairs) < false_alarms:
            return True
    return False


def _complete(powers: Array) -> Array:
    """The draws whose powers are all finite and above zero."""
    return powers[:, (np.isfinite(powers) & (powers > 0)).all(axis=0)]


def _means_without(powers: Array, blocks: int | None) -> Array:
    """Means over the samples without one group each, ``(lambdas, groups)``."""
    count = powers.shape[1]
    groups = np.array_split(np.arange(count), min(GROUPS, blocks or count))
    if len(groups) < 2:
        return np.zeros((len(powers), len(groups)))
    with np.errstate(invalid="ignore", over="ignore"):  # of powers that are not finite
        total = powers.sum(axis=1)
        parts = [(total - powers[:, group].sum(axis=1)) / (count - len(group)) for group in groups]
    return np.stack(parts, axis=1)


def _slope(epsilon: Array, power: Array) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = np.log10(epsilon), np.log10(power)
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2 or np.ptp(x[known]) == 0:
        return math.nan
    x, y = x[known] - x[known].mean(), y[known]
    return float((x * y).sum() / (x * x).sum())
