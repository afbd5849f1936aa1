"""Input normalisations γ(λ) and what they make of E|h|² and E|dh/dω|², h = γ Σ λ^n x.

    none      1                    sqrt     √(1 − |λ|²)
    exact     1/√E|s|²             coupled  1 − |λ|

with s the unit without normalisation. *Detached*, dh/dω = γ λ_ω ds/dλ; *attached*, γ_ω s is added: γ follows |λ|.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, section 3 and appendix B.3 for γ detached; attached, the square is
|γ λ_ω|² E|ds/dλ|² + 2 γ γ_ω Re(λ_ω E[ds/dλ conj s]) + γ_ω² E|s|².
"""

from __future__ import annotations

import cmath
import math

from gradscope.errors import UnknownName, UsageError
from gradscope.theory.arguments import check_horizon, checked_lambda
from gradscope.theory.autocorrelation import Autocorrelation, as_autocorrelation
from gradscope.theory.moments import moments
from gradscope.theory.parametrizations import PARAMETRIZATIONS
from gradscope.theory.steady import steady_power

NORMALIZATIONS = ("none", "sqrt", "exact", "coupled")


def gamma(normalization: str, lambda_: complex, rho: float | Autocorrelation = 0.0) -> float:
    """γ(λ); ``exact`` is that of the infinite horizon.

    Raises:
        UnknownName: No such normalisation.
        UsageError: λ is no single finite number, or |λ| is above 1; from 1 on for ``exact``.
    """
    lambda_, process = checked_lambda(lambda_), as_autocorrelation(rho)
    modulus = abs(lambda_)
    if normalization not in NORMALIZATIONS:
        raise UnknownName("normalization", normalization, NORMALIZATIONS)
    if normalization == "none":
        return 1.0
    if modulus > 1:
        raise UsageError(f"The normalization '{normalization}' needs |λ| of at most 1, but |λ| is {modulus:.6g}.")
    if normalization == "sqrt":
        return math.sqrt((1 - modulus) * (1 + modulus))
    if normalization == "coupled":
        return 1 - modulus
    check_horizon(lambda_, None)
    if process.is_constant:  # F = variance/|1 − λ|², without its rounding
        return abs(1 - lambda_) / math.sqrt(process.variance)
    power = moments(lambda_, process).state
    if power <= 0:
        raise UsageError(
            f"The estimated R(Δ) gives E|s|² = {power:.3g} at λ = {lambda_:.6g}, which no input has; estimate it from "
            "more data or at fewer Δ."
        )
    return 1 / math.sqrt(power)


def gamma_slope(normalization: str, lambda_: complex, rho: float | Autocorrelation = 0.0) -> complex:
    """∂γ/∂ν − i ∂γ/(ν ∂θ): its real part goes with the modulus, minus its imaginary part with the angle per ν.

    For ``exact``, γ = F^{−½} and dF = 2 Re(F_a dλ).

    Raises:
        UnknownName: No such normalisation.
        UsageError: As :func:`gamma`, and |λ| = 1 for ``sqrt``, whose slope is infinite there.
    """
    scale, lambda_, process = gamma(normalization, lambda_, rho), checked_lambda(lambda_), as_autocorrelation(rho)
    turn = cmath.exp(1j * cmath.phase(lambda_))
    if normalization == "sqrt":
        check_horizon(lambda_, None)
        return complex(-abs(lambda_) / scale)
    if normalization == "coupled":
        return complex(-1.0)
    if normalization == "exact" and process.is_constant:
        return -(1 - lambda_).conjugate() / abs(1 - lambda_) * turn / math.sqrt(process.variance)
    if normalization == "exact":
        at = moments(lambda_, process)
        return complex(-(at.state**-1.5)) * at.mixed * turn
    return 0j


def domega_power(
    lambda_: complex,
    parametrization: str = "direct",
    normalization: str = "none",
    rho: float | Autocorrelation = 0.0,
    length: int | None = None,
    *,
    attached: bool = False,
) -> float:
    """E|dh/dω|².

    Args:
        lambda_: λ.
        parametrization: A name from ``PARAMETRIZATIONS``.
        normalization: A name from ``NORMALIZATIONS``.
        rho: Correlation of neighbouring inputs, or an autocorrelation.
        length: T; the infinite horizon by default.
        attached: Whether the derivative goes through γ.

    Raises:
        UnknownName: No such parametrisation or normalisation.
        UsageError: As :func:`moments` and :func:`gamma`; or the parametrisation does not reach |λ|.

    Example:
        >>> round(domega_power(0.99, "exp-exp", "sqrt"), 6)
        0.495008
        >>> round(domega_power(0.99, "tanh", "sqrt", attached=True), 6)
        1.0
        >>> domega_power(0.99, "direct", "coupled", rho=1.0, attached=True)  # a constant passes whatever λ is
        0.0
    """
    if parametrization not in PARAMETRIZATIONS:
        raise UnknownName("parametrization", parametrization, PARAMETRIZATIONS)
    how, lambda_, process = PARAMETRIZATIONS[parametrization], checked_lambda(lambda_), as_autocorrelation(rho)
    check_horizon(lambda_, length)
    factor = how.factor(abs(lambda_)) ** 2
    direction = cmath.exp(1j * cmath.phase(lambda_)) * (1j if how.is_angle else 1.0)
    scale, slope = gamma(normalization, lambda_, process), 0.0
    if attached:
        both = gamma_slope(normalization, lambda_, process)
        slope = -both.imag if how.is_angle else both.real
    if process.values:
        return factor * _power(lambda_, direction, scale, slope, process, length)
    terms = zip(process.weights, process.rhos, strict=True)
    return factor * math.fsum(w * _power(lambda_, direction, scale, slope, rho_k, length) for w, rho_k in terms)


def d2omega_power(
    lambda_: complex,
    parametrization: str = "direct",
    normalization: str = "none",
    rho: float | Autocorrelation = 0.0,
    length: int | None = None,
) -> float:
    """E|d²h/dω²|² with γ detached: E|γ (λ_ω² d²s/dλ² + λ_ωω ds/dλ)|².

    Args:
        lambda_: λ.
        parametrization: A name from ``PARAMETRIZATIONS``.
        normalization: A name from ``NORMALIZATIONS``.
        rho: Correlation of neighbouring inputs, or an autocorrelation.
        length: T; the infinite horizon by default.

    Raises:
        UnknownName: No such parametrisation or normalisation.
        UsageError: As :func:`domega_power`.

    Example:
        >>> round(d2omega_power(0.5), 4)  # 4 (1 + 4 q + q²)/(1 − q)⁵ at q = ¼
        34.7654
    """
    at = moments(lambda_, rho, length)
    squared_slope, bend = omega_factors(parametrization, lambda_)
    scale = gamma(normalization, lambda_, rho)
    cross = 2 * (squared_slope * bend.conjugate() * at.bent).real
    return scale**2 * (abs(squared_slope) ** 2 * at.second + cross + abs(bend) ** 2 * at.tangent)


def omega_factors(parametrization: str, lambda_: complex) -> tuple[complex, complex]:
    """(dλ/dω)² and d²λ/dω².

    Raises:
        UnknownName: No such parametrisation.
        UsageError: It does not reach |λ|.
    """
    if parametrization not in PARAMETRIZATIONS:
        raise UnknownName("parametrization", parametrization, PARAMETRIZATIONS)
    how, lambda_ = PARAMETRIZATIONS[parametrization], checked_lambda(lambda_)
    turn = cmath.exp(1j * cmath.phase(lambda_))
    slope = how.factor(abs(lambda_)) * turn * (1j if how.is_angle else 1.0)
    return slope**2, how.acceleration(abs(lambda_)) * turn


def _power(
    lambda_: complex,
    direction: complex,
    scale: float,
    slope: float,
    rho: float | Autocorrelation,
    length: int | None,
) -> float:
    """E|γ λ_ω ds/dλ + γ_ω s|², by the moments of s unless they cancel: an input that changes slower than s follows."""
    if slope and not isinstance(rho, Autocorrelation) and 1 - rho < 1 - abs(lambda_):
        return steady_power(lambda_, direction, scale, slope, rho, length)
    at = moments(lambda_, rho, length)
    return scale**2 * at.tangent + 2 * scale * slope * (direction * at.mixed).real + slope**2 * at.state
