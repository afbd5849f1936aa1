"""The adjoint of a diagonal recurrence: δ_{t−1} = conj(a_t) ⊙ δ_t, one product in place a step."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.cotangents import LocalSteps
from gradscope.dynamics.pullbacks import over_lengths
from gradscope.dynamics.segments import SegmentStates


class DiagonalSteps(LocalSteps):
    """Steps with J_t = D(a_t)."""

    through_prepare_alone = True

    def __init__(self, adjoint: DiagonalAdjoint, here: SegmentStates) -> None:
        self._here = here
        self._name = adjoint.model.state_spec[0].name
        a = here.u["a"]
        self._a = a.conj().resolve_conj() if a.is_complex() else a
        history = a.new_empty((here.segment.steps + 1, here.segment.active, *a.shape[1:]))
        self._history = history
        self.delta = {self._name: history[1:]}

    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """δ_{t−1} = conj(a_t) ⊙ δ_t."""
        history = self._history[first : last + 1]
        history[-1] = delta[self._name]
        terms = direct[self._name].unbind(0) if direct else None
        steps, factors = history.unbind(0), self._a[first:last].unbind(0)
        for index in range(last - first, 0, -1):
            now = steps[index]
            if terms:
                now.add_(terms[index - 1])
            torch.mul(factors[index - 1], now, out=steps[index - 1])
        return {self._name: history[0].clone()}

    def total(self, name: str) -> Tensor:
        """The one block depends on no other."""
        return self.delta[name]

    def prepared_cotangent(self) -> Prepared:
        """∂L/∂a_t = δ_t ⊙ conj(h_{t−1}), ∂L/∂b_t = δ_t."""
        before = over_lengths(self._here.before[self._name], self._here.segment.active)
        delta = self.delta[self._name]
        return {"a": delta * before.conj(), "b": delta}

    def parameter_gradients(self, alignment: Tensor) -> dict[str, Tensor]:
        """None: parameters reach a diagonal recurrence through ``prepare``."""
        return {}


class DiagonalAdjoint(RecurrenceAdjoint):
    """The adjoint of a :class:`~gradscope.contract.diagonal.DiagonalRecurrence`."""

    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """The factors of a segment."""
        return DiagonalSteps(self, here)
