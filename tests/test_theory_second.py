"""E|d²h/dω²|² of every parametrisation and normalisation, by automatic differentiation and by double sums."""

import math

import numpy as np
import pytest
import torch

from gradscope.theory import (
    NORMALIZATIONS,
    PARAMETRIZATIONS,
    Autocorrelation,
    d2omega_exponent,
    d2omega_power,
    gamma,
    moments,
    omega_factors,
)

AS_TORCH = {
    "direct": lambda omega: omega,
    "exp-exp": lambda omega: torch.exp(-torch.exp(omega)),
    "sigmoid": torch.sigmoid,
    "softplus": lambda omega: torch.exp(-torch.nn.functional.softplus(omega)),
    "tanh": torch.tanh,
    "log-delta": lambda omega: torch.exp(-torch.exp(omega)),
}


def responses(parametrization, value, length):
    """d²/dω² of λ^n for n < T, at real λ > 0."""
    n = torch.arange(length, dtype=torch.float64)
    if PARAMETRIZATIONS[parametrization].is_angle:
        return (value**n * -(n**2)).numpy()  # λ^n = ν^n e^{inθ} at θ = 0
    omega = torch.tensor(PARAMETRIZATIONS[parametrization].inverse(value), dtype=torch.float64)

    def power(omega):
        return AS_TORCH[parametrization](omega) ** n

    return torch.func.jacfwd(torch.func.jacfwd(power))(omega).numpy()


@pytest.mark.parametrize("length", [1, 2, 7, 60])
@pytest.mark.parametrize("value", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_equals_the_double_sum_of_autograd(parametrization, value, length):
    g, lags = responses(parametrization, value, length), np.arange(length)
    for normalization in NORMALIZATIONS:
        for rho in (0.0, 0.7, 1.0, -0.5):
            R = np.power(rho, np.abs(lags[:, None] - lags[None]).astype(float))
            expected = gamma(normalization, value, rho) ** 2 * float(g @ R @ g)
            mine = d2omega_power(value, parametrization, normalization, rho, length)
            assert math.isclose(mine, expected, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_exponents_are_those_of_the_powers(parametrization, normalization, rho):
    near, far = (d2omega_power(1 - e, parametrization, normalization, rho) for e in (1e-6, 1e-5))
    expected = d2omega_exponent(parametrization, normalization, is_constant=rho == 1)
    assert math.isclose(math.log10(far / near), expected, abs_tol=1e-3)


@pytest.mark.parametrize("value", [0.5, 0.9, -0.7, 0.8 * np.exp(0.5j)])
@pytest.mark.parametrize("length", [1, 2, 7, 300])
@pytest.mark.parametrize("rho", [0.0, 0.6, -0.9])
def test_all_moments_of_measured_values_are_those_of_the_process(value, length, rho):
    values = Autocorrelation((), (), tuple(np.power(rho, np.arange(length, dtype=float)).tolist()))
    of_values, of_process = moments(value, values, length), moments(value, rho, length)
    for name in ("state", "tangent", "second", "mixed", "bent"):
        assert (
            abs(getattr(of_values, name) - getattr(of_process, name)) <= 1e-9 * abs(getattr(of_process, name)) + 1e-12
        )


def test_directions_of_complex_lambda():
    value = 0.8 * np.exp(0.5j)
    slope, bend = omega_factors("polar", value)
    assert np.isclose(slope, (1j * value) ** 2)
    assert np.isclose(bend, -value)
    slope, bend = omega_factors("sigmoid", value)
    assert np.isclose(slope, (0.8 * 0.2 * np.exp(0.5j)) ** 2)
    assert np.isclose(bend, 0.8 * 0.2 * (1 - 1.6) * np.exp(0.5j))
