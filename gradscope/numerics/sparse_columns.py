"""Products with matrices of which many columns are nearly empty, as the Jacobian of an LSTM by its cell state.

A column with one or two entries costs a vector operation, not its share of a matrix product; as a pivot it is
eliminated without fill. Half the columns of an LSTM's J_t are such, so its products cost half.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = 256  # below it a matrix product costs as little as looking for its structure
MOST_ENTRIES = 2  # of a column that counts as nearly empty
LARGEST_RATIO = 100.0  # of an entry by its pivot; above 1 only where the samples of a batch want other pivots
FEWEST = 0.25  # share of such columns from which on they are worth it


@dataclass(frozen=True)
class SparseColumns:
    """A matrix ``(batch, n, n)`` by its columns.

    Attributes:
        matrix: The whole of it.
        full: Which columns are full.
        sparse: Which are nearly empty, ``(count,)``.
        rows: Where their entries are, ``(MOST_ENTRIES, count)``; a column with fewer names a row in which it has zero.
    """

    matrix: Tensor
    full: Tensor
    sparse: Tensor
    rows: Tensor

    @property
    def entries(self) -> Tensor:
        """Of the nearly empty columns, ``(batch, MOST_ENTRIES, count)``."""
        return self.matrix[:, self.rows, self.sparse]

    def times(self, vectors: Tensor) -> Tensor:
        """The matrix times ``(batch, n, count)``."""
        found = torch.bmm(self.matrix[:, :, self.full], vectors[:, self.full])
        moved = vectors[:, self.sparse]
        for rows, entries in zip(self.rows, self.entries.unbind(1), strict=True):
            found.index_add_(1, rows, entries.unsqueeze(-1) * moved)
        return found

    def transposed_times(self, vectors: Tensor) -> Tensor:
        """The transposed matrix times ``(batch, n, count)``."""
        found = torch.empty_like(vectors)
        found[:, self.full] = torch.bmm(self.matrix[:, :, self.full].mT, vectors)
        moved = [
            entries.unsqueeze(-1) * vectors[:, rows]
            for rows, entries in zip(self.rows, self.entries.unbind(1), strict=True)
        ]
        found[:, self.sparse] = sum(moved[1:], start=moved[0])
        return found

    def solve(self, right: Tensor) -> tuple[Tensor, Tensor] | None:
        """The solution of ``matrix @ x = right`` and a number that is not 0 where the matrix is singular.

        The nearly empty columns are eliminated first, each by its larger entry, which is what partial pivoting would
        take; the rest is a Schur complement for LAPACK. None where two columns would share a pivot row,
        or a pivot is too small.
        """
        entries = self.entries
        larger = entries.abs().amax(0).argmax(0)
        here = torch.arange(len(self.sparse))
        pivots, others = self.rows[larger, here], self.rows[1 - larger, here]
        taken = torch.zeros(self.matrix.shape[-1], dtype=torch.bool)
        taken[pivots] = True
        diagonal, beside = entries[:, larger, here], entries[:, 1 - larger, here]
        if int(taken.sum()) < len(pivots) or bool((taken[others] & (beside != 0).any(0)).any()):
            return None
        left = (~taken).nonzero().squeeze(-1)
        place = torch.full_like(taken, 0, dtype=torch.int64)
        place[left] = torch.arange(len(left))
        ratio = beside / diagonal
        if not bool((ratio.abs() <= LARGEST_RATIO).all()):  # not for NaN either: a column of zeros
            return None
        upper = self.matrix[:, pivots][:, :, self.full]
        schur = self.matrix[:, left][:, :, self.full]
        schur.index_add_(1, place[others], upper * -ratio.unsqueeze(-1))
        above, below = right[:, pivots], right[:, left]
        below.index_add_(1, place[others], above * -ratio.unsqueeze(-1))
        solved, info = torch.linalg.solve_ex(schur, below)
        found = torch.empty_like(right)
        found[:, self.full] = solved
        found[:, self.sparse] = torch.baddbmm(above, upper, solved, alpha=-1) / diagonal.unsqueeze(-1)
        return found, info


def sparse_columns(matrix: Tensor, smallest: int = SMALLEST) -> SparseColumns | None:
    """The structure of ``(batch, n, n)``; None where it has none that is worth it."""
    size = matrix.shape[-1]
    if size < smallest:
        return None
    filled = (matrix != 0).any(0)
    count = filled.sum(0)
    is_sparse = count <= MOST_ENTRIES
    sparse = is_sparse.nonzero().squeeze(-1)
    if len(sparse) < FEWEST * size or len(sparse) == size:
        return None
    rows = filled[:, sparse].byte().topk(MOST_ENTRIES, dim=0).indices
    return SparseColumns(matrix, (~is_sparse).nonzero().squeeze(-1), sparse, rows)
