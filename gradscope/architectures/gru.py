"""GRU as in torch and cuDNN: the reset gate acts after the recurrent product, z keeps the past (Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gradscope.architectures.torch_cell import TorchCell
from gradscope.contract.activations import sigmoid, tanh
from gradscope.contract.chain import Gates, Node, Stage
from gradscope.contract.recurrence import Prepared, State


class GRU(TorchCell):
    """torch's ``nn.GRU`` layer, with its parameter names and gates r, z, n.

    r, z = σ(W x_t + U h_{t−1} + b);  n = tanh(W_n x_t + b_in + r ⊙ (U_n h_{t−1} + b_hn));
    h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}.
    """

    gates = 3
    blocks = ("h",)
    kernel = staticmethod(torch.gru)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (self.torch_stage(self._update),)

    def _update(self, a: Gates, s: Mapping[str, Tensor], u: Prepared, t: Tensor, node: Node) -> State:
        u_r, u_z, u_n = u["a"].chunk(3, dim=-1)
        r, z = sigmoid(a[0] + u_r), sigmoid(a[1] + u_z)
        n = tanh(u_n + r * a[2])
        return {"h": n + z * (s["h"] - n)}
