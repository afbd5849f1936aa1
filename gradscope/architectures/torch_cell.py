"""What rnn, lstm and gru share: torch's parameter names, initialisation and fused forward kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gradscope.architectures.memory_dials import GateBias, gate_along
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryGroups
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry

KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class TorchCell(Recurrence):
    """One layer with the parameters ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``, ``bias_hh_l{k}``.

    All of them start from U(±1/√hidden_size), as in ``torch.nn``. Without a bias the last two are None.

    Attributes:
        gates: How many gates of ``hidden_size`` the affine maps have.
        blocks: Names of the state's blocks.
        kernel: torch's fused forward pass over a sequence.
    """

    flat_parameter_names = True
    gates: ClassVar[int]
    blocks: ClassVar[tuple[str, ...]]
    kernel: Callable[..., tuple[Tensor, ...]]

    def __init__(
        self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size, self.layer = input_size, hidden_size, hidden_size, layer
        self.bias = bias
        self.state_spec = tuple(Block(name, (hidden_size,)) for name in self.blocks)
        rows, bound = self.gates * hidden_size, 1 / math.sqrt(hidden_size)
        shapes = [(rows, input_size), (rows, hidden_size), (rows,), (rows,)]
        axes = ["(gate hidden) input", "(gate hidden) hidden", "(gate hidden)", "(gate hidden)"]
        names = self.parameter_names(layer, bias=bias)
        for name, shape in zip(names, shapes, strict=False):
            self.register_parameter(name, initializer.uniform(*shape, bound=bound))
        for name in self.parameter_names(layer, bias=True)[len(names) :]:
            self.register_parameter(name, None)
        sizes = {"input": input_size, "hidden": hidden_size}
        self.symmetry = Symmetry(dict(zip(names, axes, strict=False)), sizes)

    @staticmethod
    def parameter_names(layer: int, *, bias: bool) -> tuple[str, ...]:
        """torch's, in torch's order."""
        return tuple(f"{kind}_l{layer}" for kind in (KINDS if bias else KINDS[:2]))

    def named(self, name: str) -> Tensor:
        """A parameter by torch's name without the layer; a bias that there is not is None, as in torch."""
        value: Tensor = getattr(self, f"{name}_l{self.layer}")  # get_parameter refuses the tensors of functional_call
        return value

    def recurrent(self, h: Tensor) -> Tensor:
        """U h + b_hh for all gates."""
        return F.linear(h, self.named("weight_hh"), self.named("bias_hh"))

    def prepare(self, x: Tensor) -> Prepared:
        """W_ih x_t + b_ih for all gates."""
        return {"a": F.linear(x, self.named("weight_ih"), self.named("bias_ih"))}

    def fused(self, x: Tensor, s: State, batch_first: bool) -> Tensor:
        """The h of all steps by torch's kernel."""
        hidden: Any = [s[name].unsqueeze(0) for name in self.blocks]
        weights = [getattr(self, name) for name in self.parameter_names(self.layer, bias=self.bias)]
        state = hidden if len(hidden) > 1 else hidden[0]
        return self.kernel(x, state, weights, self.bias, 1, 0.0, self.training, False, batch_first)[0]

    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """States of consecutive steps from the fused kernel."""
        return {"h": self.fused(x, s, batch_first=False)}

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(batch, length, hidden_size)`` from the fused kernel; differentiable."""
        return self.fused(x, self.initial_state(len(x)), batch_first=True)

    @property
    def parameters_counted(self) -> int:
        """The stored ones without the second bias."""
        return self.parameters_stored - self.bias * self.gates * self.hidden_size

    def gate_dial(self, number: int) -> GateBias | None:
        """The memory dial of a cell whose gate of this number multiplies the past: the gate's bias, if it has one."""
        if not self.bias:
            return None
        rows = slice(number * self.hidden_size, (number + 1) * self.hidden_size)
        weight, bias = self.named("weight_hh"), self.named("bias_hh")
        return GateBias(
            self.named("bias_ih")[rows],
            lambda x: torch.sigmoid(gate_along(self, x, "a", rows, weight, bias)),
            second_bias=bias[rows],
        )


def gate_groups(cell: TorchCell, *, magnitude: tuple[int, ...], written: tuple[int, ...], gates: int) -> MemoryGroups:
    """Groups of a gated cell's parameters by rows: the gates that keep, W of the gates that write, and the rest."""
    groups: MemoryGroups = {}
    for kind, name in zip(KINDS, cell.parameter_names(cell.layer, bias=cell.bias), strict=False):
        parts = []
        for gate in range(gates):
            group = "magnitude" if gate in magnitude else "input" if gate in written and kind == "weight_ih" else "rest"
            parts.append((group, slice(gate * cell.hidden_size, (gate + 1) * cell.hidden_size)))
        groups[name] = tuple(parts)
    return groups
