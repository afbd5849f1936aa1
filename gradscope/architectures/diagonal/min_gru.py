"""minGRU (Feng et al. 2024, arXiv:2410.01201): h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t with gates of x_t alone."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from gradscope.architectures.memory_dials import GateBias
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.activations import sigmoid


class MinGRU(Recurrence):
    """Diagonal recurrence gated by the input.

    z_t = σ(W_z x_t + b_z), h̃_t = W_h x_t + b_h; U(±1/√input_size) as ``torch.nn.Linear``. J_t = D(1 − z_t), which is
    computed as σ(−(W_z x_t + b_z)).
    """

    memory_law = ("sigmoid", "coupled")

    def __init__(self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = self.output_size = hidden_size
        self.state_spec = (Block("h", (hidden_size,)),)
        bound = 1 / math.sqrt(input_size)
        self.weight_z = initializer.uniform(hidden_size, input_size, bound=bound)
        self.weight_h = initializer.uniform(hidden_size, input_size, bound=bound)
        self.bias_z = initializer.uniform(hidden_size, bound=bound)
        self.bias_h = initializer.uniform(hidden_size, bound=bound)
        axes = {"weight_z": "hidden input", "weight_h": "hidden input", "bias_z": "hidden", "bias_h": "hidden"}
        self.symmetry = Symmetry(axes, {"input": input_size, "hidden": hidden_size})

    def prepare(self, x: Tensor) -> Prepared:
        """a_t = 1 − z_t and b_t = z_t ⊙ h̃_t."""
        gate = F.linear(x, self.weight_z, self.bias_z)
        return {"a": sigmoid(-gate), "b": sigmoid(gate) * F.linear(x, self.weight_h, self.bias_h)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t."""
        return {"h": u["a"] * s["h"] + u["b"]}

    @property
    def memory_dial(self) -> MemoryDial:
        """The gate's bias: z writes, a is kept."""
        return GateBias(self.bias_z, lambda x: self.prepare(x)["a"], writes=True)

    @property
    def memory_groups(self) -> MemoryGroups:
        """The gate is the recurrence, W_h the input."""
        return grouped(magnitude=("weight_z", "bias_z"), input=("weight_h",), rest=("bias_h",))
