"""Recurrences of a matrix state with a transition from the left: ``S_t = A_t S_{t-1} + B_t``."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared
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
