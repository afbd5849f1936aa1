"""E|dh/dω|² of h = γ(λ) s for an input steadier than s, where γ undoes most of what λ does to s.

    dh/dω = γ λ_ω ds/dλ + γ_ω s =: g,     s_{t+1} = λ s_t + x_{t+1}

All of it is undone where γ = 1 − λ and x is constant. With κ = γ_ω/λ_ω, e_t = γ s_t + κ x_t, d_{t+1} = x_{t+1} − x_t,

    g_{t+1} = λ g_t + λ_ω (e_t + κ d_{t+1}),     e_{t+1} = λ e_t + [γ + κ (1 − λ)] x_t + (γ + κ) d_{t+1},

where what cancels is a bracket without λ^n and the steps of the input, d = (ρ − 1) x_t + √(1 − ρ²) noise for AR(1).
"""

from __future__ import annotations

import math

import numpy as np

from gradscope.theory.covariance import covariance

VANISHED = 800  # T (1 − |λ|) from which on |λ|^T is below the smallest float


def steady_power(
    lambda_: complex, direction: complex, scale: float, slope: float, rho: float, length: int | None
) -> float:
    """E|g|² for an AR(1) input of unit variance, 1 − ρ < 1 − |λ|.

    Args:
        lambda_: λ, |λ| < 1.
        direction: λ_ω, of modulus 1.
        scale: γ.
        slope: γ_ω.
        rho: ρ.
        length: T; None is the length at which λ^T underflows.
    """
    kappa, apart = slope * direction.conjugate(), 1 - rho
    of_state = scale + kappa * (1 - lambda_) - (scale + kappa) * apart
    rows = [[rho, 0, 0], [of_state, lambda_, 0], [-direction * kappa * apart, direction, lambda_]]
    first = np.array([1, scale + kappa, direction * kappa], dtype=complex)
    steps = math.ceil(VANISHED / (1 - abs(lambda_))) if length is None else length
    gain = complex(math.sqrt(apart * (1 + rho))) * first
    return float(covariance(np.array(rows, dtype=complex), first, gain, steps)[2, 2].real)
