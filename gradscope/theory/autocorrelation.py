"""The autocorrelation R(Δ) = E[x_{t+Δ} x_t] of an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Autocorrelation:
    """Σ_k w_k ρ_k^|Δ|, or values for Δ = 0 … D that are zero beyond.

    Attributes:
        weights: w_k, the variance of each process.
        rhos: ρ_k; 0 is white noise, 1 a constant.
        values: R(0 … D) instead, for measured data; empty where the sum holds.
    """

    weights: tuple[float, ...] = (1.0,)
    rhos: tuple[float, ...] = (0.0,)
    values: tuple[float, ...] = ()

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
    """A number is the correlation of neighbouring steps of one AR(1) process of unit variance."""
    return rho if isinstance(rho, Autocorrelation) else Autocorrelation((1.0,), (float(rho),))


def estimate(x: Array, longest: int) -> Autocorrelation:
    """R(Δ) of data ``(sequences, time, features)``: means over sequences, features and the T − Δ pairs of steps.

    Args:
        x: The data; its mean is not taken out.
        longest: The largest Δ.
    """
    length = x.shape[1]
    values: Sequence[float] = [
        float(np.mean(x[:, lag:] * x[:, : length - lag])) for lag in range(min(longest, length - 1) + 1)
    ]
    return Autocorrelation((), (), tuple(values))
