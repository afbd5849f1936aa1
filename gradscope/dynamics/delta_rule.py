"""The adjoint of the delta rule: δ_{t−1} = (I − β_t k_t k_tᵀ) δ_t, a product of rank one a step."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.cotangents import LocalSteps
from gradscope.dynamics.segments import SegmentStates


class DeltaRuleSteps(LocalSteps):
    """Steps with S_t = S_{t−1} + β_t k_t e_tᵀ, e_t = v_t − S_{t−1}ᵀ k_t."""

    through_prepare_alone = True

    def __init__(self, adjoint: DeltaRuleAdjoint, here: SegmentStates) -> None:
        self._here = here
        self._name = adjoint.model.state_spec[0].name
        k, v, beta = (here.u[name] for name in ("k", "v", "beta"))
        steps, active = here.segment.steps, here.segment.active
        self._key = k.unsqueeze(1).unsqueeze(-2)  # (steps, 1, batch, 1, d_k)
        self._written = (-beta * k).unsqueeze(1).unsqueeze(-1)  # (steps, 1, batch, d_k, 1)
        self._history = k.new_empty((steps + 1, active, *here.states[self._name].shape[1:]))
        self._retrieved = v.new_empty((steps, active, *v.shape[1:]))  # r_t = δ_tᵀ k_t
        self.delta = {self._name: self._history[1:]}

    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """r_t = δ_tᵀ k_t, δ_{t−1} = δ_t − β_t k_t r_tᵀ."""
        history = self._history[first : last + 1]
        history[-1] = delta[self._name]
        terms = direct[self._name].unbind(0) if direct else None
        deltas, retrieved = history.unbind(0), self._retrieved[first:last].unsqueeze(-2).unbind(0)
        keys, written = self._key[first:last].unbind(0), self._written[first:last].unbind(0)
        for index in range(last - first - 1, -1, -1):
            now, r = deltas[index + 1], retrieved[index]
            if terms:
                now.add_(terms[index])
            torch.matmul(keys[index], now, out=r)
            torch.addcmul(now, written[index], r, out=deltas[index])
        return {self._name: history[0].clone()}

    def total(self, name: str) -> Tensor:
        """The one block depends on no other."""
        return self.delta[name]

    def prepared_cotangent(self) -> Prepared:
        """∂L/∂v = β r, ∂L/∂β = r·e, ∂L/∂k = β (δ e − S_{t−1} r)."""
        u, before, r = self._here.u, self._here.before[self._name], self._retrieved
        error = u["v"] - (u["k"].unsqueeze(-2) @ before).squeeze(-2)  # (steps, batch, d_v)
        beta = u["beta"].unsqueeze(1)
        back = torch.einsum("tbij,tabj->tabi", before, r)
        ahead = torch.einsum("tabij,tbj->tabi", self.delta[self._name], error)
        return {
            "k": beta * (ahead - back),
            "v": beta * r,
            "beta": (r * error.unsqueeze(1)).sum(-1, keepdim=True),
        }

    def parameter_gradients(self, alignment: Tensor) -> dict[str, Tensor]:
        """None: parameters reach the delta rule through ``prepare``."""
        return {}


class DeltaRuleAdjoint(RecurrenceAdjoint):
    """The adjoint of a :class:`~gradscope.contract.matrix_state.DeltaRuleRecurrence`."""

    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """Keys, values and write strengths of a segment."""
        return DeltaRuleSteps(self, here)
