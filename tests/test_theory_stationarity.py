"""Trends, jumps and random walks are noticed, and stationary inputs are not."""

import doctest
import importlib

import numpy as np
import pytest

from gradscope.errors import UsageError
from gradscope.inputs.make import make_inputs
from gradscope.theory import stationarity_problem

STEPS = 1000


def noise(seed, sequences=1, features=3):
    return np.random.RandomState(seed).standard_normal((sequences, STEPS, features))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["white", "ar1", "constant"])
def test_stationary_inputs_pass(kind, seed):
    options = {"rho": 0.9} if kind == "ar1" else {}
    x = make_inputs(kind, batch=3, length=STEPS, input_size=4, seed=seed, **options).double().numpy()
    assert stationarity_problem(x) is None
    if kind != "constant":  # one sequence of it is a constant column
        assert stationarity_problem(x[:1]) is None


PROBLEMS = {
    "trend": (lambda t: 2 * t / STEPS, "the means of its two halves are"),
    "jump": (lambda t: 1.5 * (t > 0.6 * STEPS), "the means of its two halves are"),
    "bump": (lambda t: 5 * np.exp(-((t / STEPS - 0.5) ** 2) / 0.02), "of its variance lies between the means"),
}


@pytest.mark.parametrize("sequences", [1, 4])
@pytest.mark.parametrize("name", PROBLEMS)
def test_trends_and_jumps_are_noticed(name, sequences):
    shape, message = PROBLEMS[name]
    x = noise(0, sequences)
    x[..., 1] += shape(np.arange(STEPS))
    said = stationarity_problem(x)
    assert said is not None
    assert said.startswith("Column 2 is not stationary: ")
    assert message in said


def test_random_walks_are_noticed():
    found = [stationarity_problem(noise(seed, features=1).cumsum(1)) is not None for seed in range(100)]
    assert np.mean(found) > 0.85  # some look like a process that returns
    found = [stationarity_problem(noise(seed, sequences=8, features=1).cumsum(1)) is not None for seed in range(20)]
    assert all(found)


def test_a_trend_without_noise_and_short_data():
    trend = np.linspace(0, 1, STEPS).reshape(1, STEPS, 1)
    assert "halves" in stationarity_problem(trend)
    assert "halves" in stationarity_problem((trend > 0.5).astype(float))
    assert stationarity_problem(trend[:, :63]) is None
    with pytest.raises(UsageError, match="Column 1 is constant"):
        stationarity_problem(np.ones((1, STEPS, 1)))


@pytest.mark.parametrize("module", ["stationarity", "covariance"])
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(f"gradscope.theory.{module}"))
    assert found.failed == 0
    assert found.attempted > 0
