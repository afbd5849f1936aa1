"""Whether data look as if R(Δ) were the same all along them, which every closed form takes for granted."""

from __future__ import annotations

import math

import numpy as np

from gradscope.theory.autocorrelation import Array, checked_series

FEWEST_STEPS = 64  # below, nothing is said
DRIFT_BLOCKS, WANDERING_BLOCKS = 32, 16
DRIFT_ERRORS = 6.0  # standard errors: one column in a million of white noise
WANDERING_SHARE = 0.7  # of the variance; an AR(1) process reaches it in data of eighteen time constants


def stationarity_problem(x: Array) -> str | None:
    """What is not stationary in data, in one sentence that names the first such column; None where nothing is found.

    Definition:
        *drift*: the mean of the second half of the steps less that of the first, in standard errors from the scatter of
        16 block means within each half; a trend, a jump.
        *wandering*: the share of a column's variance around each sequence's mean that lies between the means of sixteen
        blocks of it; 15/16 for a random walk of any length, towards 0 for a process whose R(Δ) decays within the data.

    Args:
        x: ``(sequences, time, features)``. Sequences of fewer than 64 steps are not judged, and a value that is held
            for a whole sequence is a stationary input.

    Raises:
        UsageError: As :func:`~gradscope.theory.estimate`.

    Example:
        >>> trend = np.linspace(0.0, 1.0, 200).reshape(1, 200, 1)
        >>> stationarity_problem(trend).split(":")[0]
        'Column 1 is not stationary'
        >>> stationarity_problem(np.random.RandomState(0).standard_normal((1, 200, 1))) is None
        True
    """
    x = checked_series(x)
    if x.shape[1] < FEWEST_STEPS:
        return None
    for column, (drift, share) in enumerate(zip(_drift_errors(x), _wandering_share(x), strict=True), start=1):
        if drift > DRIFT_ERRORS:
            what = f"the means of its two halves are {drift:.3g} standard errors apart"
        elif share > WANDERING_SHARE:
            what = f"{share:.0%} of its variance lies between the means of its sixteenths, so R(Δ) does not decay"
        else:
            continue
        return f"Column {column} is not stationary: {what}; take its trend out or its differences."
    return None


def _block_means(x: Array, blocks: int) -> Array:
    """``(sequences, blocks, features)``; steps left over at the end are dropped."""
    steps = x.shape[1] // blocks
    return np.asarray(x[:, : blocks * steps].reshape(len(x), blocks, steps, -1).mean(2))


def _drift_errors(x: Array) -> Array:
    """|difference of the halves' means| over its standard error, ``(features,)``."""
    half = DRIFT_BLOCKS // 2
    halves = _block_means(x, DRIFT_BLOCKS).reshape(len(x), 2, half, -1)
    difference = np.abs((halves[:, 1] - halves[:, 0]).mean((0, 1)))
    error = np.sqrt(2 * halves.var(axis=2, ddof=1).mean((0, 1)) / (half * len(x)))
    smallest = math.sqrt(np.finfo(float).tiny)
    return np.asarray(difference / np.maximum(error, smallest))


def _wandering_share(x: Array) -> Array:
    """Variance of block means over variance, both around each sequence's mean, ``(features,)``."""
    between = _block_means(x, WANDERING_BLOCKS).var(axis=1).mean(0)
    total = x.var(axis=1).mean(0)
    return np.asarray(between / np.maximum(total, np.finfo(float).tiny))
