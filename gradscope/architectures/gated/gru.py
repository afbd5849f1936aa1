"""GRU as in torch and cuDNN: the reset gate acts after the recurrent product, z keeps the past (Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gradscope.architectures.torch_cell import TorchCell, gate_groups
from gradscope.contract.chain import Derivatives, Gates, Node, Stage
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups
from gradscope.contract.state import Prepared, State
from gradscope.numerics.activations import sigmoid, tanh


def gru_derivatives(a: Tensor, u: Tensor, s: Mapping[str, Tensor]) -> tuple[Derivatives, ...]:
    """Diagonals of h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}."""
    (a_r, a_z, a_n), (u_r, u_z, u_n) = a.chunk(3, dim=-1), u.chunk(3, dim=-1)
    z_r, z_z = a_r + u_r, a_z + u_z
    r, z, kept_out = torch.sigmoid(z_r), torch.sigmoid(z_z), torch.sigmoid(-z_z)
    n_pre = torch.addcmul(u_n, r, a_n)
    half = torch.sigmoid(2 * n_pre)
    by_n = torch.sigmoid(n_pre.mul_(-2)).mul_(half).mul_(4).mul_(kept_out)
    by_z = s["h"].sub(half.mul_(2).sub_(1)).mul_(z).mul_(kept_out)
    by_r = torch.sigmoid(-z_r).mul_(r).mul_(a_n).mul_(by_n)
    return (Derivatives("h", {0: by_r, 1: by_z, 2: r.mul_(by_n)}, {"h": z}, {}, {2: by_n}),)


class GRU(TorchCell):
    """torch's ``nn.GRU`` layer, with its parameter names and gates r, z, n.

    r, z = σ(W x_t + U h_{t−1} + b);  n = tanh(W_n x_t + b_in + r ⊙ (U_n h_{t−1} + b_hn));
    h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}.
    """

    memory_law = ("sigmoid", "coupled")
    gates = 3
    blocks = ("h",)
    kernel = staticmethod(torch.gru)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (self.torch_stage(self._update, gru_derivatives),)

    def _update(self, a: Gates, s: Mapping[str, Tensor], u: Prepared, t: Tensor, node: Node) -> State:
        u_r, u_z, u_n = u["a"].chunk(3, dim=-1)
        r, z, one_minus_z = sigmoid(a[0] + u_r), sigmoid(a[1] + u_z), sigmoid(-(a[1] + u_z))
        return {"h": one_minus_z * tanh(u_n + r * a[2]) + z * s["h"]}

    @property
    def memory_dial(self) -> MemoryDial | None:
        """The update gate's bias."""
        return self.gate_dial(1)

    @property
    def memory_groups(self) -> MemoryGroups:
        """The update gate's rows are the recurrence; W of the candidate is the input."""
        return gate_groups(self, magnitude=(1,), written=(2,), gates=3)
