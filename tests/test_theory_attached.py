"""Derivatives through γ for inputs that are nearly or wholly constant, against rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from gradscope.theory import Autocorrelation, domega_exponent, domega_power, gamma, gamma_slope, gru_powers, moments

LAMBDAS = [0.3, 0.9, 0.99, 0.9999, 1 - 1e-7]
FOLLOWING = ["exact", "coupled"]


def in_fractions(normalization, value, rho):
    """The infinite horizon's E(dh/dλ)² at real λ > 0, as products.

    It is ∂_a ∂_b log F of F(a, b) = (1 − ρ² a b)/((1 − a b)(1 − ρ a)(1 − ρ b)) at a = b = λ for the exact γ, and
    ∂_a ∂_b (1 − a)(1 − b) F for γ = 1 − λ.
    """
    value, rho = Fraction(value), Fraction(rho)
    if normalization == "exact":
        return float(1 / (1 - value**2) ** 2 - rho**2 / (1 - rho**2 * value**2) ** 2)
    return float(2 * (1 - rho) * (1 + rho * value**2) / ((1 - value) * (1 + value) ** 3 * (1 - rho * value) ** 2))


@pytest.mark.parametrize("normalization", FOLLOWING)
@pytest.mark.parametrize("value", LAMBDAS)
def test_a_constant_input_hides_lambda_exactly(value, normalization):
    for weight in (1.0, 0.3):
        process = Autocorrelation((weight,), (1.0,))
        for name in ("direct", "exp-exp", "sigmoid", "tanh"):
            assert domega_power(value, name, normalization, process, attached=True) == 0
    assert gru_powers(value, 1.0).update_bias == 0


@pytest.mark.parametrize("normalization", FOLLOWING)
@pytest.mark.parametrize("value", LAMBDAS)
@pytest.mark.parametrize("steadiness", [1.0, 0.3, 1e-2, 1e-4, 1e-6, 1e-9, 1e-12])
def test_nearly_constant_inputs(value, normalization, steadiness):
    mine = domega_power(value, "direct", normalization, 1 - steadiness, attached=True)
    assert math.isclose(mine, in_fractions(normalization, value, 1 - steadiness), rel_tol=1e-9)


@pytest.mark.parametrize("normalization", FOLLOWING)
@pytest.mark.parametrize("value", LAMBDAS)
@pytest.mark.parametrize("length", [1, 2, 7, 300, 100_000])
def test_a_constant_input_at_finite_length(value, normalization, length):
    """h_T = 1 − λ^T, whose slope is −T λ^{T−1}."""
    mine = domega_power(value, "direct", normalization, 1.0, length, attached=True)
    expected = length**2 * math.exp((2 * length - 2) * math.log(value))
    assert math.isclose(mine, expected, rel_tol=1e-9, abs_tol=1e-300)


@pytest.mark.parametrize("normalization", ["sqrt", "exact", "coupled"])
@pytest.mark.parametrize("value", [0.8, -0.6, 0.7 * np.exp(0.4j)])
@pytest.mark.parametrize("rho", [0.5, 0.8, 0.95, 0.999, 1.0, -0.9])
@pytest.mark.parametrize("length", [1, 2, 7, 60])
def test_both_ways_equal_the_double_sum(normalization, value, rho, length):
    """Σ_{n,m} g_n conj g_m R(n − m), g_n = γ n λ^{n−1} λ_ω + γ_ω λ^n, in the direction of |λ| and of arg λ."""
    n = np.arange(length)
    R = np.power(rho, np.abs(n[:, None] - n[None]).astype(float))
    for name in ("direct", "polar"):
        turn = np.exp(1j * np.angle(value)) * (1j if name == "polar" else 1)
        slope = gamma_slope(normalization, value, rho)
        slope = -slope.imag if name == "polar" else slope.real
        g = gamma(normalization, value, rho) * n * complex(value) ** np.maximum(n - 1, 0) * turn
        g = (g + slope * complex(value) ** n) * (abs(value) if name == "polar" else 1)
        mine = domega_power(value, name, normalization, rho, length, attached=True)
        assert math.isclose(mine, (g @ R @ g.conj()).real, rel_tol=1e-9, abs_tol=1e-14)


def test_processes_add():
    both = Autocorrelation((0.4, 0.6), (0.2, 0.9999))
    for length in (None, 50):
        apart = [domega_power(0.9, "tanh", "coupled", rho, length, attached=True) for rho in both.rhos]
        mine = domega_power(0.9, "tanh", "coupled", both, length, attached=True)
        assert math.isclose(mine, 0.4 * apart[0] + 0.6 * apart[1], rel_tol=1e-12)


def test_exact_gamma_of_a_constant_input():
    for value in (0.9, 1 - 1e-9, 0.9 * np.exp(0.3j)):
        assert math.isclose(gamma("exact", value, 1.0) ** 2 * moments(value, 1.0).state, 1.0, rel_tol=1e-12)


@pytest.mark.parametrize("normalization", FOLLOWING)
def test_the_angle_of_a_constant_input_is_not_hidden(normalization):
    """At arg λ = 0 no γ depends on the angle, and dh/dθ is that of h = (1 − ν)/(1 − ν e^{iθ}): ν²/(1 − ν)²."""
    assert domega_exponent("polar", normalization, is_constant=True, attached=True) == -2
    for nu in (0.9, 0.9999):
        mine = domega_power(nu, "polar", normalization, 1.0, attached=True)
        assert math.isclose(mine, (nu / (1 - nu)) ** 2, rel_tol=1e-9)
    assert math.isnan(domega_exponent("direct", normalization, is_constant=True, attached=True))
