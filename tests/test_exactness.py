"""Numbers far outside the range of a dtype."""

import math

import pytest
import torch

import gradscope
from gradscope.dynamics.adjoint import RESCALE_STEPS, RecurrenceAdjoint
from gradscope.numerics.activations import sigmoid, tanh
from gradscope.numerics.scaled import Scaled, add, power_of_two
from tests.models import HIDDEN, inputs, small
from tests.tolerances import DECADES


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 126), (torch.float64, 1022)])
def test_powers_of_two_are_exact(dtype, limit):
    exponents = torch.arange(-limit, limit + 1, dtype=torch.int32)
    assert power_of_two(exponents, dtype).tolist() == [2.0**e for e in exponents.tolist()]
    assert power_of_two(torch.tensor([-limit - 5], dtype=torch.int32), dtype).item() == 0.0


def test_sums_of_scaled_numbers():
    big = Scaled(torch.ones(1, 3), torch.tensor([5000], dtype=torch.int32))
    small_ = Scaled(torch.ones(1, 3), torch.tensor([-5000], dtype=torch.int32))
    assert add(big, small_).log10_norm().item() == pytest.approx(0.5 * math.log10(3) + 5000 * math.log10(2), abs=1e-12)
    both = add(big, Scaled(torch.ones(1, 3), torch.tensor([4998], dtype=torch.int32)))
    assert both.mantissa.tolist() == [[1.25] * 3]
    assert Scaled(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int32)).normalized().log10_norm().item() == -math.inf


@pytest.mark.parametrize(("radius", "decades"), [(0.9, -4575.70330), (1.1222, 5006.9)])
def test_linear_rnn_over_100000_steps(radius, decades):
    length = 100_000
    model = small("linear-rnn", init="orthogonal", radius=radius, hidden_size=3)
    x = torch.zeros(1, length, 4, dtype=torch.float64)
    norms = gradscope.gradient_norms(model, x, [length], components=["h"], weight_gradients=False).log10_norm["h"]
    change = (norms[0, 0, 0] - norms[0, 0, -1]).item()
    assert change == pytest.approx((length - 1) * math.log10(radius), rel=1e-9)
    assert change == pytest.approx(decades, abs=0.2)


def test_lstm_of_1000_steps_in_float32_where_autograd_prints_zero():
    model = small("lstm", dtype=torch.float32, input_size=32, hidden_size=64)
    x = inputs(length=1000, dtype=torch.float32, batch=4, input_size=32)
    result = gradscope.gradient_norms(model, x, [1000])
    first = result.log10_norm["h"][0, :, 0]
    assert result.status == ("ok",)
    assert ((first > -230) & (first < -170)).all()
    leaf = x.clone().requires_grad_()
    (0.5 * (model(leaf)[:, -1] ** 2).sum()).backward()
    assert (leaf.grad[:, 0] == 0).all()


def test_a_slow_branch_does_not_underflow_a_fast_one():
    x = inputs(length=1000, dtype=torch.float64, input_size=32)
    exact = gradscope.gradient_norms(small("hrl", input_size=32, hidden_size=64), x, [1000])
    single = gradscope.gradient_norms(small("hrl", dtype=torch.float32, input_size=32, hidden_size=64), x, [1000])
    gap = (exact.log10_norm["lstm.h"] - exact.log10_norm["rrn.h"])[0, :, 0]
    assert (gap > 50).all()
    for name in ("lstm.h", "lstm.c", "rrn.h", "x"):
        difference = (exact.log10_norm[name] - single.log10_norm[name]).abs()
        assert difference.max() < DECADES[torch.float32], name


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "gru-cho", "rrn", "skip-rnn", "lru", "min-gru", "deltanet"])
def test_float32_agrees_with_float64(name):
    x = inputs(length=300, input_size=8)
    exact = gradscope.gradient_norms(small(name, input_size=8, hidden_size=16), x, [300])
    single = gradscope.gradient_norms(small(name, dtype=torch.float32, input_size=8, hidden_size=16), x, [300])
    for component, norm in exact.log10_norm.items():
        assert (norm - single.log10_norm[component]).abs().max() < DECADES[torch.float32], component


def test_a_violent_contraction_is_taken_in_smaller_stretches():
    model = small("rnn", dtype=torch.float32)
    with torch.no_grad():
        model.weight_hh_l0.mul_(1e-6)
    x = inputs(length=100, dtype=torch.float32)
    exact = gradscope.gradient_norms(model.double(), x, [100], components=["h"])
    single = gradscope.gradient_norms(model.float(), x, [100], components=["h"])
    assert (exact.log10_norm["h"][..., 0] < -600).all()
    assert (exact.log10_norm["h"] - single.log10_norm["h"]).abs().max() < DECADES[torch.float32]


def test_stretches_grow_back_after_an_exact_zero(monkeypatch):
    """The first sample's units are all off at step 801; the second one's gradient lives on."""
    stretches = []
    taken = RecurrenceAdjoint._stretch

    def counted(self, steps, first, last, direct, exponent):
        stretches.append(last - first)
        return taken(self, steps, first, last, direct, exponent)

    model, x = small("rnn", nonlinearity="relu"), inputs(length=1000)
    with torch.no_grad():
        model.weight_hh_l0.copy_(0.999 * torch.eye(HIDDEN))
        model.bias_ih_l0.fill_(1.0)
        x[0, 800] = -1e9 * torch.linalg.pinv(model.weight_ih_l0).sum(-1)
    monkeypatch.setattr(RecurrenceAdjoint, "_stretch", counted)
    norms = gradscope.gradient_norms(model, x, [1000], components=["h"]).log10_norm["h"][0]
    assert norms[0, :800].isneginf().all()
    assert norms[1].isfinite().all()
    assert 1 in stretches
    assert stretches[-2] == RESCALE_STEPS
    assert len(stretches) < 45  # 16 where nothing is cut, 840 of single steps to the first one


def test_units_that_are_off_are_a_cut_and_no_failure():
    model = small("rnn", nonlinearity="relu")
    with torch.no_grad():
        model.bias_ih_l0.fill_(-100.0)
    result = gradscope.gradient_norms(model, inputs(), [7])
    assert result.status == ("ok",)
    assert result.zeros == ("cut",)
    assert result.log10_norm["h"][0, :, 0].isneginf().all()


def test_what_is_not_finite_is_a_status():
    model = small("linear-rnn", init="orthogonal", radius=1e6)
    result = gradscope.gradient_norms(model, inputs(length=100), [10, 100])
    assert result.status == ("ok", "non-finite")


@pytest.mark.parametrize(
    ("function", "exact"), [(sigmoid, lambda x: math.exp(-x)), (tanh, lambda x: 4 * math.exp(-2 * x))]
)
def test_derivatives_stay_exact_where_the_functions_saturate(function, exact):
    for value in (30.0, 40.0):
        x = torch.tensor(value, requires_grad=True)
        (derivative,) = torch.autograd.grad(function(x), x)
        assert derivative.item() == pytest.approx(exact(value), rel=1e-5)


@pytest.mark.parametrize(("mine", "theirs"), [(sigmoid, torch.sigmoid), (tanh, torch.tanh)])
def test_activations_have_first_and_second_derivatives(mine, theirs):
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    assert torch.allclose(mine(x.clone().requires_grad_()), theirs(x), rtol=0, atol=4.5e-16)

    def derivatives(f):
        first = torch.func.vmap(torch.func.grad(f))
        return first(x), torch.func.vmap(torch.func.grad(torch.func.grad(f)))(x), torch.func.jvp(f, (x,), (x,))[1]

    for a, b in zip(derivatives(mine), derivatives(theirs), strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-15)


def test_an_opaque_module_is_rescued_from_underflow():
    model = gradscope.build("torch.nn:LSTM", input_size=8, hidden_size=16, dtype=torch.float32)
    x = inputs(length=1000, dtype=torch.float32, input_size=8)
    result = gradscope.gradient_norms(model, x, [180, 1000], weight_gradients=False)
    assert result.status == ("ok", "saturated")
    assert result.zeros == ("", "saturated")
    exact = gradscope.gradient_norms(model.double(), x, [180, 1000], weight_gradients=False)
    first = exact.log10_norm["x"][0, :, 0]
    assert (first < -30).all()  # float32 ends at 1e-38, and loses digits long before
    assert (first > -60).all()
    difference = (exact.log10_norm["x"][0] - result.log10_norm["x"][0])[:, :180].abs()
    assert difference.max() < DECADES[torch.float32]
