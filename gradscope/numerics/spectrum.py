"""Eigenvalues and singular values, with how often each counts, and those of dense matrices.

A unit that a relu has switched off leaves a row of zeros. An eigensolver turns the defective zeros that come with it
into a ring of radius ε^{1/k}; taken out beforehand they are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, repr=False)
class Spectrum:
    """Eigenvalues or singular values of J_t.

    Attributes:
        values: ``(batch, count)``, complex128 eigenvalues or float64 singular values, in no order.
        multiplicity: How often each column counts, ``(count,)`` int64; their sum is the size of the state.
    """

    values: Tensor
    multiplicity: Tensor

    def __repr__(self) -> str:
        return f"Spectrum: values {_shape(self.values)}, multiplicity {_shape(self.multiplicity)}, size {self.size}"

    @classmethod
    def simple(cls, values: Tensor) -> Spectrum:
        """Every value counts once."""
        return cls(values, torch.ones(values.shape[-1], dtype=torch.int64))

    @property
    def size(self) -> int:
        """How many values there are, each counted as often as it occurs."""
        return int(self.multiplicity.sum())

    @property
    def expanded(self) -> Tensor:
        """Every value as often as it occurs, ``(batch, size)``."""
        return self.values.repeat_interleave(self.multiplicity, dim=-1)

    def leading(self, count: int | None) -> Spectrum:
        """The values of largest modulus where each counts once and they are more; all without a count."""
        if count is None or count >= len(self.multiplicity) or bool((self.multiplicity != 1).any()):
            return self
        order = self.values.abs().argsort(dim=-1, descending=True)[..., :count]
        return Spectrum.simple(torch.take_along_dim(self.values, order, dim=-1))


def _shape(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def union(parts: list[Spectrum]) -> Spectrum:
    """The spectrum of a block-diagonal or block-triangular matrix from those of its diagonal blocks."""
    return Spectrum(
        torch.cat([part.values for part in parts], dim=-1), torch.cat([part.multiplicity for part in parts])
    )


def dense_eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues of ``(*batch, n, n)``, complex128 ``(*batch, n)``; NaN where the matrix is not finite."""
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    finite = torch.isfinite(flat).all(-1).all(-1)
    zero_row = (flat == 0).all(-1) | (flat == 0).all(-2)
    if not bool(zero_row.any()) and bool(finite.all()):
        values: Tensor = torch.linalg.eigvals(matrix)
        return values
    values = torch.full(flat.shape[:2], torch.nan, dtype=torch.complex128)
    for index in range(len(flat)):
        if finite[index]:
            values[index] = _without_zero_rows(flat[index])
    return values.reshape(matrix.shape[:-1])


def _without_zero_rows(matrix: Tensor) -> Tensor:
    """A zero row or column is an eigenvalue 0; the others are those of the matrix without it and its mirror image."""
    size = len(matrix)
    while True:
        kept = ~((matrix == 0).all(0) | (matrix == 0).all(1))
        if bool(kept.all()):
            break
        matrix = matrix[kept][:, kept]
    found = torch.linalg.eigvals(matrix) if len(matrix) else matrix.new_zeros(0, dtype=torch.complex128)
    return torch.cat([found, found.new_zeros(size - len(found))])


def dense_singular_values(matrix: Tensor) -> Tensor:
    """Singular values of ``(*batch, m, n)``, float64 ``(*batch, min(m, n))``; NaN where the matrix is not finite."""
    finite = torch.isfinite(matrix).all(-1, keepdim=True).all(-2, keepdim=True)
    values = torch.linalg.svdvals(torch.where(finite, matrix, torch.zeros_like(matrix)))
    return torch.where(finite.squeeze(-1), values, torch.full_like(values, torch.nan))
