"""Memory dials that several architectures share: the bias of the gate that keeps, the scale of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gradscope.contract.memory_dial import MemoryDial
from gradscope.contract.recurrence import Recurrence
from gradscope.errors import Unmeasurable


@dataclass(frozen=True)
class GateBias(MemoryDial):
    """The bias of a gate: the median of σ is σ of the median pre-activation, which is the bias.

    Attributes:
        bias: The gate's rows of it.
        kept: What a step keeps of the past, for inputs.
        writes: The gate says what is written: one minus it is kept.
        second_bias: One more that is added to the first, as torch's cells have it; set to 0.
    """

    bias: Tensor
    kept: Callable[[Tensor], Tensor]
    writes: bool = False
    second_bias: Tensor | None = None

    def turn(self, modulus: float) -> None:
        """Sets the bias to the pre-activation at which ``modulus`` is kept."""
        keeping = math.log(modulus) - math.log1p(-modulus)
        self.bias.detach().fill_(-keeping if self.writes else keeping)
        if self.second_bias is not None:
            self.second_bias.detach().zero_()

    def moduli(self, x: Tensor) -> Tensor:
        """What is kept."""
        return self.kept(x)


def gate_along(
    cell: Recurrence, x: Tensor, prepared: str, rows: slice, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Pre-activations u + U h + b of some rows of a cell's gates along its own trajectory, ``(length, batch, rows)``.

    Args:
        cell: With a block ``h``.
        x: Inputs, ``(batch, length, input_size)``.
        prepared: The name of u.
        rows: Which gate.
        weight: U of all gates.
        bias: b of all gates.
    """
    u, before = cell.states_before(x)
    return u[prepared][..., rows] + F.linear(before["h"], weight[rows], None if bias is None else bias[rows])


@dataclass(frozen=True)
class MatrixScale(MemoryDial):
    """The scale of a recurrent matrix: |λ| are the moduli of its eigenvalues; the spectral radius is larger.

    A contracting map after the product, such as tanh, makes those of J_t smaller.
    """

    matrix: Tensor

    def turn(self, modulus: float) -> None:
        """Scales the matrix so that the median modulus of its eigenvalues is ``modulus``.

        Of an even number the lower of the two in the middle, as :meth:`torch.Tensor.median` takes it: near 1 their
        mean would be no eigenvalue's modulus, and most of the distance to 1 would be the gap between them.

        Raises:
            Unmeasurable: The median is 0, and no scale changes that.
        """
        median = float(self._eigenvalue_moduli().median())
        if median == 0:
            raise Unmeasurable(
                f"Half of the recurrent matrix's eigenvalues are 0, so no scale gives them a median |λ| of "
                f"{modulus:g}; start from a matrix of higher rank."
            )
        self.matrix.detach().mul_(modulus / median)

    def moduli(self, x: Tensor) -> Tensor:
        """Of the eigenvalues, whatever the inputs are."""
        return self._eigenvalue_moduli()

    def _eigenvalue_moduli(self) -> Tensor:
        values: Tensor = torch.linalg.eigvals(self.matrix.detach().to("cpu", torch.float64))
        return values.abs()
