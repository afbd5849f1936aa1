"""LSTM and GRU with constant gates against autograd through the responses, torch's own modules, and known numbers."""

import doctest
import importlib
import math

import numpy as np
import pytest
import torch

from gradscope.errors import UsageError
from gradscope.theory import Autocorrelation
from gradscope.theory.gates import gru_powers, lstm_powers

EXACT = 1e-9
WIKI = Autocorrelation((0.332, 0.043056), (0.0, 0.997005))


def logit(gate):
    return math.log(gate / (1 - gate))


def powers(response, biases, process):
    """Σ_{n,m} k_n k_m R(n − m) of a response k and of its derivatives with respect to each bias, by autograd."""
    biases = tuple(torch.tensor(bias, dtype=torch.float64) for bias in biases)
    slopes = torch.autograd.functional.jacobian(response, biases)
    lags = np.arange(len(slopes[0]))
    R = process.up_to(len(lags))[np.abs(lags[:, None] - lags[None])]
    return [float(k.numpy() @ R @ k.numpy()) for k in (response(*biases), *slopes)]


@pytest.mark.parametrize("process", [Autocorrelation((1.0,), (rho,)) for rho in (0.0, -0.5, 0.9, 1.0)] + [WIKI])
@pytest.mark.parametrize("length", [1, 2, 7, 300])
def test_lstm_equals_autograd(process, length):
    f, i, v = 0.95, 0.2, 1.7
    n = torch.arange(length, dtype=torch.float64)

    def response(forget, input_):
        return torch.sigmoid(input_) * torch.sigmoid(forget) ** n

    reference = powers(response, (logit(f), logit(i)), process)
    mine = lstm_powers(f, i, process, length, v)
    for number, expected in zip((mine.state, mine.forget_bias, mine.input_bias), reference, strict=True):
        assert math.isclose(number, v * expected, rel_tol=EXACT, abs_tol=1e-300)


@pytest.mark.parametrize("process", [Autocorrelation((1.0,), (rho,)) for rho in (0.0, -0.5, 0.9)] + [WIKI])
@pytest.mark.parametrize("length", [1, 2, 7, 300, None])
def test_gru_equals_autograd(process, length):
    z, v = 0.9, 1.7
    n = torch.arange(length or 600, dtype=torch.float64)

    def response(update):
        return torch.sigmoid(-update) * torch.sigmoid(update) ** n

    reference = powers(response, (logit(z),), process)
    mine = gru_powers(z, process, length, v)
    assert math.isclose(mine.state, v * reference[0], rel_tol=EXACT)
    assert math.isclose(mine.update_bias, v * reference[1], rel_tol=EXACT)


def test_torch_gru_with_constant_gates_obeys_the_recurrence():
    """No weight reaches the gates, n = tanh(x) of small x is x: the module's own gradient of its bias, squared."""
    z, length, small = 0.9, 60, 1e-5
    cell = torch.nn.GRU(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_ih_l0[2], cell.bias_ih_l0[1] = 1.0, logit(z)  # gate order r, z, n
    states, slopes = [], []
    for lag in range(length):  # white input: the squares of the responses to single impulses
        x = torch.zeros(length, 1, 1, dtype=torch.float64)
        x[length - 1 - lag] = small
        h = cell(x)[0][-1, 0, 0] / small
        states.append(float(h.detach()))
        slopes.append(float(torch.autograd.grad(h, cell.bias_ih_l0)[0][1]))
    mine = gru_powers(z, length=length)
    assert math.isclose(sum(k * k for k in states), mine.state, rel_tol=EXACT)
    assert math.isclose(sum(k * k for k in slopes), mine.update_bias, rel_tol=EXACT)


# T, E h², E(dh/db)² at λ = T/(1 + T), as printed; computed values differ by up to 7e-5 (T = 256: .0249813)
KNOWN = [
    (1, 0.15355, 0.02464),
    (4, 0.079379, 0.0148),
    (10, 0.057554, 0.0077492),
    (32, 0.044341, 0.0041654),
    (100, 0.034736, 0.0046111),
    (256, 0.024983, 0.0055923),
]


@pytest.mark.parametrize(("timescale", "state", "update_bias"), KNOWN)
def test_gru_of_embedded_text(timescale, state, update_bias):
    mine = gru_powers(timescale / (1 + timescale), WIKI)
    assert math.isclose(mine.state, state, rel_tol=1e-4)
    assert math.isclose(mine.update_bias, update_bias, rel_tol=1e-4)


def test_limits_of_long_memory():
    epsilon = 1e-6
    gru, lstm = gru_powers(1 - epsilon), lstm_powers(1 - epsilon, 0.3)
    assert math.isclose(gru.update_bias, epsilon / 4, rel_tol=1e-5)
    assert math.isclose(gru.update_bias / gru.state, 0.5, rel_tol=1e-5)
    assert math.isclose(lstm.forget_bias, 0.3**2 / (4 * epsilon), rel_tol=1e-5)
    assert math.isclose(lstm.input_bias, 0.7**2 * lstm.state, rel_tol=1e-12)
    assert gru_powers(1 - epsilon, 1.0).update_bias == 0  # a constant is reproduced whatever z is


def test_gates_outside_the_unit_interval_are_refused():
    with pytest.raises(UsageError, match="update gate lies between 0 and 1"):
        gru_powers(1.0)
    with pytest.raises(UsageError, match="forget gate lies between 0 and 1"):
        lstm_powers(0.0, 0.5)
    with pytest.raises(UsageError, match="input gate lies between 0 and 1"):
        lstm_powers(0.5, 1.5)


def test_examples_in_docstrings():
    found = doctest.testmod(importlib.import_module("gradscope.theory.gates"))
    assert found.failed == 0
    assert found.attempted > 0
