"""Recurrences of a matrix state with a transition from the left: ``S_t = A_t S_{t-1} + B_t``."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State
from gradscope.numerics.spectrum import Spectrum


class MatrixStateRecurrence(Recurrence):
    """A recurrence of one block S ``(d_k, d_v)`` whose A_t depends on the input alone.

    J_t = A_t ⊗ I: each eigenvalue and singular value of A_t counts d_v times, and nothing larger than A_t is formed.
    """

    def transition(self, u: Prepared) -> Tensor:
        """A_t, ``(*, d_k, d_k)``."""
        raise NotImplementedError

    def transition_eigenvalues(self, u: Prepared) -> Spectrum:
        """Eigenvalues of A_t; override where there is a closed form."""
        return Spectrum.simple(torch.linalg.eigvals(self.transition(u)))

    def transition_singular_values(self, u: Prepared) -> Spectrum:
        """Singular values of A_t; override where there is a closed form."""
        return Spectrum.simple(torch.linalg.svdvals(self.transition(u)))

    @property
    def copies(self) -> int:
        """How often each value of A_t counts: d_v."""
        return self.state_spec[0].shape[1]


class DeltaRuleRecurrence(MatrixStateRecurrence):
    """A matrix state that the delta rule writes to: S_t = S_{t−1} + β_t k_t (v_t − S_{t−1}ᵀ k_t)ᵀ.

    ``prepare`` returns ``"k"`` ``(*, d_k)``, ``"v"`` ``(*, d_v)``, ``"beta"`` ``(*, 1)`` and what ``readout`` needs;
    parameters reach the recurrence through it alone. A_t = I − β_t k_t k_tᵀ, whose product with a cotangent needs no
    A_t.
    """

    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """States of consecutive steps in place: two products a step."""
        name = self.state_spec[0].name
        before = s[name]
        states = before.new_empty((len(x), *before.shape))
        keys, strengths = u["k"].unsqueeze(-1), (u["beta"] * u["k"]).unsqueeze(-2)  # k and β kᵀ
        steps = (values.unbind(0) for values in (keys, strengths, (u["beta"] * u["v"]).unsqueeze(-2), states))
        for k, strength, v, now in zip(*steps, strict=True):
            before = torch.addcmul(before, k, v - strength @ before, out=now)
        return {name: states}
