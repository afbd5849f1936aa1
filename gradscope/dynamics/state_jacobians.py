"""The Jacobians J_t of one recurrence along its trajectory, each shape by its own algebra; float64 on the CPU.

dense           blocks, assembled from the chain's diagonals or by autograd
diagonal        the vector of factors: nothing is ever formed or decomposed
matrix state    A_t alone, every number counting once for each column of the state
joint           a stack of layers, dense by autograd
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from torch import Tensor

from gradscope.contract.diagonal import DiagonalRecurrence
from gradscope.contract.matrix_state import MatrixStateRecurrence
from gradscope.dynamics.dense_jacobians import DenseJacobians
from gradscope.dynamics.diagonal_jacobians import DiagonalJacobians
from gradscope.dynamics.matrix_state_jacobians import MatrixStateJacobians
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.products import ProductNorms
from gradscope.numerics.spectrum import Spectrum
from gradscope.numerics.stretching import Stretching


class StateJacobians(Protocol):
    """J_t of one recurrence at every step of its trajectory.

    Attributes:
        size: Real numbers in the state, n.
        copies: How often each number of products and stretches counts: 1, but for a matrix state.
        period: The recurrence repeats its form after this many steps.
        length: Steps of the trajectory.
        batch: Samples.
        is_too_large: Its singular values and products would take too long.
    """

    size: int
    copies: int
    period: int
    length: int
    batch: int

    @property
    def is_too_large(self) -> bool: ...  # noqa: D102 - an attribute

    def is_iterated(self, leading: int | None) -> bool:
        """Whether only leading eigenvalues and singular values are sought, by iteration."""
        ...

    def eigenvalues(self, step: int, leading: int | None = None) -> Spectrum:
        """Of J_t; the leading ones alone where the matrix is large."""
        ...

    def singular_values(self, step: int, leading: int | None = None) -> Spectrum:
        """Of J_t; the leading ones alone where the matrix is large."""
        ...

    def matrix(self, step: int) -> Tensor:
        """J_t itself, ``(batch, n, n)``."""
        ...

    def period_eigenvalues(self, step: int, period: int) -> tuple[Tensor, Tensor]:
        """Of the product over a period that ends at a step: natural log of modulus, and angle, ``(batch, n)``."""
        ...

    def finite_directions(self) -> int:
        """How many exponents are finite by construction."""
        ...

    def stretching(self, count: int, cuts: Sequence[int], *, every_step: bool = False) -> Stretching:
        """How the leading ``count`` directions are stretched; each counts ``copies`` times."""
        ...

    def product_norms(self, lags: Collection[int]) -> ProductNorms:
        """Of ∂s_T/∂s_t; the Frobenius norm is that of the whole state."""
        ...


def state_jacobians(trajectory: Trajectory, *, accelerated: bool = True) -> StateJacobians:
    """The Jacobians of one recurrence in its shape; dense by autograd where ``accelerated`` is False."""
    model: Any = trajectory.model
    if accelerated and isinstance(model, DiagonalRecurrence):
        return DiagonalJacobians(trajectory, model)
    if accelerated and isinstance(model, MatrixStateRecurrence):
        return MatrixStateJacobians(trajectory, model)
    return DenseJacobians(trajectory, accelerated=accelerated)
