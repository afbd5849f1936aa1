"""Memory dials that several architectures share: the bias of the gate that keeps, the scale of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gradscope.contract.memory_dial import JointDial, MemoryDial
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
    """The scale of a recurrent matrix: |λ| is its spectral radius.

    The largest eigenvalue decides the long run. Were the median set, the radius of a random matrix would lie a third to
    a half above it, and the state would explode as soon as the median comes near 1. A contracting map after the
    product, such as tanh, makes the eigenvalues of J_t smaller than the matrix's.

    Attributes:
        matrix: ``(n, n)``, or the diagonal of one, ``(n,)``.
        by_median: The median |λ| in place of the largest, as baselines have it that were recorded so.
    """

    matrix: Tensor
    by_median: bool = False

    def turn(self, modulus: float) -> None:
        """Scales the matrix so that its spectral radius is ``modulus``.

        Raises:
            Unmeasurable: The radius is 0, and no scale changes that.
        """
        radius = float(self._moduli().median() if self.by_median else self._moduli().max())
        if radius == 0:
            raise Unmeasurable(
                f"All eigenvalues of the recurrent matrix are 0, so no scale gives it a spectral radius of "
                f"{modulus:g}; start from a matrix of higher rank."
            )
        self.matrix.detach().mul_(modulus / radius)

    def moduli(self, x: Tensor) -> Tensor:
        """The spectral radius alone, whatever the inputs are."""
        return self._moduli() if self.by_median else self._moduli().max()

    def _moduli(self) -> Tensor:
        matrix = self.matrix.detach().to("cpu", torch.float64)
        eigenvalues: Tensor = matrix if matrix.dim() == 1 else torch.linalg.eigvals(matrix)
        return eigenvalues.abs()


def by_the_median(dial: MemoryDial) -> MemoryDial:
    """The dial with matrices set by their median |λ|: what the sensitivities in baselines of a check are about."""
    if isinstance(dial, MatrixScale):
        return replace(dial, by_median=True)
    if isinstance(dial, JointDial):
        return replace(dial, parts=[part and by_the_median(part) for part in dial.parts])
    return dial
