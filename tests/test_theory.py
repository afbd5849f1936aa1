"""Closed forms of the curse of memory against brute-force sums, limits and numbers that are known."""

import doctest
import importlib
import math

import numpy as np
import pytest
import torch

from gradscope.errors import UnknownName, UsageError
from gradscope.theory import (
    NORMALIZATIONS,
    PARAMETRIZATIONS,
    Autocorrelation,
    domega_exponent,
    domega_power,
    estimate,
    gamma,
    landscape,
    moments,
    second_sensitivity,
    sensitivity,
    state_exponent,
    state_power,
)

EXACT = 1e-9
LAMBDAS = [0.0, 0.5, -0.7, 0.9 * np.exp(0.3j), 0.99, 1 - 1e-6]
RHOS = [0.0, 0.3, -0.5, 0.9, "same", 1.0]


def brute(value, R, length):
    """Double sums over the responses of h, h', h''."""
    n = np.arange(length)
    value = complex(value)
    responses = [
        value**n,
        np.where(n > 0, n * value ** np.maximum(n - 1, 0), 0),
        np.where(n > 1, n * (n - 1) * value ** np.maximum(n - 2, 0), 0),
    ]
    correlated = R[np.abs(n[:, None] - n[None])]
    return [
        (responses[u][:, None] * np.conj(responses[v])[None] * correlated).sum()
        for u, v in ((0, 0), (1, 1), (2, 2), (1, 0))
    ]


def close(mine, reference, scale=None):
    return abs(mine - reference) <= EXACT * (abs(reference) if scale is None else scale) + 1e-300


@pytest.mark.parametrize("length", [1, 2, 7, 300])
@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("value", LAMBDAS)
def test_finite_horizon_equals_double_sums(value, rho, length):
    process = Autocorrelation((1.0,), (float(abs(value)) if rho == "same" else rho,))
    reference = brute(value, process.up_to(length), length)
    mine = moments(value, process, length)
    assert close(mine.state, reference[0].real)
    assert close(mine.tangent, reference[1].real)
    assert close(mine.second, reference[2].real)
    assert close(mine.mixed, reference[3], scale=math.sqrt(abs(reference[0] * reference[1])))


def recursion(value, rho, length):
    """Covariance of (x, h, h', h'') driven by white noise, step by step."""
    M = np.array([[rho, 0, 0, 0], [rho, value, 0, 0], [0, 1, value, 0], [0, 0, 2, value]], dtype=complex)
    g = math.sqrt(1 - rho * rho) * np.array([1, 1, 0, 0])
    P = np.outer([1, 1, 0, 0], [1, 1, 0, 0]).astype(complex)
    for _ in range(length - 1):
        P = M @ P @ M.conj().T + np.outer(g, g)
    return P


@pytest.mark.parametrize(("value", "rho"), [(0.999, 0.0), (0.9999, 0.9), (0.99 * np.exp(1j), 0.5), (0.95, 0.95)])
@pytest.mark.parametrize("length", [300, 20_000])
def test_finite_horizon_equals_the_covariance_recursion(value, rho, length):
    P, mine = recursion(value, rho, length), moments(value, rho, length)
    for number, reference in ((mine.state, P[1, 1]), (mine.tangent, P[2, 2]), (mine.second, P[3, 3])):
        assert close(number, reference.real)
    assert close(mine.mixed, P[2, 1])


def test_a_hundred_thousand_steps_of_white_noise():
    q, T = 0.9999**2, 100_000
    n = np.arange(T, dtype=float)
    assert close(state_power(0.9999, length=T), (1 - q**T) / (1 - q))
    assert close(sensitivity(0.9999, length=T), math.fsum(n**2 * q ** np.maximum(n - 1, 0)))
    assert close(sensitivity(1.0, length=T), (T - 1) * T * (2 * T - 1) / 6)


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("value", LAMBDAS[:5])
def test_infinite_horizon_is_the_limit(value, rho):
    rho = float(abs(value)) if rho == "same" else rho
    limit, mine = moments(value, rho, 20_000), moments(value, rho)
    for name in ("state", "tangent", "second"):
        assert close(getattr(mine, name), getattr(limit, name))
    assert close(mine.mixed, limit.mixed, scale=math.sqrt(limit.state * limit.tangent))


@pytest.mark.parametrize("value", [0.5, 0.99, 1 - 1e-6, 0.9 * np.exp(0.3j)])
def test_special_cases_in_closed_form(value):
    q = abs(value) ** 2
    one_minus_q = (1 - abs(value)) * (1 + abs(value))
    assert close(state_power(value), 1 / one_minus_q)
    assert close(sensitivity(value), (1 + q) / one_minus_q**3)
    assert close(second_sensitivity(value), 4 * (1 + 4 * q + q * q) / one_minus_q**5)
    assert close(state_power(value, 1.0), 1 / abs(1 - value) ** 2)
    assert close(sensitivity(value, 1.0), 1 / abs(1 - value) ** 4)
    assert close(second_sensitivity(value, 1.0), 4 / abs(1 - value) ** 6)
    rho = 0.6
    expected = 2 / one_minus_q**2 * (rho * value / (1 - rho * value) ** 2).real
    expected += (1 + q) * (1 - rho**2 * q) / (one_minus_q**3 * abs(1 - rho * value) ** 2)
    assert close(sensitivity(value, rho), expected)


@pytest.mark.parametrize(
    ("rho", "expected"), [(0.0, 2.5001e11), (0.9, 4.7502e12), (0.99, 4.9748e13), (0.999, 4.9565e14), (1.0, 1e16)]
)
def test_known_numbers_at_0_9999(rho, expected):
    assert math.isclose(sensitivity(0.9999, rho), expected, rel_tol=1e-4)


def test_the_misprint_of_the_paper_is_not_repeated():
    assert math.isclose(sensitivity(0.5, 0.5), 6.5185185185, rel_tol=1e-9)


TABLE = {  # E|dh/dω|² at ν = .99, white: no γ, √ detached, √ attached, 1 − ν attached
    "direct": (251262.63, 5000.126, 2525.189, 25.3788),
    "exp-exp": (24.8748, 0.495008, 0.249992, 0.00251248),
    "log-delta": (24.8748, 0.495008, 0.249992, 0.00251248),
    "sigmoid": (24.6262, 0.490062, 0.247494, 0.00248737),
    "softplus": (24.6262, 0.490062, 0.247494, 0.00248737),
    "tanh": (99.5025, 1.9801, 1.0, 0.0100503),
}


@pytest.mark.parametrize("name", TABLE)
def test_table_of_parametrisations(name):
    cases = (("none", False), ("sqrt", False), ("sqrt", True), ("coupled", True))
    for (normalization, attached), expected in zip(cases, TABLE[name], strict=True):
        assert math.isclose(domega_power(0.99, name, normalization, attached=attached), expected, rel_tol=5e-6)


def test_angles():
    value = 0.99 * np.exp(0.3j)
    assert math.isclose(domega_power(value, "polar"), 246262.5, rel_tol=1e-5)
    assert math.isclose(domega_power(value, "polar", "sqrt"), 4900.624, rel_tol=1e-6)
    assert domega_power(value, "polar", "sqrt", attached=True) == domega_power(value, "polar", "sqrt")
    value = 0.9 * np.exp(0.3j)
    assert math.isclose(domega_power(value, "polar", "exact", 0.7, attached=True), 43.11868, rel_tol=1e-6)
    assert math.isclose(domega_power(value, "direct", "exact", 0.7, attached=True), 27.50041, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("rho", "state", "reparametrised"),
    [(0.0, 1.0, 0.49995), (0.9, 18.98, 9.499), (0.99, 197.0, 99.48), (0.999, 1817, 991.1), (1.0, 2.0e4, 2.0e4)],
)
def test_normalised_figures_at_0_9999(rho, state, reparametrised):
    assert math.isclose(gamma("sqrt", 0.9999) ** 2 * state_power(0.9999, rho), state, rel_tol=5e-4)
    assert math.isclose(domega_power(0.9999, "exp-exp", "sqrt", rho), reparametrised, rel_tol=5e-4)


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_derivatives_equal_autograd(parametrization, normalization, attached):
    """E|dh/dω|² from the gradients of the impulse response, white input: Σ_n |∂(γ λ^n)/∂ω|²."""
    nu, theta, T = 0.9, 0.0 if parametrization != "polar" else 0.4, 600
    how = PARAMETRIZATIONS[parametrization]
    omega = torch.tensor(theta if how.is_angle else how.inverse(nu), dtype=torch.float64)

    def response(omega):
        if parametrization == "polar":
            modulus, angle = torch.tensor(nu, dtype=torch.float64), omega
        else:
            modulus, angle = _torch_value(parametrization, omega), torch.zeros((), dtype=torch.float64)
        scale = {
            "none": torch.ones(()),
            "sqrt": torch.sqrt(1 - modulus**2),
            "exact": torch.sqrt(1 - modulus**2),  # white: the same
            "coupled": 1 - modulus,
        }[normalization]
        scale = scale if attached else scale.detach()
        n = torch.arange(T, dtype=torch.float64)
        return torch.stack([scale * modulus**n * torch.cos(n * angle), scale * modulus**n * torch.sin(n * angle)])

    slopes = torch.autograd.functional.jacobian(response, omega)
    value = nu * np.exp(1j * theta)
    expected = domega_power(value, parametrization, normalization, attached=attached)
    assert math.isclose(float((slopes**2).sum()), expected, rel_tol=1e-9)


def _torch_value(name, omega):
    return {
        "direct": lambda: omega,
        "exp-exp": lambda: torch.exp(-torch.exp(omega)),
        "log-delta": lambda: torch.exp(-torch.exp(omega)),
        "sigmoid": lambda: torch.sigmoid(omega),
        "softplus": lambda: torch.exp(-torch.nn.functional.softplus(omega)),
        "tanh": lambda: torch.tanh(omega),
    }[name]()


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_inverses(name):
    how = PARAMETRIZATIONS[name]
    for nu in (0.1, 0.9, 0.9999):
        assert math.isclose(how.value(how.inverse(nu)), nu, rel_tol=1e-9)


@pytest.mark.parametrize("is_constant", [False, True])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_exponents_are_the_slopes_of_the_closed_forms(parametrization, normalization, is_constant):
    rho, epsilon = float(is_constant), (1e-5, 1e-6)
    slopes = []
    for attached in (False, True):
        low, high = (domega_power(1 - e, parametrization, normalization, rho, attached=attached) for e in epsilon)
        claimed = domega_exponent(parametrization, normalization, is_constant=is_constant, attached=attached)
        if not math.isnan(claimed) and low > 0 and high > 0:
            slopes.append((math.log10(low / high), claimed))
    powers = [gamma(normalization, 1 - e, rho) ** 2 * state_power(1 - e, rho) for e in epsilon]
    slopes.append((math.log10(powers[0] / powers[1]), state_exponent(normalization, is_constant=is_constant)))
    for measured, claimed in slopes:
        assert abs(measured - claimed) < 1e-3


def test_autocorrelation_of_data():
    random = np.random.RandomState(0)
    x = np.zeros((400, 200, 1))
    x[:, 0] = random.standard_normal((400, 1))
    for t in range(1, 200):
        x[:, t] = 0.8 * x[:, t - 1] + 0.6 * random.standard_normal((400, 1))
    found = estimate(x, 60)
    assert np.allclose(found.up_to(5), 0.8 ** np.arange(5), atol=0.03)
    assert abs(sensitivity(0.9, found) / sensitivity(0.9, 0.8) - 1) < 0.1
    assert abs(sensitivity(0.9, found, 50) / sensitivity(0.9, 0.8, 50) - 1) < 0.1


def test_wiki_like_is_a_sum():
    both = Autocorrelation((0.332, 0.043056), (0.0, 0.997005))
    apart = 0.332 * sensitivity(0.99) + 0.043056 * sensitivity(0.99, 0.997005)
    assert math.isclose(sensitivity(0.99, both), apart, rel_tol=1e-12)


@pytest.mark.parametrize(("value", "curvature"), [(0.9, 263.887), (0.99, 251262.6), (0.999, 2.50125e8)])
def test_landscape_at_the_optimum(value, curvature):
    point = landscape(value, value)
    assert abs(point.loss) < 1e-6 * curvature * 1e-6
    assert math.isclose(point.curvature, curvature, rel_tol=1e-5)
    assert math.isclose(point.curvature, sensitivity(value), rel_tol=1e-9)


def test_landscape_of_known_numbers():
    assert math.isclose(landscape(0.0, 0.99).loss, 24.6256, rel_tol=1e-5)
    assert math.isclose(landscape(0.9, 0.9, "tanh", "sqrt").curvature, 1.0, rel_tol=1e-9)
    assert math.isclose(landscape(0.9999, 0.9999, "exp-exp", "sqrt").curvature, 0.25, rel_tol=1e-3)
    between = math.atanh(0.5) - math.atanh(0.99)
    assert math.isclose(landscape(0.5, 0.99, "tanh", "sqrt").loss, 1 - 1 / math.cosh(between), rel_tol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("normalization", ["none", "sqrt"])
@pytest.mark.parametrize("parametrization", [name for name, p in PARAMETRIZATIONS.items() if not p.is_angle])
def test_landscape_derivatives_equal_autograd(parametrization, normalization, rho):
    def generating(a, b):
        return (1 - rho**2 * a * b) / ((1 - a * b) * (1 - rho * a) * (1 - rho * b))

    def loss(omega):
        nu, teacher = _torch_value(parametrization, omega), torch.tensor(0.9, dtype=torch.float64)
        own, other = (torch.sqrt(1 - v**2) if normalization == "sqrt" else torch.ones(()) for v in (nu, teacher))
        return 0.5 * (
            own**2 * generating(nu, nu)
            + other**2 * generating(teacher, teacher)
            - 2 * own * other * generating(nu, teacher)
        )

    omega = torch.tensor(PARAMETRIZATIONS[parametrization].inverse(0.7), dtype=torch.float64)
    point = landscape(0.7, 0.9, parametrization, normalization, rho)
    assert math.isclose(point.loss, float(loss(omega)), rel_tol=1e-10)
    assert math.isclose(point.gradient, float(torch.autograd.functional.jacobian(loss, omega)), rel_tol=1e-9)
    assert math.isclose(point.curvature, float(torch.autograd.functional.hessian(loss, omega)), rel_tol=1e-9)


def test_what_theory_refuses():
    with pytest.raises(UsageError, match="infinite horizon needs"):
        state_power(1.0)
    with pytest.raises(UsageError, match="at most 1"):
        state_power(1.1, length=5)
    with pytest.raises(UnknownName, match="Did you mean 'sigmoid'"):
        domega_power(0.9, "sigmod")
    with pytest.raises(UnknownName, match="Did you mean 'sqrt'"):
        gamma("sqr", 0.9)
    with pytest.raises(UnknownName, match="parametrization of a modulus"):
        landscape(0.9, 0.9, "polar")
    with pytest.raises(UsageError, match="below 1 in modulus"):
        landscape(1.0, 0.9)


@pytest.mark.parametrize("module", ["moments", "normalizations", "landscape"])
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(f"gradscope.theory.{module}"))
    assert found.failed == 0
    assert found.attempted > 0
