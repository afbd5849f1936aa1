"""The loss surface in one dimension: a student λ learns a teacher λ*, L = ½ E|γ h − γ* h*|², infinite horizon.

    L = ½ [γ² F(λ, λ) + γ*² F(λ*, λ*) − 2 γ γ* F(λ, λ*)],     F as in :mod:`gradscope.theory.moments`, λ real.

Loss, slope and curvature over ω come together, as the first Taylor coefficients of L(ω + δ).

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, section 4.1 and appendix C.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.errors import UnknownName, UsageError
from gradscope.theory.parametrizations import PARAMETRIZATIONS

Series = NDArray[np.float64]  # coefficients of 1, δ, δ²


@dataclass(frozen=True)
class LandscapePoint:
    """At one student.

    Attributes:
        loss: L.
        gradient: dL/dω.
        curvature: d²L/dω².
    """

    loss: float
    gradient: float
    curvature: float

    @property
    def largest_stable_learning_rate(self) -> float:
        """2/curvature, above which gradient descent leaves this point; inf where the surface curves down."""
        return 2 / self.curvature if self.curvature > 0 else math.inf


def landscape(
    student: float, teacher: float, parametrization: str = "direct", normalization: str = "none", rho: float = 0.0
) -> LandscapePoint:
    """Loss and its derivatives over ω, of a student with modulus ``student`` learning ``teacher``.

    Args:
        student: λ, in (0, 1) where the parametrisation is not ``direct``, in (−1, 1) there.
        teacher: λ*, in (−1, 1).
        parametrization: A name from ``PARAMETRIZATIONS``, not the angle.
        normalization: ``none`` or ``sqrt``, of both; the derivative goes through γ.
        rho: Correlation of neighbouring inputs, below 1.

    Raises:
        UsageError: Values outside these ranges.
        UnknownName: No such parametrisation or normalisation.

    Example:
        >>> round(1e6 * landscape(0.99, 0.99).largest_stable_learning_rate, 4)
        7.9598
        >>> round(landscape(0.9, 0.99, "tanh", "sqrt").loss, 6)  # 1 − sech(artanh .9 − artanh .99)
        0.435873
    """
    if parametrization not in PARAMETRIZATIONS or PARAMETRIZATIONS[parametrization].is_angle:
        known = [name for name, entry in PARAMETRIZATIONS.items() if not entry.is_angle]
        raise UnknownName("parametrization of a modulus", parametrization, known)
    if normalization not in ("none", "sqrt"):
        raise UnknownName("normalization of the landscape", normalization, ("none", "sqrt"))
    if not (abs(student) < 1 and abs(teacher) < 1) or (parametrization != "direct" and student <= 0):
        raise UsageError(
            "The landscape needs λ and λ* below 1 in modulus, and λ above 0 unless it is its own parameter."
        )
    nu = _modulus_series(student, parametrization)
    fixed = np.array([teacher, 0.0, 0.0])
    own, other = np.array([1.0, 0.0, 0.0]), 1.0
    if normalization == "sqrt":
        own, other = _sqrt(_one_minus(_times(nu, nu))), math.sqrt((1 - teacher) * (1 + teacher))
    loss = _times(_times(own, own), _generating(nu, nu, rho)) + other**2 * _generating(fixed, fixed, rho)
    loss = 0.5 * (loss - 2 * other * _times(own, _generating(nu, fixed, rho)))
    return LandscapePoint(float(loss[0]), float(loss[1]), float(2 * loss[2]))


def _modulus_series(nu: float, parametrization: str) -> Series:
    """ν(ω + δ) up to δ²."""
    if parametrization == "direct":
        return np.array([nu, 1.0, 0.0])
    if parametrization in ("exp-exp", "log-delta"):
        slope = nu * math.log(nu)
        return np.array([nu, slope, slope * (math.log(nu) + 1) / 2])
    if parametrization == "tanh":
        slope = (1 - nu) * (1 + nu)
        return np.array([nu, slope, -nu * slope])
    slope = nu * (1 - nu)
    return np.array([nu, -slope if parametrization == "softplus" else slope, slope * (1 - 2 * nu) / 2])


def _generating(a: Series, b: Series, rho: float) -> Series:
    """F(a, b) of AR(1) inputs."""
    product = _times(a, b)
    numerator = _one_minus(rho * rho * product)
    below = _times(_one_minus(product), _times(_one_minus(rho * a), _one_minus(rho * b)))
    return _times(numerator, _reciprocal(below))


def _one_minus(series: Series) -> Series:
    return np.array([1.0, 0.0, 0.0]) - series


def _times(first: Series, second: Series) -> Series:
    return np.convolve(first, second)[:3]


def _reciprocal(series: Series) -> Series:
    a, b, c = series
    return np.array([1 / a, -b / a**2, (b * b / a - c) / a**2])


def _sqrt(series: Series) -> Series:
    a, b, c = series
    root = math.sqrt(a)
    return np.array([root, b / (2 * root), c / (2 * root) - b * b / (8 * root**3)])
