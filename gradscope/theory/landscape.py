"""The loss surface in one dimension: a student λ learns a teacher λ*, L = ½ E|γ h − γ* h*|², infinite horizon.

The difference of the two filters is one filter with both poles: 1/(1−λz) − 1/(1−λ*z) = (λ−λ*) z/((1−λz)(1−λ*z)).
With m = λλ* and inputs R = ρ^|Δ| its power is a product, which keeps all digits next to the optimum and as λ → 1:

    L = ½ (λ−λ*)² N / B,     N = (1+m)(1−ρ²m) + ρ (λ+λ*)(1−m),     B = (1−λ²)(1−λ*²)(1−m)(1−ρλ)(1−ρλ*),

for ρ = 0 ½ (λ−λ*)² (1+m)/((1−λ²)(1−λ*²)(1−m)). With γ = √(1−λ²), γ* alike, σ = λ+λ* and τ = 1+γγ*+m the difference
is (λ−λ*)/(γ+γ*) (τz − σ)/((1−λz)(1−λ*z)), and

    L = ½ (λ−λ*)²/(γ+γ*)² [(τ−σ)² N + 2στ (1−λ)(1−λ*)(1−ρ)(1+ρm)] / B,     τ−σ = (1−λ)(1−λ*) + γγ*.

Loss, slope and curvature over ω come together, as the first Taylor coefficients of L(ω + δ); far from the teacher the
slope is as exact as L/|λ−λ*|.

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
        student: λ, in (−1, 1); where the parametrisation reaches it.
        teacher: λ*, in (−1, 1).
        parametrization: A name from ``PARAMETRIZATIONS``, not the angle.
        normalization: ``none`` or ``sqrt``, of both; the derivative goes through γ.
        rho: Correlation of neighbouring inputs, in [−1, 1].

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
    if np.ndim(student) or np.ndim(teacher) or not (abs(student) < 1 and abs(teacher) < 1 and abs(rho) <= 1):
        raise UsageError(
            f"The landscape needs λ and λ* below 1 in modulus and ρ in [−1, 1], one number each; {student}, {teacher} "
            f"and {rho} were given."
        )
    PARAMETRIZATIONS[parametrization].inverse(student)  # it reaches the student
    nu = _modulus_series(student, parametrization)
    if student + teacher < 0:  # the same loss, of inputs with every other sign flipped; σ is not negative then
        nu, teacher, rho = -nu, -teacher, -rho
    distance = nu - np.array([teacher, 0.0, 0.0])
    loss = 0.5 * _times(distance, distance, _power(nu, teacher, rho, normalization))
    return LandscapePoint(float(loss[0]), float(loss[1]), float(2 * loss[2]))


def _power(nu: Series, teacher: float, rho: float, normalization: str) -> Series:
    """2 L/(λ−λ*)², a sum of products of positive numbers where λ, λ* and ρ are positive."""
    ends = np.array([teacher, 0.0, 0.0])
    total = nu + ends  # σ
    one_minus_m, one_plus_m = _one_minus(teacher, nu), _one_minus(-teacher, nu)
    squared = _times(_one_minus(1.0, nu), _one_minus(-1.0, nu))  # 1 − λ²
    squared_teacher = (1 - teacher) * (1 + teacher)
    power = _times(one_plus_m, _one_minus(rho * rho * teacher, nu)) + rho * _times(total, one_minus_m)
    if normalization == "sqrt":
        own, other = _sqrt(squared), math.sqrt(squared_teacher)
        apart = (1 - teacher) * _one_minus(1.0, nu)
        change = (1 - rho) * _times(total, one_plus_m + other * own, apart, _one_minus(-rho * teacher, nu))
        inverse = _reciprocal(own + np.array([other, 0.0, 0.0]))
        power = _times(_times(apart + other * own, apart + other * own, power) + 2 * change, inverse, inverse)
    below = squared_teacher * _times(squared, one_minus_m, _one_minus(rho, nu), _one_minus(rho, ends))
    return _times(power, _reciprocal(below))


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


def _one_minus(factor: float, series: Series) -> Series:
    """1 − c s, as (1 − |c|) + |c| (1 − s) so that it does not cancel where c and s are both next to 1, or to −1."""
    turned = math.copysign(1.0, factor) * series
    return (1 - abs(factor)) * np.array([1.0, 0.0, 0.0]) + abs(factor) * (np.array([1.0, 0.0, 0.0]) - turned)


def _times(*series: Series) -> Series:
    product = series[0]
    for factor in series[1:]:
        product = np.convolve(product, factor)[:3]
    return np.asarray(product)


def _reciprocal(series: Series) -> Series:
    a, b, c = series
    return np.array([1 / a, -b / a**2, (b * b / a - c) / a**2])


def _sqrt(series: Series) -> Series:
    a, b, c = series
    root = math.sqrt(a)
    return np.array([root, b / (2 * root), c / (2 * root) - b * b / (8 * root**3)])
