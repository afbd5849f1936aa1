"""Residual RNN: h_t = h_{t−1} + α tanh(W x_t + U h_{t−1} + b)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.affine import add_affine, affine_axes
from gradscope.contract.initializer import Initializer
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.activations import tanh


class ResidualRNN(Recurrence):
    """An identity path plus a vanilla RNN.

    J_t = I + α D(sech² a_t) U. Not contractive: at α = 1 and torch's initialisation exp(Λ_1) is above 1.
    No memory dial: the eigenvalues of J_t scatter about 1, and their median |λ| stays there whatever the scale of U.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0, alpha: float = 1.0
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size, self.alpha = input_size, hidden_size, hidden_size, alpha
        self.state_spec = (Block("h", (hidden_size,)),)
        add_affine(self, "", hidden_size, input_size, hidden_size, initializer)
        self.symmetry = Symmetry(affine_axes("", "hidden", "hidden"), {"input": input_size, "hidden": hidden_size})

    def prepare(self, x: Tensor) -> Prepared:
        """W x_t + b."""
        return {"a": F.linear(x, self.weight_ih, self.bias)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = h_{t−1} + α tanh(a_t + U h_{t−1})."""
        return {"h": s["h"] + self.alpha * tanh(u["a"] + F.linear(s["h"], self.weight_hh))}
