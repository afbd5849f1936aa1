"""Recurrences that are chains of (recurrent matrix product, pointwise map) stages.

RNN, LSTM and torch's GRU are chains of one stage, Cho's GRU of two, RRN of K. All derivatives of a pointwise map are
diagonals, found for all steps at once, by autograd or by the closed form that a stage may bring (:class:`Derivatives`);
the adjoint then costs one matrix product a stage and step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State


class Node(Protocol):
    """Marks a value inside a map as the new value of a state block, on which later values of the map depend."""

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """The value as what follows should see it."""
        ...


Gates = tuple[Tensor, ...]
PointwiseMap = Callable[[Gates, Mapping[str, Tensor], Prepared, Tensor, Node], State]


@dataclass(frozen=True)
class Derivatives:
    """Diagonal derivatives of one value that a map computes; what it does not depend on is absent.

    Attributes:
        name: The block.
        gates: By the gate's number.
        blocks: By block of the old state.
        nodes: By block of the new state computed earlier in the map.
        u: By the number of the gate whose share of ``u["a"]`` it is, where that is not just added to the gate.
    """

    name: str
    gates: dict[int, Tensor]
    blocks: dict[str, Tensor]
    nodes: dict[str, Tensor]
    u: dict[int, Tensor] = field(default_factory=dict)


ClosedForm = Callable[[Tensor, Tensor, Mapping[str, Tensor]], tuple[Derivatives, ...]]


@dataclass(frozen=True)
class Stage:
    """One matrix product and the pointwise map after it.

    Attributes:
        input: The value that is multiplied: a block of the state, or one that an earlier stage returned.
        weight: Name of the matrix, ``(gates · hidden_size, hidden_size)``.
        bias: Name of the bias added to the product, if any.
        map: ``map(a, s, u, t, node)`` with the product split into gates ``a``, the state and the values of earlier
            stages ``s``; pointwise over hidden units; it uses no parameters (what it needs comes with ``u``).
            The last stage returns the new state; an earlier one the values that later stages use.
        derivatives: The map's diagonals in closed form, ``derivatives(a, u, s)`` in the order of computation, where
            autograd's are too slow; for a last stage whose map reads the whole product a, which it may overwrite, and
            u = ``u["a"]``. Tests hold them to autograd.
    """

    input: str
    weight: str
    bias: str | None
    map: PointwiseMap
    derivatives: ClosedForm | None = None


def _as_it_is(name: str, value: Tensor) -> Tensor:
    return value


class ChainRecurrence(Recurrence):
    """A recurrence given by its ``stages``; ``step`` follows from them.

    Attributes:
        hidden_size: Width of every block, gate and intermediate value.
    """

    hidden_size: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order."""
        raise NotImplementedError

    def product(self, stage: Stage, values: Mapping[str, Tensor]) -> Tensor:
        """The stage's matrix product with its bias."""
        return F.linear(
            values[stage.input], getattr(self, stage.weight), getattr(self, stage.bias) if stage.bias else None
        )

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """One step: each stage's product and map in turn."""
        values: dict[str, Tensor] = dict(s)
        returned: State = {}
        for stage in self.stages:
            gates = self.product(stage, values).split(self.hidden_size, dim=-1)
            returned = stage.map(gates, values, u, t, _as_it_is)
            values |= returned
        return returned
