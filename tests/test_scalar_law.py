"""The scalar law's recursion against a plain loop, and fitted exponents against known power laws."""

import math

import numpy as np
import pytest

from gradscope.commands.sensitivity.lambdas import parse_lambdas
from gradscope.errors import UnknownName, UsageError
from gradscope.experiments.scalar_law import CHUNK_STEPS, scalar_law
from gradscope.inputs.make import make_inputs
from gradscope.inputs.processes import KINDS, driven_input
from gradscope.numerics.fits import fit_exponent
from gradscope.numerics.random_streams import random_stream

LAMBDAS = [0.9, -0.5, 0.8 + 0.3j]


def looped(value, driver, length, samples, seed):
    """h, dh/dλ, d²h/dλ² by the definition, on inputs made step by step from the same noise."""
    random = random_stream("inputs", seed)
    parts = []
    for start in range(0, length, CHUNK_STEPS):
        parts.append(random.standard_normal((min(CHUNK_STEPS, length - start), len(driver.rhos), samples)))
    noise = np.concatenate(parts)
    x = np.zeros((length, samples))
    for k, (weight, rho) in enumerate(zip(driver.weights, driver.rhos, strict=True)):
        process = math.sqrt(weight) * noise[0, k]
        x[0] += process
        for t in range(1, length):
            process = rho * process + math.sqrt(weight * (1 - rho**2)) * noise[t, k]
            x[t] += process
    h = first = second = np.zeros(samples, dtype=complex)
    for t in range(length):
        h, first, second = value * h + x[t], value * first + h, value * second + 2 * first
    return h, first, second


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 2, 7, CHUNK_STEPS, CHUNK_STEPS + 1, 1100])
def test_equals_a_loop(kind, length):
    driver = driven_input(kind, rho=0.7)
    law = scalar_law(LAMBDAS, driver, length=length, samples=3, seed=5)
    for index, value in enumerate(LAMBDAS):
        for mine, reference in zip(
            (law.state, law.tangent, law.second_tangent), looped(value, driver, length, 3, 5), strict=True
        ):
            assert np.allclose(mine[index], reference, rtol=1e-10, atol=1e-12)


def test_powers_of_a_white_input():
    law = scalar_law([0.9, 0.99], driven_input("white"), length=2000, samples=20_000)
    q = np.array([0.9, 0.99]) ** 2
    assert np.allclose((np.abs(law.state) ** 2).mean(1), 1 / (1 - q), rtol=0.04)
    assert np.allclose((np.abs(law.tangent) ** 2).mean(1), (1 + q) / (1 - q) ** 3, rtol=0.04)


@pytest.mark.parametrize(("kind", "options"), [*((kind, {}) for kind in KINDS), ("ar1", {"rho": 0.8})])
def test_inputs_of_models_have_the_autocorrelation_of_the_scalar_law(kind, options):
    x = make_inputs(kind, batch=4000, length=12, input_size=1, **options).double().numpy()[..., 0]
    driver = driven_input(kind, **options)
    for lag in (0, 1, 5, 11):
        expected = sum(
            w * (rho**lag if rho or lag else 1.0) for w, rho in zip(driver.weights, driver.rhos, strict=True)
        )
        measured = (x[:, 0] * x[:, lag]).mean()
        assert abs(measured - expected) < 4 * math.sqrt(2 / 4000) * sum(driver.weights)


def test_what_the_scalar_law_refuses():
    for lambdas, length in (([1.0], 5), ([], 5), ([0.5], 0)):
        with pytest.raises(UsageError, match="needs values of"):
            scalar_law(lambdas, driven_input("white"), length=length)
    with pytest.raises(UnknownName, match="Did you mean 'white'"):
        driven_input("whit")


def test_exponents_of_noisy_power_laws_and_their_errors():
    random = np.random.RandomState(0)
    epsilon = np.logspace(-1, -4, 5)
    inside = []
    for _ in range(60):
        powers = epsilon[:, None] ** -3.0 * random.standard_normal((5, 400)) ** 2
        found = fit_exponent(epsilon, powers)
        inside.append(abs(found.exponent + 3) < 2 * found.standard_error)
    assert 0.85 < np.mean(inside) <= 1
    assert math.isnan(fit_exponent(epsilon[:1], np.ones((1, 4))).exponent)
    assert math.isnan(fit_exponent(epsilon, np.ones((5, 1))).standard_error)
    assert math.isnan(fit_exponent(epsilon, np.zeros((5, 4))).exponent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "should lie between 0 and 1, but 1 was given"),
        ("0.9..1.1", "should lie between 0 and 1, but 1.1 was given"),
        ("0.99..0.9", "is empty or reversed"),
        ("0.9..0.9", "is empty or reversed"),
        ("0.9..0.99:1", "needs a whole number of values from 2 on"),
        ("0.9,0.8", "should ascend, but 0.8 comes after 0.9"),
        ("high", "cannot be read; write 0.9,0.99"),
    ],
)
def test_moduli_that_cannot_be_read(text, message):
    with pytest.raises(UsageError, match=message):
        parse_lambdas("--lambda", text)


def test_moduli_are_log_spaced_in_one_minus_lambda():
    values = np.array(parse_lambdas("--lambda", "0.9..0.9999"))
    assert np.allclose(np.log10(1 - values), [-1, -1.75, -2.5, -3.25, -4])
