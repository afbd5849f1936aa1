"""Recurrences with a diagonal Jacobian that does not depend on the state: ``s_t = a_t ⊙ s_{t-1} + b_t``."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State


class DiagonalRecurrence(Recurrence):
    """A recurrence of one block whose ``prepare`` returns ``"a"`` and ``"b"`` (and what ``readout`` needs).

    Parameters reach the recurrence through ``prepare`` alone.
    """

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """s_t = a_t ⊙ s_{t−1} + b_t."""
        name = self.state_spec[0].name
        return {name: u["a"] * s[name] + u["b"]}

    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """States of consecutive steps in place: one multiply-add a step."""
        name = self.state_spec[0].name
        before = s[name]
        states = torch.empty_like(u["b"], memory_format=torch.contiguous_format)
        for a, b, now in zip(u["a"].unbind(0), u["b"].unbind(0), states.unbind(0), strict=True):
            before = torch.addcmul(b, a, before, out=now)
        return {name: states}
