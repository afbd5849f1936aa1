"""GRU as first published (Cho et al. 2014, arXiv:1406.1078): the reset gate acts before the product, z writes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.affine import add_affine, affine_axes
from gradscope.architectures.memory_dials import GateBias, gate_along
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.activations import sigmoid, tanh


class GRUCho(Recurrence):
    """Two affine maps, of the gates and of the candidate.

    r, z = σ(W x_t + U h_{t−1} + b);  n = tanh(W_n x_t + U_n (r ⊙ h_{t−1}) + b_n);  h_t = (1 − z) ⊙ h_{t−1} + z ⊙ n.
    """

    memory_law = ("sigmoid", "coupled")
    weight_ih_rz: nn.Parameter
    weight_hh_rz: nn.Parameter
    weight_hh_n: nn.Parameter
    bias_rz: nn.Parameter
    weight_ih_n: nn.Parameter
    bias_n: nn.Parameter

    def __init__(self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.state_spec = (Block("h", (hidden_size,)),)
        add_affine(self, "_rz", 2 * hidden_size, input_size, hidden_size, initializer)
        add_affine(self, "_n", hidden_size, input_size, hidden_size, initializer)
        axes = affine_axes("_rz", "(gate hidden)", "hidden") | affine_axes("_n", "hidden", "hidden")
        self.symmetry = Symmetry(axes, {"input": input_size, "hidden": hidden_size})

    def prepare(self, x: Tensor) -> Prepared:
        """W x_t + b of the gates and of the candidate."""
        return {"rz": F.linear(x, self.weight_ih_rz, self.bias_rz), "n": F.linear(x, self.weight_ih_n, self.bias_n)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """The equations above."""
        h = s["h"]
        a_r, a_z = (u["rz"] + F.linear(h, self.weight_hh_rz)).chunk(2, dim=-1)
        n = tanh(u["n"] + F.linear(sigmoid(a_r) * h, self.weight_hh_n))
        return {"h": h + sigmoid(a_z) * (n - h)}

    @property
    def memory_dial(self) -> MemoryDial:
        """The update gate's bias: z writes."""
        z, weight = slice(self.hidden_size, 2 * self.hidden_size), self.weight_hh_rz
        return GateBias(self.bias_rz[z], lambda x: torch.sigmoid(-gate_along(self, x, "rz", z, weight)), writes=True)

    @property
    def memory_groups(self) -> MemoryGroups:
        """The update gate's rows are the recurrence; W of the candidate is the input."""
        both = (("rest", slice(self.hidden_size)), ("magnitude", slice(self.hidden_size, None)))
        gates: MemoryGroups = dict.fromkeys(("weight_ih_rz", "weight_hh_rz", "bias_rz"), both)
        return gates | grouped(input=("weight_ih_n",), rest=("weight_hh_n", "bias_n"))
