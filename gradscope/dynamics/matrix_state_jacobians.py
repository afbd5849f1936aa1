"""J_t = A_t ⊗ I of a matrix state: nothing larger than A_t is formed."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.matrix_state import MatrixStateRecurrence
from gradscope.contract.state import Prepared
from gradscope.dynamics.core_jacobians import CoreJacobians
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.spectrum import Spectrum


class MatrixStateJacobians(CoreJacobians):
    """J_t = A_t ⊗ I: everything is A_t's, ``copies`` times."""

    def __init__(self, trajectory: Trajectory, model: MatrixStateRecurrence) -> None:
        super().__init__(trajectory.batch, model.state_size // model.copies)
        self._trajectory, self._model = trajectory, model
        self.size, self.copies = model.state_size, model.copies
        self.length, self.period = trajectory.length, model.period

    def _prepared(self, start: int, stop: int) -> Prepared:
        u = self._trajectory.prepared(start, stop)
        return {name: value.to("cpu", torch.float64) for name, value in u.items()}

    def _write(self, start: int, stop: int, out: Tensor) -> None:
        out.copy_(self._model.transition(self._prepared(start, stop)))

    def eigenvalues(self, step: int, leading: int | None = None) -> Spectrum:
        """A_t's."""
        return self._counted(self._model.transition_eigenvalues(self._at(step)))

    def singular_values(self, step: int, leading: int | None = None) -> Spectrum:
        """A_t's."""
        return self._counted(self._model.transition_singular_values(self._at(step)))

    def _at(self, step: int) -> Prepared:
        with torch.no_grad():
            return {name: value[0] for name, value in self._prepared(step - 1, step).items()}

    def _counted(self, spectrum: Spectrum) -> Spectrum:
        return Spectrum(spectrum.values.detach(), spectrum.multiplicity * self.copies)

    def matrix(self, step: int) -> Tensor:
        """The Kronecker product."""
        eye = torch.eye(self.copies, dtype=torch.float64)
        return torch.stack([torch.kron(transition, eye) for transition in self.core(step)])
