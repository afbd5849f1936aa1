"""The autocorrelation R(Δ) = E[x_{t+Δ} x_t] of an input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Autocorrelation:
    """Σ_k w_k ρ_k^|Δ|, or values for Δ = 0 … D that are zero beyond.

    Attributes:
        weights: w_k, the variance of each process.
        rhos: ρ_k; 0 is white noise, 1 a constant.
        values: R(0 … D) instead, for measured data; empty where the sum holds.

    Raises:
        UsageError: A ρ_k outside [−1, 1], a negative w_k, numbers that are not finite, or nothing that varies.
    """

    weights: tuple[float, ...] = (1.0,)
    rhos: tuple[float, ...] = (0.0,)
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if len(self.weights) != len(self.rhos):
            raise UsageError(
                f"Every process has a weight and a ρ: {len(self.weights)} and {len(self.rhos)} were given."
            )
        for rho in self.rhos:
            if not -1 <= rho <= 1:
                raise UsageError(f"The correlation ρ of neighbouring inputs lies in [−1, 1], but {rho:g} was given.")
        if not all(0 <= weight < math.inf for weight in self.weights) or not np.isfinite(self.values).all():
            raise UsageError("Variances are finite and not negative, and so are the values of R(Δ) finite.")
        if not self.variance > 0:
            raise UsageError("An input of variance 0 drives nothing; its R(0) should be above 0.")

    @property
    def variance(self) -> float:
        """R(0)."""
        return self.values[0] if self.values else math.fsum(self.weights)

    @property
    def is_constant(self) -> bool:
        """Whether it is one random value held for ever: R(Δ) = R(0)."""
        return not self.values and all(rho == 1 for rho in self.rhos)

    def up_to(self, length: int) -> Array:
        """R(0 … length − 1)."""
        lags = np.arange(length, dtype=float)
        if self.values:
            known = np.zeros(length)
            known[: len(self.values)] = self.values[:length]
            return known
        found = np.zeros(length)
        for weight, rho in zip(self.weights, self.rhos, strict=True):
            found += weight * np.power(rho, lags)  # 0^0 is 1
        return found


def as_autocorrelation(rho: float | Autocorrelation) -> Autocorrelation:
    """A number is the correlation of neighbouring steps of one AR(1) process of unit variance.

    Raises:
        UsageError: An array, or a number outside [−1, 1].
    """
    if isinstance(rho, Autocorrelation):
        return rho
    if np.ndim(rho):
        raise UsageError(
            f"ρ is one number, but an array of shape {np.shape(rho)} was given; for measured R(Δ) give "
            "Autocorrelation((), (), values)."
        )
    return Autocorrelation((1.0,), (float(rho),))


def estimate(x: Array, longest: int) -> Autocorrelation:
    """R(Δ) of data ``(sequences, time, features)``: means over sequences, features and the T − Δ pairs of steps.

    Args:
        x: The data; its mean is not taken out, and :func:`~gradscope.theory.stationarity_problem` looks whether R is
            the same all along them.
        longest: The largest Δ.

    Raises:
        UsageError: The data have another shape, fewer than two steps, numbers that are not finite, or a constant
            column.

    Cost:
        O(N log T) for N numbers, by Fourier transforms.
    """
    x = checked_series(x)
    if longest < 0:
        raise UsageError(f"The largest Δ is 0 or more, but {longest} was given.")
    sequences, length, features = x.shape
    count = min(longest, length - 1) + 1
    spectrum = np.zeros(length + 1)
    for column in x.transpose(2, 0, 1):
        spectrum += (np.abs(np.fft.rfft(column, 2 * length)) ** 2).sum(0)  # zeros behind: no pair wraps around
    sums = np.fft.irfft(spectrum, 2 * length)[:count]
    return Autocorrelation((), (), tuple((sums / (sequences * features * (length - np.arange(count)))).tolist()))


def checked_series(x: Array) -> Array:
    """Data whose R(Δ) can be estimated, as float64 ``(sequences, time, features)``.

    Raises:
        UsageError: As :func:`estimate`.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 3 or 0 in x.shape:
        raise UsageError(f"R(Δ) is estimated from data (sequences, time, features), not of shape {x.shape}.")
    if x.shape[1] < 2:
        raise UsageError("R(Δ) is estimated from sequences of at least two steps, but the data have one.")
    if not np.isfinite(x).all():
        sequence, row, column = np.argwhere(~np.isfinite(x))[0].tolist()
        raise UsageError(
            f"The data hold {x[sequence, row, column]} in sequence {sequence + 1}, row {row + 1}, column {column + 1}; "
            "fill or drop it first."
        )
    constant = np.flatnonzero(np.ptp(x, axis=(0, 1)) == 0)
    if len(constant):
        raise UsageError(
            f"Column {constant[0] + 1} is constant: nothing drives the recursion there; leave the column out."
        )
    return x
