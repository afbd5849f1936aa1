"""Linear RNN with a dense matrix: h_t = A h_{t−1} + B x_t."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.memory_dials import MatrixScale
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry


def _ginibre(size: int, initializer: Initializer) -> Tensor:
    return initializer.normal(size, size, std=1 / math.sqrt(size)).detach()


def _orthogonal(size: int, initializer: Initializer) -> Tensor:
    return initializer.orthogonal(size)


DRAWS = {"ginibre": _ginibre, "orthogonal": _orthogonal}


class LinearRNN(Recurrence):
    """Linear and time-invariant; J_t = A.

    ``init=ginibre`` draws A from N(0, radius²/H), whose spectrum fills the disk of that radius as H grows;
    ``init=orthogonal`` is radius times a Haar orthogonal matrix. B is N(0, 1/input_size).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        init: str = "ginibre",
        radius: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.state_spec = (Block("h", (hidden_size,)),)
        self.A = nn.Parameter(radius * DRAWS[init](hidden_size, initializer))
        self.B = initializer.normal(hidden_size, input_size, std=1 / math.sqrt(input_size))
        self.symmetry = Symmetry(
            {"A": "hidden hidden", "B": "hidden input"}, {"input": input_size, "hidden": hidden_size}
        )

    def prepare(self, x: Tensor) -> Prepared:
        """B x_t."""
        return {"a": F.linear(x, self.B)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = A h_{t−1} + B x_t."""
        return {"h": F.linear(s["h"], self.A) + u["a"]}

    @property
    def memory_dial(self) -> MemoryDial:
        """The scale of A, by its spectral radius."""
        return MatrixScale(self.A)

    @property
    def memory_groups(self) -> MemoryGroups:
        """A is the recurrence, B the input."""
        return grouped(magnitude=("A",), input=("B",))
