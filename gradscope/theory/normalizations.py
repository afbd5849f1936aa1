"""Input normalisations γ(λ) and what they make of E|h|² and E|dh/dω|², h = γ Σ λ^n x.

    none      1                    sqrt     √(1 − |λ|²)
    exact     1/√E|s|²             coupled  1 − |λ|

with s the unit without normalisation. *Detached*, dh/dω = γ λ_ω ds/dλ; *attached*, γ_ω s is added: γ follows |λ|.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, sections 3 and B.3; reference formulas 1.5 and 1.6 corrected.
"""

from __future__ import annotations

import cmath
import math

from gradscope.errors import UnknownName
from gradscope.theory.autocorrelation import Autocorrelation
from gradscope.theory.moments import Moments, moments
from gradscope.theory.parametrizations import PARAMETRIZATIONS

NORMALIZATIONS = ("none", "sqrt", "exact", "coupled")


def gamma(normalization: str, lambda_: complex, rho: float | Autocorrelation = 0.0) -> float:
    """γ(λ); ``exact`` is that of the infinite horizon.

    Raises:
        UnknownName: No such normalisation.
    """
    modulus = abs(lambda_)
    if normalization == "none":
        return 1.0
    if normalization == "sqrt":
        return math.sqrt((1 - modulus) * (1 + modulus))
    if normalization == "coupled":
        return 1 - modulus
    if normalization == "exact":
        return 1 / math.sqrt(moments(lambda_, rho).state)
    raise UnknownName("normalization", normalization, NORMALIZATIONS)


def gamma_slope(normalization: str, lambda_: complex, rho: float | Autocorrelation = 0.0) -> complex:
    """∂γ/∂ν − i ∂γ/(ν ∂θ): its real part goes with the modulus, minus its imaginary part with the angle per ν.

    For ``exact``, γ = F^{−½} and dF = 2 Re(F_a dλ).
    """
    modulus = abs(lambda_)
    if normalization == "sqrt":
        return complex(-modulus / gamma("sqrt", lambda_))
    if normalization == "coupled":
        return complex(-1.0)
    if normalization == "exact":
        at = moments(lambda_, rho)
        return complex(-(at.state**-1.5)) * at.mixed * cmath.exp(1j * cmath.phase(lambda_))
    gamma(normalization, lambda_, rho)
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

    Example:
        >>> round(domega_power(0.99, "exp-exp", "sqrt"), 6)
        0.495008
        >>> round(domega_power(0.99, "tanh", "sqrt", attached=True), 6)
        1.0
    """
    if parametrization not in PARAMETRIZATIONS:
        raise UnknownName("parametrization", parametrization, PARAMETRIZATIONS)
    how = PARAMETRIZATIONS[parametrization]
    direction = cmath.exp(1j * cmath.phase(lambda_)) * (1j if how.is_angle else 1.0)
    scale, slope = gamma(normalization, lambda_, rho), 0.0
    if attached:
        both = gamma_slope(normalization, lambda_, rho)
        slope = -both.imag if how.is_angle else both.real
    at: Moments = moments(lambda_, rho, length)
    crossed = 2 * scale * slope * (direction * at.mixed).real
    return how.factor(abs(lambda_)) ** 2 * (scale**2 * at.tangent + crossed + slope**2 * at.state)
