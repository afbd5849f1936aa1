"""Numbers of a spectrum, with how often each of them counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues or singular values of J_t.

    Attributes:
        values: ``(batch, count)``, complex128 eigenvalues or float64 singular values, in no order.
        multiplicity: How often each column counts, ``(count,)`` int64; their sum is the size of the state.
    """

    values: Tensor
    multiplicity: Tensor

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


def union(parts: list[Spectrum]) -> Spectrum:
    """The spectrum of a block-diagonal or block-triangular matrix from those of its diagonal blocks."""
    return Spectrum(
        torch.cat([part.values for part in parts], dim=-1), torch.cat([part.multiplicity for part in parts])
    )
