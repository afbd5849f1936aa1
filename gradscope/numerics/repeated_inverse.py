"""Inverses of matrices D(d_t) W, of which only the rows' factors change from step to step: one for all steps.

So is J_t = D(1 − h_t²) W of a plain recurrence. Recognised by its numbers, so that nobody has to declare it.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 256  # below it a solve is as cheap
LARGEST_CONDITION = 1e6  # an explicit inverse is no worse than a solve up to here, where a product is of 14 decades
SAME = 8 * torch.finfo(torch.float64).eps  # relative difference up to which an entry is that of the other matrix
ENOUGH_FAILURES = 2  # matrices in a row that are no multiples of each other, after which nobody looks any more


class RepeatedInverse:
    """Looks whether a matrix is the last one with its rows multiplied."""

    def __init__(self, smallest: int = SMALLEST) -> None:
        self._smallest, self._failures = smallest, 0
        self._reference: Tensor | None = None
        self._columns = self._largest = torch.zeros(0)
        self._inverse: Tensor | None = None

    def solve(self, matrix: Tensor, right: Tensor) -> Tensor | None:
        """The solution of ``matrix @ x = right``, all ``(batch, n, n)``; None where LAPACK has to be asked."""
        if matrix.shape[-1] < self._smallest or self._failures >= ENOUGH_FAILURES:
            return None
        factors = self._factors(matrix)
        if factors is None:
            return None
        if self._inverse is None:
            assert self._reference is not None
            self._inverse = _inverse(self._reference)
            if self._inverse is None:
                self._failures = ENOUGH_FAILURES
                return None
        return torch.bmm(self._inverse, right / factors)

    def _factors(self, matrix: Tensor) -> Tensor | None:
        """What the rows of the reference are multiplied with, ``(batch, n, 1)``; a new reference where they are not."""
        if self._reference is not None:
            factors = matrix.gather(-1, self._columns) / self._largest
            difference = (matrix - factors * self._reference).abs_()
            if bool((difference <= SAME * matrix.abs()).all()) and bool((factors != 0).all()):
                self._failures = 0
                return factors
            self._failures += 1
        self._reference, self._inverse = matrix.clone(), None
        self._columns = matrix.abs().argmax(-1, keepdim=True)
        self._largest = matrix.gather(-1, self._columns)
        return None


def _inverse(matrix: Tensor) -> Tensor | None:
    """None where it is badly conditioned."""
    found, info = torch.linalg.inv_ex(matrix)
    condition = torch.linalg.matrix_norm(matrix) * torch.linalg.matrix_norm(found)
    return None if bool((info != 0).any()) or not bool((condition < LARGEST_CONDITION).all()) else found
