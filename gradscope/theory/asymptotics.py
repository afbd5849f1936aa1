"""Exponents in ε = 1 − |λ| that theory predicts as λ → +1, for white and for constant inputs.

With s_{t+1} = λ s_t + x_{t+1} and inputs of unit variance

    white      E|d^k s/dλ^k|² = Σ_n |d^k λ^n/dλ^k|² → ∫ n^{2k} e^{−2εn} dn = (2k)!/(2ε)^{2k+1}: 1/(2ε), 1/(4ε³), 3/(4ε⁵)
    constant   s = x/(1 − λ), so that E|d^k s/dλ^k|² = (k!)²/ε^{2k+2}: 1/ε², 1/ε⁴, 4/ε⁶

for k = 0, 1, 2. Of h = γ s they are multiplied by γ²: 2ε for √(1 − |λ|²), ε² for 1 − |λ|, 1/E|s|² where it is exact.
|dλ/dω|² is 1 for λ and its angle, 4ε² for tanh and ε² for the other maps; d²h/dω² has it squared, and the other term of
d²h/dω², λ_ωω ds/dλ, is at most of the same power. γ_ω s, which is added where γ follows λ, is of the power of
γ λ_ω ds/dλ, and cancels it where γ undoes what λ does to a constant input.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, equations (5) and (6) and section 3.1 for k = 0, 1.
"""

from __future__ import annotations

import math

_FACTOR = {"direct": 0, "exp-exp": 2, "sigmoid": 2, "softplus": 2, "tanh": 2, "log-delta": 2, "polar": 0}
_GAMMA = {"none": 0, "sqrt": 1, "coupled": 2}  # powers of ε in γ²


def state_exponent(normalization: str, *, is_constant: bool = False) -> float:
    """The power of ε in E|h|²."""
    if normalization == "exact":
        return 0.0
    return float((-2 if is_constant else -1) + _GAMMA[normalization])


def d2omega_exponent(parametrization: str, normalization: str, *, is_constant: bool = False) -> float:
    """The power of ε in E|d²h/dω²|², γ detached."""
    bare = (-6 if is_constant else -5) + 2 * _FACTOR[parametrization]
    exact = 2 if is_constant else 1  # 1/E|s|²
    return float(bare + (exact if normalization == "exact" else _GAMMA[normalization]))


def domega_exponent(
    parametrization: str, normalization: str, *, is_constant: bool = False, attached: bool = False
) -> float:
    """The power of ε in E|dh/dω|²; NaN where it is exactly 0, as γ undoes a constant input's dependence on |λ|."""
    bare = -4 if is_constant else -3
    follows = attached and parametrization != "polar"  # at arg λ = 0 no γ depends on the angle
    if follows and is_constant and normalization in ("exact", "coupled"):
        return math.nan
    if normalization == "exact":
        return float(_FACTOR[parametrization] - 2)
    if follows and normalization == "coupled":
        return float(_FACTOR[parametrization] - 1)
    return float(bare + _GAMMA[normalization] + _FACTOR[parametrization])
