"""SC-LSTM (Wang & Tian, EMNLP 2016): an LSTM with a shortcut between anchors L steps apart."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.affine import add_affine, affine_axes
from gradscope.architectures.gated.lstm import lstm_update
from gradscope.architectures.memory_dials import GateBias, gate_along
from gradscope.contract.block_matrix import BlockMatrix
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.spectrum import dense_eigenvalues, dense_singular_values


class SCLSTMI(Recurrence):
    """The shortcut is the identity (α = 1, or the constant given).

    At t ∈ {1, 1 + L, 1 + 2L, …} alone: h_t = o_t ⊙ tanh c_t + α h_{t−L}, without the second term at t = 1. The anchors
    form one chain, so the Markov state is (h, c, b) with b the h of the last anchor; J_t has spectral radius 1 between
    anchors whatever α is, only the product over a period of L steps tells. α = 0 is an LSTM.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
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
        self.symmetry = Symmetry(
            affine_axes("", "(gate hidden)", "hidden"), {"input": input_size, "hidden": hidden_size}
        )
        self._set_alpha(alpha)

    def _set_alpha(self, alpha: float) -> None:
        # an option, not a result of training: a checkpoint does not hold it
        self.register_buffer("alpha", torch.tensor(alpha, dtype=torch.float64), persistent=False)

    def prepare(self, x: Tensor) -> Prepared:
        """W x_t + b of all gates, and α."""
        return {"a": F.linear(x, self.weight_ih, self.bias), "alpha": self.alpha.expand(*x.shape[:-1], 1)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """An LSTM's step, at an anchor with the shortcut, which b remembers."""
        is_anchor = self._is_anchor(t)
        h, c = lstm_update(u["a"] + F.linear(s["h"], self.weight_hh), s["c"])
        h = h + torch.where(is_anchor, u["alpha"] * s["b"], torch.zeros_like(s["b"]))
        return {"h": h, "c": c, "b": torch.where(is_anchor, h, s["b"])}

    def _is_anchor(self, t: Any) -> Any:
        return (t - 1) % self.period == 0

    def null_directions(self, start: int, stop: int) -> int:
        """At an anchor b becomes a copy of h: one direction a unit is gone from then on."""
        passes_anchor = (stop - 1) // self.period > (start - 1) // self.period
        return self.hidden_size if passes_anchor else 0

    def jacobian_eigenvalues(self, jacobian: BlockMatrix, step: int) -> Tensor:
        """The LSTM's and ones; at an anchor h = b afterwards, so zeros and those of the LSTM with αI added."""
        inner = jacobian.dense(("h", "c"))
        if self._is_anchor(step):
            inner[..., : self.hidden_size, : self.hidden_size] += jacobian.dense(("h",), ("b",))
        found = dense_eigenvalues(inner)
        of_buffer = torch.zeros_like if self._is_anchor(step) else torch.ones_like
        return torch.cat([found, of_buffer(found[..., : self.hidden_size])], dim=-1)

    def jacobian_singular_values(self, jacobian: BlockMatrix, step: int) -> Tensor:
        """The LSTM's and ones; at an anchor h and b have equal rows, so one counts √2-fold and the other is 0."""
        if not self._is_anchor(step):
            found = dense_singular_values(jacobian.dense(("h", "c")))
            return torch.cat([found, torch.ones_like(found[..., : self.hidden_size])], dim=-1)
        rows = jacobian.dense(("h", "c"), ("h", "c", "b"))
        rows[..., : self.hidden_size, :] *= math.sqrt(2)
        found = dense_singular_values(rows)
        return torch.cat([found, torch.zeros_like(found[..., : self.hidden_size])], dim=-1)

    @property
    def memory_dial(self) -> MemoryDial:
        """The forget gate's bias; α stays."""
        f = slice(self.hidden_size, 2 * self.hidden_size)
        return GateBias(self.bias[f], lambda x: torch.sigmoid(gate_along(self, x, "a", f, self.weight_hh)))

    @property
    def memory_groups(self) -> MemoryGroups:
        """The forget gate's rows are the recurrence; W of the input gate and of the candidate is the input."""
        size = self.hidden_size
        i, f, g, o = (slice(k * size, (k + 1) * size) for k in range(4))
        kept = (("rest", i), ("magnitude", f), ("rest", g), ("rest", o))
        groups: MemoryGroups = {"weight_hh": kept, "bias": kept}
        groups["weight_ih"] = (("input", i), ("magnitude", f), ("input", g), ("rest", o))
        return groups | grouped(rest=tuple(name for name, _ in self.named_parameters() if name == "alpha"))


class SCLSTMP(SCLSTMI):
    """The shortcut is weighted by one learned number α, 1 at first (the paper's text gives no initial value)."""

    def _set_alpha(self, alpha: float) -> None:
        self.alpha = nn.Parameter(torch.tensor(alpha, dtype=torch.float64))
