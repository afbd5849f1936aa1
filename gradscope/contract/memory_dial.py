"""The memory dial, through which a model's |λ| is set at initialisation, and the groups of its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class MemoryDial(ABC):
    """The dial of one model; made when it is asked for, so that it always turns the parameters the model has now."""

    @abstractmethod
    def turn(self, modulus: float) -> None:
        """Changes the parameters in place, so that the median of :meth:`moduli` is ``modulus``; without gradients."""

    @abstractmethod
    def moduli(self, x: Tensor) -> Tensor:
        """The |λ| that the dial is about, for inputs ``(batch, length, input_size)``, in any shape.

        Over units, samples and steps of a gate; of a matrix its spectral radius alone, which decides the long run.
        """


@dataclass(frozen=True)
class HookedDial(MemoryDial):
    """A dial from two functions.

    Attributes:
        turns: Sets the median |λ|.
        reads: The |λ| for inputs.
    """

    turns: Callable[[float], None]
    reads: Callable[[Tensor], Tensor]

    def turn(self, modulus: float) -> None:
        """As the function does."""
        self.turns(modulus)

    def moduli(self, x: Tensor) -> Tensor:
        """As the function does."""
        return self.reads(x)


@dataclass(frozen=True)
class JointDial(MemoryDial):
    """The dials of a model's parts, turned together.

    Attributes:
        parts: Of each part, None where it has none.
        inputs: The inputs of each part for those of the model.
    """

    parts: Sequence[MemoryDial | None]
    inputs: Callable[[Tensor], Sequence[Tensor]]

    def turn(self, modulus: float) -> None:
        """Of all parts that have one."""
        for part in self.parts:
            if part is not None:
                part.turn(modulus)

    def moduli(self, x: Tensor) -> Tensor:
        """Those of the parts together."""
        read = zip(self.parts, self.inputs(x), strict=True)
        return torch.cat([plain_moduli(part, own) for part, own in read if part is not None])


def joint_dial(parts: Sequence[MemoryDial | None], inputs: Callable[[Tensor], Sequence[Tensor]]) -> MemoryDial | None:
    """The dial of a model of several parts; None where no part has one."""
    return JointDial(parts, inputs) if any(part is not None for part in parts) else None


def plain_moduli(dial: MemoryDial, x: Tensor) -> Tensor:
    """What a dial reads as plain numbers: flat, float64, on the CPU."""
    return dial.moduli(x).detach().to("cpu", torch.float64).flatten()


# Parameter name to its parts: a group (magnitude and angle of the recurrence, input, rest) and rows of the parameter.
MemoryGroups = dict[str, tuple[tuple[str, slice], ...]]
EVERY_ROW = slice(None)


def grouped(**groups: tuple[str, ...]) -> MemoryGroups:
    """Parameters by group, each as a whole."""
    return {name: ((group, EVERY_ROW),) for group, names in groups.items() for name in names}
