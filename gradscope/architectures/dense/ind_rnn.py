"""Independently recurrent network (Li et al. 2018, arXiv:1803.04831): h_t = φ(W x_t + u ⊙ h_{t−1} + b)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.memory_dials import MatrixScale
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.activations import tanh


class IndRNN(Recurrence):
    """Every unit sees itself alone; layers mix them.

    J_t = D(φ'(a_t) ⊙ u). W and b start from U(±1/√hidden_size), u from U(0, 1): the paper's U(0, 2^{1/T}) without the
    length T, which a model does not know.
    """

    def __init__(
        self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0, nonlinearity: str = "relu"
    ) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.state_spec = (Block("h", (hidden_size,)),)
        self.phi = {"relu": torch.relu, "tanh": tanh}[nonlinearity]
        bound = 1 / math.sqrt(hidden_size)
        self.weight_ih = initializer.uniform(hidden_size, input_size, bound=bound)
        self.u = nn.Parameter(initializer.unit_uniform(hidden_size))
        self.bias = initializer.uniform(hidden_size, bound=bound)
        axes = {"weight_ih": "hidden input", "u": "hidden", "bias": "hidden"}
        self.symmetry = Symmetry(axes, {"input": input_size, "hidden": hidden_size})

    def prepare(self, x: Tensor) -> Prepared:
        """W x_t + b."""
        return {"a": F.linear(x, self.weight_ih, self.bias)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = φ(a_t + u ⊙ h_{t−1})."""
        return {"h": self.phi(u["a"] + self.u * s["h"])}

    @property
    def memory_dial(self) -> MemoryDial:
        """The scale of u, by the largest |u|: that of J_t where relu is on; tanh makes it smaller."""
        return MatrixScale(self.u)

    @property
    def memory_groups(self) -> MemoryGroups:
        """The factors u are the recurrence, W the input."""
        return grouped(magnitude=("u",), input=("weight_ih",), rest=("bias",))
