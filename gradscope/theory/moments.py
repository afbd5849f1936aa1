"""Second moments of one linear unit h_{t+1} = λ h_t + x_{t+1} and of its derivatives with respect to λ.

With g_n = (λ^n, n λ^{n−1}, n(n−1) λ^{n−2}) the responses of h, dh/dλ and d²h/dλ² to an input n steps back,

    E[u_T conj v_T] = Σ_{n,m<T} g^u_n conj g^v_m R(n − m),        h_T = Σ_{n<T} λ^n x_{T−n}.

Finite T: the covariance recursion by doubling, O(log T), for R = Σ w ρ^|Δ|; for measured R(Δ) the sums over m are
convolutions, O(T log T). Infinite T: derivatives of

    F(a, b) = (1 − ρ² a b) / ((1 − a b)(1 − ρ a)(1 − ρ b))   at a = λ, b = conj λ,

carried as truncated Taylor series, which adds numbers of one sign where λ and ρ are positive.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, equations (5), (6) and appendix B.2; the simplified closed form
printed there for 0 < ρ < 1 is wrong (at λ = ρ = ½ the sensitivity is 6.5185).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.theory.arguments import check_horizon, checked_lambda
from gradscope.theory.autocorrelation import Autocorrelation, as_autocorrelation
from gradscope.theory.covariance import covariance

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Moments:
    """At the last of T steps.

    Attributes:
        state: E|h|².
        tangent: E|dh/dλ|².
        second: E|d²h/dλ²|².
        mixed: E[dh/dλ conj h], complex.
        bent: E[d²h/dλ² conj dh/dλ], complex.
    """

    state: float
    tangent: float
    second: float
    mixed: complex
    bent: complex


def moments(lambda_: complex, rho: float | Autocorrelation = 0.0, length: int | None = None) -> Moments:
    """All second moments.

    Args:
        lambda_: λ, |λ| < 1; |λ| = 1 too at finite length.
        rho: Correlation of neighbouring inputs, or an autocorrelation.
        length: T, with h_0 = 0; the infinite horizon by default.

    Raises:
        UsageError: λ is no single finite number or too large, ρ lies outside [−1, 1], or the length is below 1.
    """
    lambda_, process = checked_lambda(lambda_), as_autocorrelation(rho)
    check_horizon(lambda_, length)
    return _moments(lambda_, process, length if length is None else int(length))


def state_power(lambda_: complex, rho: float | Autocorrelation = 0.0, length: int | None = None) -> float:
    """E|h|²; see :func:`moments`.

    Example:
        >>> round(state_power(0.9), 6)  # 1/(1 − λ²)
        5.263158
    """
    return moments(lambda_, rho, length).state


def sensitivity(lambda_: complex, rho: float | Autocorrelation = 0.0, length: int | None = None) -> float:
    """E|dh/dλ|²; see :func:`moments`.

    Example:
        >>> round(sensitivity(0.5, rho=0.5), 4)
        6.5185
    """
    return moments(lambda_, rho, length).tangent


def second_sensitivity(lambda_: complex, rho: float | Autocorrelation = 0.0, length: int | None = None) -> float:
    """E|d²h/dλ²|²; see :func:`moments`."""
    return moments(lambda_, rho, length).second


@functools.lru_cache(maxsize=1024)
def _moments(lambda_: complex, process: Autocorrelation, length: int | None) -> Moments:
    if length is None:
        return _infinite(lambda_, process)
    return _finite_values(lambda_, process, length) if process.values else _finite(lambda_, process, length)


def _finite(lambda_: complex, process: Autocorrelation, length: int) -> Moments:
    found = np.zeros((4, 4), dtype=complex)  # of x, h, h', h''
    first = np.array([1, 1, 0, 0], dtype=complex)
    for weight, rho in zip(process.weights, process.rhos, strict=True):
        step = np.array([[rho, 0, 0, 0], [rho, lambda_, 0, 0], [0, 1, lambda_, 0], [0, 0, 2, lambda_]], dtype=complex)
        found = found + weight * covariance(step, first, complex(math.sqrt((1 - rho) * (1 + rho))) * first, length)
    return _of_covariance(found[1:, 1:])


def _finite_values(lambda_: complex, process: Autocorrelation, length: int) -> Moments:
    """Σ_n g^u_n conj (R ∗ g^v)_n for all pairs of responses."""
    n = np.arange(length, dtype=float)
    counts = (np.ones(length), n, n * (n - 1))
    responses = np.stack([count * np.power(complex(lambda_), np.maximum(n - k, 0)) for k, count in enumerate(counts)])
    R, size = process.up_to(length), 2 * length  # a circle that long holds R at −T < Δ < T
    around = np.concatenate([R, [0.0], R[:0:-1]])
    filtered = np.fft.ifft(np.fft.fft(responses, size) * np.fft.fft(around))[:, :length]
    return _of_covariance(responses @ filtered.conj().T)


def _of_covariance(found: Complex) -> Moments:
    """From E[u conj v] of h, h', h''."""
    return Moments(
        state=float(found[0, 0].real),
        tangent=float(found[1, 1].real),
        second=float(found[2, 2].real),
        mixed=complex(found[1, 0]),
        bent=complex(found[2, 1]),
    )


def _infinite(lambda_: complex, process: Autocorrelation) -> Moments:
    total = _values_series(lambda_, process.up_to(len(process.values))) if process.values else np.zeros((3, 3), complex)
    for weight, rho in zip(process.weights, process.rhos, strict=True):
        total = total + weight * _series(lambda_, rho)
    return Moments(
        state=float(total[0, 0].real),
        tangent=float(total[1, 1].real),
        second=float(4 * total[2, 2].real),
        mixed=complex(total[1, 0]),
        bent=complex(2 * total[2, 1]),
    )


def _series(lambda_: complex, rho: float) -> Complex:
    """Taylor coefficients of F in a and b around (λ, conj λ), up to the second power of each.

    (1 − ρ² a b)/(1 − a b) is written ρ² + (1 − ρ²)/(1 − a b), which does not cancel as ρ → 1.
    """
    conj = lambda_.conjugate()
    first = (1 - rho) * (1 + rho) * _reciprocal(_one_minus_product(lambda_))
    first[0, 0] += rho * rho
    of_a, of_b = np.zeros((3, 3), dtype=complex), np.zeros((3, 3), dtype=complex)
    of_a[:2, 0] = (1 - rho) + rho * (1 - lambda_), -rho
    of_b[0, :2] = (1 - rho) + rho * (1 - conj), -rho
    return _times(first, _times(_reciprocal(of_a), _reciprocal(of_b)))


def _values_series(lambda_: complex, R: NDArray[np.float64]) -> Complex:
    """The same of F(a, b) = [R(0) + Σ_{Δ≥1} (a^Δ + b^Δ) R(Δ)]/(1 − a b), O(D)."""
    lags, numerator = np.arange(len(R), dtype=float), np.zeros((3, 3), dtype=complex)
    for order, count in enumerate((np.ones_like(lags), lags, lags * (lags - 1) / 2)):
        powers = np.power(complex(lambda_), np.maximum(lags - order, 0))
        summed = complex((count * powers * R)[1:].sum())
        numerator[order, 0] += summed
        numerator[0, order] += summed.conjugate()
    numerator[0, 0] += R[0]
    return _times(numerator, _reciprocal(_one_minus_product(lambda_)))


def _one_minus_product(lambda_: complex) -> Complex:
    """1 − a b."""
    series = -_bivariate(0, lambda_, lambda_.conjugate())
    series[0, 0] = (1 - abs(lambda_)) * (1 + abs(lambda_))
    return series


def _bivariate(constant: complex, a: complex, b: complex) -> Complex:
    """The series of a·b: ab + b da + a db + da db."""
    series = np.zeros((3, 3), dtype=complex)
    series[0, 0], series[1, 0], series[0, 1], series[1, 1] = constant, b, a, 1
    return series


def _times(first: Complex, second: Complex) -> Complex:
    product = np.zeros((3, 3), dtype=complex)
    for i in range(3):
        for j in range(3):
            product[i:, j:] += first[i, j] * second[: 3 - i, : 3 - j]
    return product


def _reciprocal(series: Complex) -> Complex:
    inverse = np.zeros((3, 3), dtype=complex)
    for i in range(3):
        for j in range(3):
            known = _times(series, inverse)[i, j]
            inverse[i, j] = ((i == j == 0) - known) / series[0, 0]
    return inverse
