"""Gradients of parameters that ``prepare`` uses in any way, equal to autograd's."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from gradscope.dynamics.affine_maps import AffineCalls
from tests.models import inputs
from tests.test_gradients import LOSSES, check_against_autograd


class Prepared(gradscope.Recurrence):
    """h_t = tanh(A h_{t−1} + u_t) with u_t from one of the ways below."""

    recurrent_parameter_names = ("A",)

    def __init__(self, way):
        super().__init__()
        self.input_size, self.output_size, self.way = 4, 3, way
        self.state_spec = (gradscope.Block("h", (3,)),)
        self.A, self.W, self.b = (nn.Parameter(torch.randn(*shape)) for shape in ((3, 3), (3, 4), (3,)))
        self.V, self.scale = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3))

    def prepare(self, x):
        return {"a": self.way(self, x)}

    def step(self, s, u, t):
        return {"h": torch.tanh(F.linear(s["h"], self.A) + u["a"])}


def in_place(m, x):
    value = F.linear(x, m.W, m.b)
    value.mul_(m.scale)
    return value


WAYS = {
    "one map": lambda m, x: F.linear(x, m.W, m.b),
    "bias by name": lambda m, x: F.linear(x, weight=m.W, bias=m.b),
    "two layers": lambda m, x: F.linear(torch.relu(F.linear(x, m.W, m.b)), m.V),
    "one matrix twice": lambda m, x: F.linear(torch.sin(F.linear(F.linear(x, m.W), m.V)), m.V),
    "a bias twice": lambda m, x: F.linear(x, m.W, m.b) * m.b,
    "a matrix in a map and outside": lambda m, x: F.linear(x, m.W) * m.W.mean() + (x[..., :3] @ m.V.t()),
    "written to afterwards": in_place,
    "a derived matrix": lambda m, x: F.linear(x, m.scale.unsqueeze(-1) * m.W, m.b),
    "of constants": lambda m, x: F.linear(torch.ones_like(x), m.W, m.b) + F.linear(m.scale, m.V) + x[..., :3],
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_parameters_of_prepare_have_autograds_gradients(way, loss):
    torch.manual_seed(0)
    model = Prepared(way).double()
    total = model.prepare(inputs())["a"].sum()
    grads = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
    for (name, _), grad in zip(list(model.named_parameters()), grads, strict=True):
        if grad is None and name != "A":
            delattr(model, name)
    check_against_autograd(model, inputs(), loss)


def test_calls_are_caught_with_names():
    model = Prepared(WAYS["two layers"])
    with AffineCalls(dict(model.named_parameters())) as affine:
        model.prepare(torch.randn(7, 2, 4))
    assert [(call.weight, call.bias) for call in affine.calls] == [("W", "b"), ("V", None)]
    assert affine.are_as_recorded
    with AffineCalls(dict(model.named_parameters())) as affine:
        in_place(model, torch.randn(7, 2, 4, requires_grad=True))
    assert not affine.are_as_recorded
