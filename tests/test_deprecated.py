"""Classes that declare what a step is made of still run, and say what to do instead."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from tests.models import inputs
from tests.test_gradients import LOSSES, check_against_autograd


class Base:
    """Parameters of the three."""

    def __init__(self):
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = 4, 3, 3
        self.state_spec = (gradscope.Block("h", (3,)),)
        torch.manual_seed(0)
        self.W, self.U = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3, 3))


def chain():
    class Chain(Base, gradscope.ChainRecurrence):
        def prepare(self, x):
            return {"a": F.linear(x, self.W)}

        @property
        def stages(self):
            return (gradscope.Stage("h", "U", None, self.update),)

        def update(self, a, s, u, t, node):
            return {"h": node("h", torch.tanh(a[0] + u["a"]))}

    return Chain


def diagonal():
    class Diagonal(Base, gradscope.DiagonalRecurrence):
        def prepare(self, x):
            b = F.linear(x, self.W)
            return {"a": torch.sigmoid(b @ self.U), "b": b}

    return Diagonal


def matrix_state():
    class MatrixState(Base, gradscope.MatrixStateRecurrence):
        def __init__(self):
            super().__init__()
            self.state_spec = (gradscope.Block("S", (3, 3)),)

        def prepare(self, x):
            return {"k": F.linear(x, self.W)}

        def step(self, s, u, t):
            return {"S": self.U @ s["S"] + u["k"].unsqueeze(-1) * u["k"].unsqueeze(-2)}

        def readout(self, s, u):
            return s["S"].sum(-1)

    return MatrixState


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize(
    ("make", "kind"),
    [(chain, "Chain"), (diagonal, "Diagonal"), (matrix_state, "MatrixState")],
    ids=["chain", "diagonal", "matrix-state"],
)
def test_declared_recurrences_are_followed(make, kind, loss):
    with pytest.warns(DeprecationWarning, match=f"{kind}Recurrence is deprecated: {kind} can derive"):
        model = make()().double()
    check_against_autograd(model, inputs(), loss)
    assert gradscope.linearize(model, inputs()).recurrences[0].executor.startswith("program")
