"""SC-LSTM (Wang & Tian, EMNLP 2016): an LSTM with a shortcut between anchors L steps apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.affine import add_affine
from gradscope.architectures.lstm import lstm_update
from gradscope.contract.chain import ChainRecurrence, Gates, Node, Stage
from gradscope.contract.initializer import Initializer
from gradscope.contract.recurrence import Block, Prepared, State


class SCLSTMI(ChainRecurrence):
    """The shortcut is the identity (α = 1, or the constant given).

    At t ∈ {1, 1 + L, 1 + 2L, …} alone: h_t = o_t ⊙ tanh c_t + α h_{t−L}, without the second term at t = 1. The anchors
    form one chain, so the Markov state is (h, c, b) with b the h of the last anchor; J_t has spectral radius 1 between
    anchors whatever α is, only the product over a period of L steps tells. α = 0 is an LSTM.
    """

    weight_ih: nn.Parameter
    bias: nn.Parameter
    alpha: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        L: int = 20,
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size, self.period = input_size, hidden_size, hidden_size, L
        self.state_spec = (
            Block("h", (hidden_size,)),
            Block("c", (hidden_size,)),
            Block("b", (hidden_size,), is_buffer=True),
        )
        add_affine(self, "", 4 * hidden_size, input_size, hidden_size, initializer)
        self._set_alpha(alpha)

    def _set_alpha(self, alpha: float) -> None:
        # an option, not a result of training: a checkpoint does not hold it
        self.register_buffer("alpha", torch.tensor(alpha, dtype=torch.float64), persistent=False)

    def prepare(self, x: Tensor) -> Prepared:
        """W x_t + b of all gates, and α."""
        return {"a": F.linear(x, self.weight_ih, self.bias), "alpha": self.alpha.expand(*x.shape[:-1], 1)}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage("h", "weight_hh", None, self._update),)

    def _update(self, a: Gates, s: Mapping[str, Tensor], u: Prepared, t: Tensor, node: Node) -> State:
        is_anchor = (t - 1) % self.period == 0
        inner = lstm_update(a, s, u, node)
        shortcut = torch.where(is_anchor, u["alpha"] * s["b"], torch.zeros_like(s["b"]))
        h = node("h", inner["h"] + shortcut)
        return {"h": h, "c": inner["c"], "b": torch.where(is_anchor, h, s["b"])}


class SCLSTMP(SCLSTMI):
    """The shortcut is weighted by one learned number α, 1 at first (the paper's text gives no initial value)."""

    def _set_alpha(self, alpha: float) -> None:
        self.alpha = nn.Parameter(torch.tensor(alpha, dtype=torch.float64))
