"""The state Jacobian of one step by blocks of the state, of which many are diagonal or zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.contract.state import Block


@dataclass(frozen=True)
class BlockMatrix:
    """∂s_t/∂s_{t−1}, block by block.

    Attributes:
        spec: The blocks of the state, in order.
        full: (row, column) to a matrix ``(*batch, size, size)``.
        diagonal: (row, column) to the diagonal of a matrix, ``(*batch, size)``; added to ``full`` where both have it.
        shape: Leading dimensions.
        whole: The matrix itself, ``(*batch, n, n)``, where it was assembled; ``full`` are views of it.
    """

    spec: tuple[Block, ...]
    full: dict[tuple[str, str], Tensor]
    diagonal: dict[tuple[str, str], Tensor]
    shape: tuple[int, ...]
    whole: Tensor | None = None

    @property
    def size(self) -> int:
        """Real numbers in the state."""
        return sum(block.size for block in self.spec)

    def at(self, index: int) -> BlockMatrix:
        """One entry of the first leading dimension."""
        return BlockMatrix(
            self.spec,
            {key: value[index] for key, value in self.full.items()},
            {key: value[index] for key, value in self.diagonal.items()},
            self.shape[1:],
            None if self.whole is None else self.whole[index],
        )

    def double(self) -> BlockMatrix:
        """In float64 on the CPU, where small matrices are decomposed fastest."""
        return BlockMatrix(
            self.spec,
            {key: value.to("cpu", torch.float64) for key, value in self.full.items()},
            {key: value.to("cpu", torch.float64) for key, value in self.diagonal.items()},
            self.shape,
            None if self.whole is None else self.whole.to("cpu", torch.float64),
        )

    def dense(self, names: tuple[str, ...] | None = None, columns: tuple[str, ...] | None = None) -> Tensor:
        """The matrix of some blocks' rows and columns, ``(*batch, rows, columns)``; of all by default."""
        if self.whole is not None and names is None and columns is None:
            return self.whole
        rows = self._placed(names)
        across = self._placed(columns if columns is not None else names)
        if len(rows) == len(across) == 1:
            (key,) = [(row, column) for row in rows for column in across]
            if key in self.full and key not in self.diagonal:
                return self.full[key]
        like = next(iter([*self.full.values(), *self.diagonal.values()]))
        height, width = (max(place.stop for place in places.values()) for places in (rows, across))
        matrix = like.new_zeros((*self.shape, height, width))
        for (row, column), value in self.full.items():
            if row in rows and column in across:
                matrix[..., rows[row], across[column]] = value
        for (row, column), value in self.diagonal.items():
            if row in rows and column in across:
                matrix[..., rows[row], across[column]].diagonal(dim1=-2, dim2=-1).add_(value)
        return matrix

    def _placed(self, names: tuple[str, ...] | None) -> dict[str, slice]:
        places: dict[str, slice] = {}
        start = 0
        for block in self.spec:
            if names is None or block.name in names:
                places[block.name] = slice(start, start + block.size)
                start += block.size
        return places
