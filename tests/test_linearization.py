"""The three verbs agree with each other and with autograd."""

import math

import pytest
import torch

import gradscope
from gradscope.contract.state import as_state, as_vector
from gradscope.numerics.scaled import Scaled
from tests.models import SINGLE, inputs, small
from tests.tolerances import RELATIVE

TOLERANCE = RELATIVE[torch.float64]


@pytest.mark.parametrize(("name", "options"), SINGLE, ids=str)
def test_matrix_of_the_fast_shapes_equals_autograd(name, options):
    model, x = small(name, **options), inputs()
    fast = gradscope.linearize(model, x)
    slow = gradscope.linearize(model, x, accelerated=False)
    for step in (1, 2, 4, 7):
        mine, reference = fast.matrix(step), slow.matrix(step)
        assert mine.shape == (2, model.state_size, model.state_size)
        assert torch.allclose(mine, reference, rtol=TOLERANCE, atol=1e-14)


@pytest.mark.parametrize(("name", "options"), SINGLE, ids=str)
def test_tangents_are_products_of_matrices(name, options):
    model, x = small(name, **options), inputs()
    linearization = gradscope.linearize(model, x)
    torch.manual_seed(0)
    product = initial = torch.randn(2, model.state_size, 2, dtype=torch.float64)
    for step, value in enumerate(linearization.tangent(initial), start=1):
        product = linearization.matrix(step) @ product
        assert torch.allclose(value.at(torch.zeros_like(value.exponent)), product, rtol=1e-9, atol=1e-13)


def test_tangents_keep_going_where_a_dtype_ends():
    model = small("linear-rnn", dtype=torch.float32, init="orthogonal", radius=1e-3)
    x = inputs(length=200, dtype=torch.float32)
    *_, last = gradscope.linearize(model, x).tangent(torch.eye(3).expand(2, 3, 3).contiguous())
    expected = 200 * -3 + math.log10(math.sqrt(3))
    assert torch.allclose(last.log10_norm(), torch.full((2,), expected, dtype=torch.float64), rtol=1e-5)


def test_states_and_vectors_turn_into_each_other():
    model = small("lru")
    state = {"h": torch.randn(2, 3, dtype=torch.complex128)}
    assert torch.equal(as_state(as_vector(state), model.state_spec)["h"], state["h"])
    assert isinstance(Scaled.of(as_vector(state), 1), Scaled)


def test_lru_jacobian_is_rotation_and_scaling():
    model = small("lru")
    modulus, phase = torch.exp(-torch.exp(model.nu_log)), torch.exp(model.theta_log)
    mine = torch.linalg.eigvals(gradscope.linearize(model, inputs()).matrix(3)[0])
    expected = torch.cat([torch.polar(modulus, phase), torch.polar(modulus, -phase)])
    distances = (mine.unsqueeze(0) - expected.unsqueeze(1)).abs()
    assert distances.min(0).values.max() < 1e-12
    assert distances.min(1).values.max() < 1e-12


def test_deltanet_jacobian_is_identity_minus_rank_one_times_identity():
    model, x = small("deltanet"), inputs()
    linearization = gradscope.linearize(model, x)
    u = model.prepare(x)
    k, beta = u["k"][0, 2], u["beta"][0, 2]
    expected = torch.kron(torch.eye(3) - beta * torch.outer(k, k), torch.eye(3, dtype=torch.float64))
    assert torch.allclose(linearization.matrix(3)[0], expected, rtol=0, atol=1e-14)


def test_skip_rnn_determinant():
    model = small("skip-rnn", k=4, alpha=0.6)
    determinant = torch.linalg.det(gradscope.linearize(model, inputs()).matrix(5))
    assert torch.allclose(determinant.abs(), torch.full((2,), 0.6**3, dtype=torch.float64), rtol=1e-10)
