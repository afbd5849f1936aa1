"""GRU as in torch and cuDNN: the reset gate acts after the recurrent product, z keeps the past (Cho et al. 2014)."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.architectures.torch_cell import TorchCell, gate_groups
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups
from gradscope.contract.state import Prepared, State
from gradscope.numerics.activations import sigmoid, tanh


class GRU(TorchCell):
    """torch's ``nn.GRU`` layer, with its parameter names and gates r, z, n.

    r, z = σ(W x_t + U h_{t−1} + b);  n = tanh(W_n x_t + b_in + r ⊙ (U_n h_{t−1} + b_hn));
    h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}.
    """

    memory_law = ("sigmoid", "coupled")
    gates = 3
    blocks = ("h",)
    kernel = staticmethod(torch.gru)

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """The equations above; 1 − z is σ of minus the pre-activation, which does not round to zero."""
        (u_r, u_z, u_n), (a_r, a_z, a_n) = u["a"].chunk(3, dim=-1), self.recurrent(s["h"]).chunk(3, dim=-1)
        r, z, one_minus_z = sigmoid(u_r + a_r), sigmoid(u_z + a_z), sigmoid(-(u_z + a_z))
        return {"h": one_minus_z * tanh(u_n + r * a_n) + z * s["h"]}

    @property
    def memory_dial(self) -> MemoryDial | None:
        """The update gate's bias."""
        return self.gate_dial(1)

    @property
    def memory_groups(self) -> MemoryGroups:
        """The update gate's rows are the recurrence; W of the candidate is the input."""
        return gate_groups(self, magnitude=(1,), written=(2,), gates=3)
