"""Recurrences of every shape against autograd: gradients, Jacobians, and the shape that the program gives them."""

import pytest
import torch

import gradscope
from gradscope.dynamics.linearize import linearize_model
from gradscope.dynamics.program.structure import structure
from tests.models import inputs
from tests.recurrences import INPUT, RECURRENCES, SHAPES
from tests.test_gradients import LOSSES, check_against_autograd

STEPS = [1, 4, 7]


def made(name):
    return RECURRENCES[name]().double()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("name", RECURRENCES)
def test_gradients_equal_autograd(name, loss):
    model = made(name)
    (trajectory,) = linearize_model(model, inputs()).recurrences
    assert trajectory.executor.startswith("program"), trajectory.why_replayed
    check_against_autograd(model, inputs(), loss)


@pytest.mark.parametrize("name", RECURRENCES)
def test_jacobians_equal_autograd_and_have_their_shape(name):
    model, x = made(name), inputs()
    fast = linearize_model(model, x)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADSCOPE_EXECUTOR", "replay")
        slow = linearize_model(model, x)
    (trajectory,) = fast.recurrences
    assert structure(trajectory.program, trajectory).kind == SHAPES[name]
    for step in STEPS:
        assert torch.allclose(fast.matrix(step), slow.matrix(step), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", RECURRENCES)
def test_spectra_and_exponents_do_not_depend_on_the_shape(name):
    model, x = made(name), inputs(length=12)

    def measured():
        spectrum = gradscope.jacobian_spectrum(model, x, steps=STEPS)
        products = gradscope.jacobian_products(model, x, lags=[1, 5])
        exponents = gradscope.lyapunov_exponents(model, x, warm_up=2).exponents_nats_per_step
        moduli = spectrum.eigenvalues.abs().sort(dim=-1).values
        volume = exponents.sum(-1)  # the exponents themselves depend on the frame that a few steps begin with
        return [moduli, spectrum.singular_values, volume, products.log10_frobenius_norm]

    fast = measured()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADSCOPE_EXECUTOR", "replay")
        for mine, reference in zip(fast, measured(), strict=True):
            finite = reference > -30
            assert torch.allclose(mine[finite], reference[finite], rtol=1e-7, atol=1e-7)


def test_parts_that_never_meet_have_spectra_of_their_own():
    parts = linearize_model(made("Heads"), inputs()).coupled
    assert [part.size for part in parts] == [3, 3]
    parts = linearize_model(made("TwoBlocks"), inputs()).coupled
    assert [part.size for part in parts] == [6, 2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lstm", ("weight_hh_l0",)),
        ("gru-cho", ("weight_hh_rz", "weight_hh_n")),
        ("ind-rnn", ("u",)),
        ("lru", ("nu_log", "theta_log")),
        ("min-gru", ("weight_z", "bias_z")),
        ("deltanet", ("weight_k", "weight_beta", "bias_beta")),
        ("sc-lstm-p", ("alpha", "weight_hh")),
        ("hrl", ("branches.lstm.weight_hh_l0", "branches.rrn.weight_hh_1", "branches.rrn.weight_hh_2")),
    ],
)
def test_recurrent_parameters_are_those_that_multiply_the_state(name, expected):
    model = gradscope.build(name, input_size=INPUT, hidden_size=3)
    x = gradscope.make_inputs("white", batch=2, length=3, input_size=INPUT)
    assert sorted(gradscope.linearize(model, x).recurrent_parameters) == sorted(expected)


def test_recurrent_parameters_of_ones_own():
    found = {name: gradscope.linearize(made(name), inputs()).recurrent_parameters for name in RECURRENCES}
    assert found["GatedLinearAttention"] == ("a",)
    assert found["ComplexDiagonal"] == ("log_real", "imaginary")
    assert found["SlowSums"] == ("U", "g")
    assert found["DiagonalStateSpace"] == ("A", "dt")
    assert found["TwoBlocks"] == ("U",)
