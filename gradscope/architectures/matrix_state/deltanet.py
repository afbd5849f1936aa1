"""DeltaNet (Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024, arXiv:2406.06484): a matrix state, delta rule."""

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


class DeltaNet(Recurrence):
    """One head with key and value size ``hidden_size``, without the optional short convolution.

    S_t = S_{t−1} + β_t k_t (v_t − S_{t−1}ᵀ k_t)ᵀ = (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ;  y_t = S_tᵀ q_t / √d_k.
    q, k = SiLU(W x_t) normalised to length 1, v = W_v x_t, β = σ(w_β·x_t + b_β); U(±1/√input_size) as torch.nn.Linear.
    J_t = (I − β_t k_t k_tᵀ) ⊗ I, with the eigenvalues 1 − β_t (d_v times) and 1 (all others).
    """

    def __init__(self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.state_spec = (Block("S", (hidden_size, hidden_size)),)
        bound = 1 / math.sqrt(input_size)
        self.weight_q = initializer.uniform(hidden_size, input_size, bound=bound)
        self.weight_k = initializer.uniform(hidden_size, input_size, bound=bound)
        self.weight_v = initializer.uniform(hidden_size, input_size, bound=bound)
        self.weight_beta = initializer.uniform(1, input_size, bound=bound)
        self.bias_beta = initializer.uniform(1, bound=bound)
        axes = {"weight_q": "key input", "weight_k": "key input", "weight_v": "value input", "weight_beta": "1 input"}
        sizes = {"input": input_size, "key": hidden_size, "value": hidden_size}
        self.symmetry = Symmetry(axes, sizes, outputs="value")

    def prepare(self, x: Tensor) -> Prepared:
        """q, k, v and β of every step."""
        return {
            "q": F.normalize(F.silu(F.linear(x, self.weight_q)), dim=-1),
            "k": F.normalize(F.silu(F.linear(x, self.weight_k)), dim=-1),
            "v": F.linear(x, self.weight_v),
            "beta": sigmoid(F.linear(x, self.weight_beta, self.bias_beta)),
        }

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """The delta rule: what the key retrieves is moved towards the value."""
        S, k = s["S"], u["k"]
        retrieved = (k.unsqueeze(-2) @ S).squeeze(-2)  # Sᵀ k
        write = u["beta"] * (u["v"] - retrieved)
        return {"S": S + k.unsqueeze(-1) * write.unsqueeze(-2)}

    def readout(self, s: State, u: Prepared) -> Tensor:
        """Sᵀ q / √d_k."""
        return (u["q"].unsqueeze(-2) @ s["S"]).squeeze(-2) / math.sqrt(self.hidden_size)

    @property
    def memory_dial(self) -> MemoryDial:
        """The write strength's bias: 1 − β is left along the key; all other directions keep 1."""
        return GateBias(self.bias_beta, lambda x: 1 - self.prepare(x)["beta"], writes=True)

    @property
    def memory_groups(self) -> MemoryGroups:
        """β is the magnitude, v the input; k turns what is forgotten and is in the rest."""
        return grouped(magnitude=("weight_beta", "bias_beta"), input=("weight_v",), rest=("weight_q", "weight_k"))
