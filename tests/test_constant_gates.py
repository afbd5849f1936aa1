"""LSTM and GRU as they are run, with gates that are held, against the closed forms; and how far real gates deviate.

What is held: no weight reaches the gates, U of the candidate is 0 and its W is 1 for the one input, so that n = tanh(x)
of a small x is x. θ of the group ``magnitude`` is then the bias alone, of which torch has two: weights multiply what is
small by what is small.
"""

import math

import pytest
import torch
from torch.func import functional_call, jvp

import gradscope
from gradscope.theory import gru_powers, lstm_powers
from tests.models import small

HIDDEN, SEQUENCES = 2, 1200
SMALL = 1e-3
ERRORS = 4.0  # standard errors of the mean over sequences
INPUTS = {"white": ({}, 0.0), "ar1": ({"rho": 0.8}, 0.8), "constant": ({}, 1.0)}
KEPT = [(0.8, 30), (0.95, 100), (0.98, 40)]  # the gate that keeps, and steps; the last is far from its limit


def logit(gate):
    return math.log(gate / (1 - gate))


def driven_by(kind, length, scale=SMALL, sequences=SEQUENCES):
    x = gradscope.make_inputs(kind, batch=sequences, length=length, input_size=1, **INPUTS[kind][0])
    return scale * x.double()


@torch.no_grad()
def held(name, **gates):
    """A cell whose gates are constants; keys are torch's positions, ``gate_1=0.9``."""
    model = small(name, input_size=1, hidden_size=HIDDEN)
    for parameter in model.parameters():
        parameter.zero_()
    candidate = slice(2 * HIDDEN, 3 * HIDDEN)  # i, f, g, o and r, z, n
    model.weight_ih_l0[candidate] = 1.0
    for key, value in gates.items():
        index = int(key.removeprefix("gate_"))
        model.bias_ih_l0[index * HIDDEN : (index + 1) * HIDDEN] = logit(value)
    return model


def bias_slopes(model, x, gate, unit, block):
    """The last step's state of one unit and its derivative by that unit's bias of one gate, ``(sequences,)`` each."""
    tangent = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    tangent["bias_ih_l0"][gate * model.hidden_size + unit] = 1.0

    class Loop(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = model

        def forward(self, x):
            u, s = self.cell.prepare(x), self.cell.initial_state(len(x))
            for index in range(x.shape[1]):
                s = self.cell.step(s, {key: value[:, index] for key, value in u.items()}, torch.tensor(index + 1))
            return s[block][:, unit]

    loop = Loop()
    values = {f"cell.{name}": p.detach() for name, p in model.named_parameters()}
    directions = ({f"cell.{name}": t for name, t in tangent.items()},)
    return jvp(lambda v: functional_call(loop, v, (x,)), (values,), directions)


def deviation(samples, expected):
    """How far the samples' mean is from theory, in standard errors; and the standard error relative to theory."""
    error = float(samples.std()) / math.sqrt(len(samples))
    return (float(samples.mean()) - expected) / error, error / expected


def agrees(samples, expected):
    errors, relative = deviation(samples, expected)
    return abs(errors) < ERRORS and relative < 0.07


@pytest.mark.parametrize(("kept", "length"), KEPT)
@pytest.mark.parametrize("kind", INPUTS)
def test_lstm(kind, kept, length):
    written, shown = 0.3, 0.6  # i, o: h = o tanh c is o c
    model = held("lstm", gate_0=written, gate_1=kept, gate_3=shown)
    x = driven_by(kind, length)
    mine = gradscope.memory_sensitivity(model, x, probes=2)
    theory = lstm_powers(kept, written, INPUTS[kind][1], length, SMALL**2)
    both = (1 + shown**2) / 2  # the mean over c and h of each unit
    assert abs(mine.achieved_lambda_modulus - kept) < 1e-6
    assert agrees(mine.state_power, both * theory.state)
    assert agrees(mine.dh_domega_power["magnitude"], 2 * both * theory.forget_bias)
    state, by_input_bias = bias_slopes(model, x, gate=0, unit=1, block="c")
    assert agrees(state**2, theory.state)
    assert agrees(by_input_bias**2, theory.input_bias)


@pytest.mark.parametrize(("kept", "length"), KEPT)
@pytest.mark.parametrize("kind", INPUTS)
def test_gru(kind, kept, length):
    model = held("gru", gate_1=kept)
    x = driven_by(kind, length)
    mine = gradscope.memory_sensitivity(model, x, probes=2)
    theory = gru_powers(kept, INPUTS[kind][1], length, SMALL**2)
    assert abs(mine.achieved_lambda_modulus - kept) < 1e-6
    assert agrees(mine.state_power, theory.state)
    assert agrees(mine.dh_domega_power["magnitude"], 2 * theory.update_bias)


def measured_over_theory(strength):
    """E h² and E(dh/db)² of a GRU's unit with ``strength`` times the default weights of its gates.

    Inputs are not small, so that gates can move; h is linear in n = tanh x, whose variance is measured.
    """
    kept, length, size = 0.9, 80, 8
    model = small("gru", input_size=1, hidden_size=size)
    model.set_memory(kept)
    with torch.no_grad():
        gates, candidate = slice(0, 2 * size), slice(2 * size, None)
        for parameter in (model.weight_ih_l0, model.weight_hh_l0):
            parameter[gates] *= strength
        for parameter in (model.weight_hh_l0, model.bias_ih_l0, model.bias_hh_l0):
            parameter[candidate] = 0.0
        model.weight_ih_l0[candidate] = 1.0
    x = driven_by("white", length, scale=1.0, sequences=3000)
    unit = int(model.weight_ih_l0[size : 2 * size, 0].abs().argmax())
    state, slope = bias_slopes(model, x, gate=1, unit=unit, block="h")
    theory = gru_powers(kept, 0.0, length, float((torch.tanh(x) ** 2).mean()))
    return deviation(state**2, theory.state), deviation(slope**2, theory.update_bias)


def test_held_gates_agree_also_where_inputs_are_large():
    for errors, relative in measured_over_theory(strength=0.0):
        assert abs(errors) < ERRORS
        assert relative < 0.05


def test_gates_that_follow_their_input_deviate():
    """1 − z follows the x that n follows too, so that (1 − z) n has a mean, which a long memory adds up."""
    (state, state_error), (by_bias, bias_error) = measured_over_theory(strength=1.0)
    assert state > ERRORS
    assert 2 < 1 + state * state_error < 3.5  # 2.6
    assert abs(by_bias * bias_error) < 0.2  # the sensitivity itself is theory's
