"""Layers stack and branches combine here, for every architecture alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradscope.contract.component import in_layer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, joint_dial
from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.symmetry import Symmetry, joined


class Stack(Model):
    """Layers in sequence: each reads the outputs of the one before.

    Names of components end in ``_l{k}`` as torch's parameters do, ``h_l0`` for the bottom layer. The bottom layer's
    component is the primary one: every path from the loss to an early step passes through the layers above it or
    through itself.

    Args:
        layers: Two or more recurrent models.
        flat_names: The layers' own parameter names are already unique (torch's ``weight_ih_l1``), and the stack shows
            them as they are.
    """

    layers: Any  # Sequence[Model]; torch types its containers as Tensor | Module

    def __init__(self, layers: Sequence[Model], *, flat_names: bool = False) -> None:
        super().__init__()
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size
        self._flat_names = flat_names
        if flat_names:
            object.__setattr__(self, "layers", tuple(layers))
            for layer in layers:
                for name, parameter in layer.named_parameters():
                    self.register_parameter(name, parameter)
        else:
            self.layers = nn.ModuleList(layers)
        self.symmetry = self._symmetry()

    def _symmetry(self) -> Symmetry | None:
        """The layers' own; the outputs of one are the inputs of the next."""
        parts: list[Symmetry] = []
        for index, layer in enumerate(self.layers):
            if layer.symmetry is None:
                return None
            below = {layer.symmetry.inputs: parts[-1].outputs if parts else "input"}
            parts.append(layer.symmetry.placed(self.layer_parameter(index, ""), f"_l{index}", below))
        return joined(parts)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._flat_names:  # a move may replace parameter objects: the layers keep seeing the stack's
            for layer in self.layers:
                for name, _ in layer.named_parameters():
                    layer._parameters[name] = self._parameters[name]
        return self

    def layer_parameter(self, index: int, name: str) -> str:
        """The stack's name of a layer's parameter."""
        return name if self._flat_names else f"layers.{index}.{name}"

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x

    @property
    def components(self) -> tuple[str, ...]:
        """The layers' components, bottom first."""
        return tuple(in_layer(name, index) for index, layer in enumerate(self.layers) for name in layer.components)

    @property
    def primary_component(self) -> str:
        """The bottom layer's."""
        return in_layer(self.layers[0].primary_component, 0)

    @property
    def memory_dial(self) -> MemoryDial | None:
        """Those of the layers that have one, together."""
        return joint_dial([layer.memory_dial for layer in self.layers], self._inputs_of_layers)

    def _inputs_of_layers(self, x: Tensor) -> list[Tensor]:
        found = [x]
        for layer in self.layers[:-1]:
            found.append(layer(found[-1]))
        return found

    @property
    def memory_groups(self) -> MemoryGroups:
        """The layers' groups."""
        return {
            self.layer_parameter(index, name): groups
            for index, layer in enumerate(self.layers)
            for name, groups in layer.memory_groups.items()
        }

    @property
    def state_size(self) -> int:
        """Sum over the layers."""
        return sum(layer.state_size for layer in self.layers)

    @property
    def parameters_counted(self) -> int:
        """Sum over the layers."""
        return sum(layer.parameters_counted for layer in self.layers)


class Parallel(Model):
    """Independent branches on the same input; the output is the mean of theirs.

    Args:
        branches: Name to recurrent model, equal output sizes; components are called ``lstm.h``, ``rrn.h``, ….
    """

    branches: Any  # Mapping[str, Recurrence]

    def __init__(self, branches: Mapping[str, Recurrence]) -> None:
        super().__init__()
        first = next(iter(branches.values()))
        self.input_size, self.output_size = first.input_size, first.output_size
        self.branches = nn.ModuleDict(branches)
        self.symmetry = self._symmetry()

    def _symmetry(self) -> Symmetry | None:
        """The branches' own, with inputs and outputs in common."""
        found = {name: branch.symmetry for name, branch in self.branches.items()}
        if None in found.values():
            return None
        outputs = "input" if any(each.inputs == each.outputs for each in found.values()) else "output"
        return joined(
            [
                each.placed(f"branches.{name}.", f"_{index}", {each.outputs: outputs, each.inputs: "input"})
                for index, (name, each) in enumerate(found.items())
            ]
        )

    @staticmethod
    def branch_parameter(branch: str, name: str) -> str:
        """The composite's name of a branch's parameter."""
        return f"branches.{branch}.{name}"

    def forward(self, x: Tensor) -> Tensor:
        """Mean of the branches' outputs."""
        return torch.stack([branch(x) for branch in self.branches.values()]).mean(dim=0)

    @property
    def components(self) -> tuple[str, ...]:
        """The branches' components, each after its branch's name."""
        return tuple(f"{name}.{c}" for name, branch in self.branches.items() for c in branch.components)

    @property
    def primary_component(self) -> str:
        """The first branch's."""
        name, branch = next(iter(self.branches.items()))
        return f"{name}.{branch.primary_component}"

    @property
    def memory_dial(self) -> MemoryDial | None:
        """Those of the branches that have one, together."""
        dials = [branch.memory_dial for branch in self.branches.values()]
        return joint_dial(dials, lambda x: [x] * len(dials))

    @property
    def memory_groups(self) -> MemoryGroups:
        """The branches' groups."""
        return {
            self.branch_parameter(branch_name, name): groups
            for branch_name, branch in self.branches.items()
            for name, groups in branch.memory_groups.items()
        }

    @property
    def state_size(self) -> int:
        """Sum over the branches."""
        return sum(branch.state_size for branch in self.branches.values())

    @property
    def parameters_counted(self) -> int:
        """Sum over the branches."""
        return sum(branch.parameters_counted for branch in self.branches.values())
