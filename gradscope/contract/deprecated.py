"""Classes by which a recurrence used to say what its step is made of, which is found by following it now.

Subclasses run through their ``step``, as any recurrence does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State


class _Declared(Recurrence):
    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__ != __name__:
            (kind,) = (base.__name__ for base in cls.__mro__ if base.__module__ == __name__ and base is not _Declared)
            warnings.warn(
                f"{kind} is deprecated: {cls.__name__} can derive from gradscope.Recurrence and define prepare and "
                "step; how it is measured fast follows from them.",
                DeprecationWarning,
                stacklevel=2,
            )


class DiagonalRecurrence(_Declared):
    """A recurrence of one block whose ``prepare`` returns ``"a"`` and ``"b"``."""

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """s_t = a_t ⊙ s_{t−1} + b_t."""
        name = self.state_spec[0].name
        return {name: u["a"] * s[name] + u["b"]}


class MatrixStateRecurrence(_Declared):
    """A recurrence of one block S ``(d_k, d_v)`` with a transition from the left."""


@dataclass(frozen=True)
class Stage:
    """One matrix product and the pointwise map after it.

    Attributes:
        input: The value that is multiplied: a block of the state, or one that an earlier stage returned.
        weight: Name of the matrix, ``(gates · hidden_size, hidden_size)``.
        bias: Name of the bias added to the product, if any.
        map: ``map(a, s, u, t, node)`` with the product split into gates ``a``, the state and the values of earlier
            stages ``s``. The last stage returns the new state; an earlier one the values that later stages use.
        derivatives: Not read.
    """

    input: str
    weight: str
    bias: str | None
    map: Callable[[tuple[Tensor, ...], Mapping[str, Tensor], Prepared, Tensor, Callable[[str, Tensor], Tensor]], State]
    derivatives: Any = None


class ChainRecurrence(_Declared):
    """A recurrence given by its ``stages``.

    Attributes:
        hidden_size: Width of every block, gate and intermediate value.
    """

    hidden_size: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order."""
        raise NotImplementedError

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """One step: each stage's product and map in turn."""
        values: dict[str, Tensor] = dict(s)
        returned: State = {}
        for stage in self.stages:
            bias = getattr(self, stage.bias) if stage.bias else None
            product = F.linear(values[stage.input], getattr(self, stage.weight), bias)
            gates = product.split(self.hidden_size, dim=-1)
            returned = stage.map(gates, values, u, t, lambda name, value: value)
            values |= returned
        return returned
