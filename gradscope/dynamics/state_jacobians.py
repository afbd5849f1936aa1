"""The Jacobians J_t of one recurrence along its trajectory, each shape by its own algebra; float64 on the CPU.

dense           blocks, multiplied out from the program's coefficients or by autograd; of each part of the state that
                never meets the others
diagonal        the vector of factors: nothing is ever formed or decomposed
matrix state    A_t alone, every number counting once for each column of the state
joint           a stack of layers, dense by autograd
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.dynamics.dense_jacobians import DenseJacobians
from gradscope.dynamics.diagonal_jacobians import DiagonalJacobians
from gradscope.dynamics.matrix_state_jacobians import MatrixStateJacobians
from gradscope.dynamics.program.follow import followed_trajectory
from gradscope.dynamics.program.structure import structure
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.products import ProductNorms
from gradscope.numerics.spectrum import Spectrum
from gradscope.numerics.stretching import Stretching

LARGEST_TRIED = 1 << 22  # numbers of state up to which a step is run to see its Jacobian's shape


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


def state_jacobians(trajectory: Trajectory, *, accelerated: bool = True) -> tuple[StateJacobians, ...]:
    """The Jacobians of one recurrence in the shape that its program gives them; of a state of several parts, of each.

    Args:
        trajectory: Where.
        accelerated: False takes all of it as one dense matrix by autograd, the definition.
    """
    program, model = trajectory.program, trajectory.model
    if program is None or not accelerated:
        return (DenseJacobians(trajectory, accelerated=accelerated),)
    found = structure(program, trajectory)
    if found.kind == "matrix state":
        return (MatrixStateJacobians(trajectory, program),)
    kinds = {block.is_complex for block in model.state_spec}
    if found.kind == "diagonal" and len(kinds) == 1 and not declares_algebra(model):
        return (DiagonalJacobians(trajectory, program),)
    if found.kind == "parts" and not declares_algebra(model):
        return tuple(DenseJacobians(trajectory, accelerated=True, part=part) for part in found.parts)
    return (DenseJacobians(trajectory, accelerated=True),)


def declares_algebra(model: Recurrence) -> bool:
    """Whether a class knows more of its Jacobian than its blocks say."""
    own = ("null_directions", "jacobian_eigenvalues", "jacobian_singular_values")
    return any(getattr(type(model), name) is not getattr(Recurrence, name) for name in own)


def largest_matrix(model: Recurrence) -> int:
    """Rows of the largest matrix that the Jacobians of a recurrence need; 0 of a diagonal one."""
    first = model.state_spec[0]
    if model.state_size > LARGEST_TRIED:
        return first.shape[0] if len(model.state_spec) == 1 and len(first.shape) == 2 else model.state_size
    like = next(model.parameters(), torch.zeros(()))
    with torch.no_grad():
        x = torch.zeros((1, 2, model.input_size), dtype=like.real.dtype, device=like.device)
        parts = state_jacobians(followed_trajectory(model, x))
    return max(0 if isinstance(part, DiagonalJacobians) else part.size // part.copies for part in parts)
