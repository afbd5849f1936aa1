"""Gated units whose gates are constant: the leak is the gate, and the input's scale is a gate too.

    LSTM  c_{t+1} = f c_t + i g_{t+1},          f = σ(b_f), i = σ(b_i):   λ = f, γ = i, independent of λ
    GRU   h_{t+1} = z h_t + (1 − z) n_{t+1},    z = σ(b):                 λ = z, γ = 1 − z, which follows λ

with g, n of variance v and autocorrelation v R(Δ), R(0) = 1. z multiplies the state, as in torch.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, section 5 and appendix D.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.errors import UsageError
from gradscope.theory.autocorrelation import Autocorrelation
from gradscope.theory.moments import moments
from gradscope.theory.normalizations import domega_power


@dataclass(frozen=True)
class LSTMPowers:
    """Of one cell.

    Attributes:
        state: E c².
        forget_bias: E(dc/db_f)².
        input_bias: E(dc/db_i)².
    """

    state: float
    forget_bias: float
    input_bias: float


@dataclass(frozen=True)
class GRUPowers:
    """Of one unit.

    Attributes:
        state: E h².
        update_bias: E(dh/db)².
    """

    state: float
    update_bias: float


def lstm_powers(
    forget_gate: float,
    input_gate: float,
    rho: float | Autocorrelation = 0.0,
    length: int | None = None,
    variance: float = 1.0,
) -> LSTMPowers:
    """E c² = i² v F, E(dc/db_f)² = i² v (f(1 − f))² E h'² → i² v/(4 ε), E(dc/db_i)² = (1 − i)² E c².

    Args:
        forget_gate: f, in (0, 1).
        input_gate: i, in (0, 1).
        rho: Correlation of neighbouring g, or an autocorrelation.
        length: T; the infinite horizon by default.
        variance: v.

    Raises:
        UsageError: A gate that is not between 0 and 1.

    Example:
        >>> round(lstm_powers(0.99, 1 - 0.99).forget_bias, 8)
        0.00246262
    """
    _check("forget gate", forget_gate)
    _check("input gate", input_gate)
    scale = input_gate**2 * variance
    state = scale * moments(forget_gate, rho, length).state
    forget_bias = scale * domega_power(forget_gate, "sigmoid", "none", rho, length)
    return LSTMPowers(state, forget_bias, (1 - input_gate) ** 2 * state)


def gru_powers(
    update_gate: float, rho: float | Autocorrelation = 0.0, length: int | None = None, variance: float = 1.0
) -> GRUPowers:
    """E h² = v (1 − z)² F;  E(dh/db)² = v (z(1 − z))² E(d[(1 − z) s]/dz)² → v ε/4 for white n.

    With infinite horizon and R = ρ^|Δ| the second is 2 v z² (1 − z)(1 − ρ)(1 + ρ z²) / ((1 + z)³ (1 − ρ z)²).

    Args:
        update_gate: z, in (0, 1), the share of the state that is kept.
        rho: Correlation of neighbouring n, or an autocorrelation.
        length: T; the infinite horizon by default.
        variance: v.

    Raises:
        UsageError: A gate that is not between 0 and 1.

    Example:
        >>> round(gru_powers(0.99).update_bias, 8)
        0.00248737
    """
    _check("update gate", update_gate)
    state = variance * (1 - update_gate) ** 2 * moments(update_gate, rho, length).state
    return GRUPowers(state, variance * domega_power(update_gate, "sigmoid", "coupled", rho, length, attached=True))


def _check(name: str, gate: float) -> None:
    if not 0 < gate < 1:
        raise UsageError(f"A constant {name} lies between 0 and 1, exclusive; {gate} was given.")
