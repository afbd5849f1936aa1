"""Vanilla RNN (Elman 1990): h_t = φ(W x_t + b_ih + U h_{t−1} + b_hh)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gradscope.architectures.memory_dials import MatrixScale
from gradscope.architectures.torch_cell import TorchCell
from gradscope.contract.chain import Derivatives, Gates, Node, Stage
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.state import Prepared, State
from gradscope.numerics.activations import tanh


def tanh_derivatives(a: Tensor, u: Tensor, s: Mapping[str, Tensor]) -> tuple[Derivatives, ...]:
    """The one diagonal of h_t = tanh(a + u): sech²."""
    z = a.add_(u)
    half = torch.sigmoid(2 * z)
    return (Derivatives("h", {0: torch.sigmoid(-2 * z).mul_(half).mul_(4)}, {}, {}),)


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

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (self.torch_stage(self._update, tanh_derivatives if self.nonlinearity == "tanh" else None),)

    def _update(self, a: Gates, s: Mapping[str, Tensor], u: Prepared, t: Tensor, node: Node) -> State:
        return {"h": self.phi(a[0] + u["a"])}

    @property
    def memory_dial(self) -> MemoryDial:
        """The scale of U, by its spectral radius; the eigenvalues of J_t are smaller where tanh saturates."""
        return MatrixScale(self.named("weight_hh"))

    @property
    def memory_groups(self) -> MemoryGroups:
        """U is the recurrence, W the input."""
        weight_ih, weight_hh, *biases = self.parameter_names(self.layer, bias=self.bias)
        return grouped(magnitude=(weight_hh,), input=(weight_ih,), rest=tuple(biases))
