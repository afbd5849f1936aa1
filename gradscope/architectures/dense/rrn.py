"""Recurrent Residual Network (Wang & Tian, EMNLP 2016): h_t = tanh(h_{t−1} + y^K), K affine sub-layers inside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradscope.architectures.affine import add_affine, affine_axes
from gradscope.contract.initializer import Initializer
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.activations import sigmoid, tanh

INNER = {"sigmoid": sigmoid, "tanh": tanh, "relu": torch.relu}


class RRN(Recurrence):
    """K affine maps with a nonlinearity each, inside one step.

    y^1 = φ(W_1 x_t + U_1 h_{t−1} + b_1), y^m = φ(W_m x_t + U_m y^{m−1} + b_m), h_t = tanh(h_{t−1} + y^K).
    J_t = D(1 − h_t²)(I + Π_{m=K..1} D(φ'_m) U_m). With φ = σ as in the paper the drift is positive, h saturates and the
    gradient dies faster than a vanilla RNN's; ``inner=tanh`` keeps it. K = 2 has half the parameters of an LSTM.
    No memory dial: how far h saturates, 1 − h_t², sets the median |λ|, and it hardly follows the scale of the U_m.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        depth: int = 2,
        inner: str = "sigmoid",
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.depth, self.inner = depth, inner
        self.phi = INNER[inner]
        self.state_spec = (Block("h", (hidden_size,)),)
        units = ["hidden", *(f"inner_{m}" for m in range(1, depth)), "hidden"]  # h_{t−1}, y^1, …, y^K
        axes: dict[str, str] = {}
        for m in range(1, depth + 1):
            add_affine(self, f"_{m}", hidden_size, input_size, hidden_size, initializer)
            axes |= affine_axes(f"_{m}", units[m], units[m - 1])
        self.symmetry = Symmetry(axes, {"input": input_size, **dict.fromkeys(units, hidden_size)})

    def prepare(self, x: Tensor) -> Prepared:
        """W_m x_t + b_m of every sub-layer."""
        return {
            f"a_{m}": F.linear(x, getattr(self, f"weight_ih_{m}"), getattr(self, f"bias_{m}"))
            for m in range(1, self.depth + 1)
        }

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """The equations above."""
        y = s["h"]
        for m in range(1, self.depth + 1):
            y = self.phi(u[f"a_{m}"] + F.linear(y, getattr(self, f"weight_hh_{m}")))
        return {"h": tanh(s["h"] + y)}
