"""J_t = A_t ⊗ I of a matrix state: nothing larger than A_t is formed."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.dynamics.core_jacobians import CoreJacobians
from gradscope.dynamics.program.program import Program
from gradscope.dynamics.program.transition import transitions
from gradscope.dynamics.segments import Segment
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.spectrum import Spectrum


class MatrixStateJacobians(CoreJacobians):
    """J_t = A_t ⊗ I: everything is A_t's, ``copies`` times."""

    def __init__(self, trajectory: Trajectory, program: Program) -> None:
        model = trajectory.model
        rows, self.copies = model.state_spec[0].shape
        super().__init__(trajectory.batch, rows)
        self._trajectory, self._program = trajectory, program
        self.size, self.length, self.period = model.state_size, trajectory.length, model.period

    def _transitions(self, start: int, stop: int) -> Tensor:
        with torch.no_grad():
            return transitions(self._program, self._trajectory.segment(Segment(start, stop, 1))).cpu()

    def _write(self, start: int, stop: int, out: Tensor) -> None:
        out.copy_(self._transitions(start, stop))

    def eigenvalues(self, step: int, leading: int | None = None) -> Spectrum:
        """A_t's; real where it is symmetric."""
        (matrix,) = self._transitions(step - 1, step)
        if _is_symmetric(matrix):
            values = torch.linalg.eigvalsh(matrix)
            return self._counted(torch.complex(values, torch.zeros_like(values)))
        return self._counted(torch.linalg.eigvals(matrix))

    def singular_values(self, step: int, leading: int | None = None) -> Spectrum:
        """A_t's."""
        (matrix,) = self._transitions(step - 1, step)
        if _is_symmetric(matrix):
            return self._counted(torch.linalg.eigvalsh(matrix).abs())
        return self._counted(torch.linalg.svdvals(matrix))

    def _counted(self, values: Tensor) -> Spectrum:
        return Spectrum(values, torch.full((values.shape[-1],), self.copies))

    def matrix(self, step: int) -> Tensor:
        """The Kronecker product."""
        eye = torch.eye(self.copies, dtype=torch.float64)
        return torch.stack([torch.kron(transition, eye) for transition in self.core(step)])


def _is_symmetric(matrix: Tensor) -> bool:
    """Up to the order in which sums were rounded."""
    close = 8 * torch.finfo(matrix.dtype).eps * float(matrix.abs().max())
    return torch.allclose(matrix, matrix.mT, rtol=0, atol=close)
