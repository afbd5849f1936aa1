"""Vanilla RNN (Elman 1990): h_t = φ(W x_t + b_ih + U h_{t−1} + b_hh)."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.architectures.memory_dials import MatrixScale
from gradscope.architectures.torch_cell import TorchCell
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.state import Prepared, State
from gradscope.numerics.activations import tanh


class RNN(TorchCell):
    """torch's ``nn.RNN`` layer, with its parameter names.

    J_t = D(φ'(a_t)) U.
    """

    gates = 1
    blocks = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        bias: bool = True,
        nonlinearity: str = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size, initializer, layer=layer, bias=bias)
        self.nonlinearity = nonlinearity
        self.phi = {"tanh": tanh, "relu": torch.relu}[nonlinearity]
        self.kernel = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[nonlinearity]

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = φ(a_t + U h_{t−1} + b_hh)."""
        return {"h": self.phi(u["a"] + self.recurrent(s["h"]))}

    @property
    def memory_dial(self) -> MemoryDial:
        """The scale of U, by its spectral radius; the eigenvalues of J_t are smaller where tanh saturates."""
        return MatrixScale(self.named("weight_hh"))

    @property
    def memory_groups(self) -> MemoryGroups:
        """U is the recurrence, W the input."""
        weight_ih, weight_hh, *biases = self.parameter_names(self.layer, bias=self.bias)
        return grouped(magnitude=(weight_hh,), input=(weight_ih,), rest=tuple(biases))
