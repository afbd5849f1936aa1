"""Sums of rank-one terms Σ_t ā_t ⊗ y_t as the list of their factors, from which the norm of the sum follows.

    ‖Σ_t ā_t ⊗ y_t‖² = Σ_{t,s} (ā_t · ā_s)(y_t · y_s)

The factors of T terms are T (rows + columns) numbers, the sum is rows · columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradscope.numerics.scaled import ZERO_EXPONENT, Scaled, row_exponent, times_power_of_two

GRAM_NUMBERS = 1 << 22  # numbers in float64 that are worked on at once
# Terms cancel where ‖Σ‖² is less than this times Σ‖·‖²: the products have then lost 12 of the 53 bits of float64, and
# the sum itself is taken. The norm is right to 2⁻⁴² T at worst, to about 2⁻⁴² where rounding errors are random.
CANCELLED = 2.0**-12


class RankOneSum:
    """Σ_t ā_t ⊗ y_t for every sample, and for every length from one of them on.

    Every term has an exponent of its own, those of ā_t and y_t together; the terms of one length and sample meet at the
    largest.

    Args:
        before: How many longer lengths are not in it.
    """

    def __init__(self, before: int = 0) -> None:
        self.before = before
        self._inputs: list[Tensor] = []  # (batch, steps, columns)
        self._cotangents: list[Scaled] = []  # (active, batch, steps, rows)

    def append(self, y: Tensor, a_bar: Scaled) -> None:
        """Adds the terms of one segment, which are copied; a later one may have more lengths, never fewer.

        Args:
            y: ``(steps, batch, columns)``.
            a_bar: ā, rows ``(steps, active, batch)``.
        """
        self._inputs.append(y.transpose(0, 1).clone(memory_format=torch.contiguous_format))
        mantissa = a_bar.mantissa.movedim(0, 2).clone(memory_format=torch.contiguous_format)
        self._cotangents.append(Scaled(mantissa, a_bar.exponent.movedim(0, 2)))

    def norm(self) -> Scaled:
        """Norm of the sum, ``(active, batch, 1)`` float64, rows ``(active, batch)``."""
        found = [[(_norm(a_bar, y), exponent) for a_bar, y, exponent in rows] for rows in self._rows()]
        return _stacked(found)

    def total(self) -> Scaled:
        """The sum, ``(active, batch, rows, columns)`` in the dtype of the factors."""
        dtype = self._inputs[0].dtype
        found = [[((a_bar.mT @ y).to(dtype), exponent) for a_bar, y, exponent in rows] for rows in self._rows()]
        return _stacked(found)

    def _rows(self) -> Iterator[Iterator[tuple[Tensor, Tensor, Tensor]]]:
        """For each length, a few samples at a time: ā ``(samples, T, rows)``, y ``(samples, T, columns)``, exponent."""
        for length in range(len(self._cotangents[-1].exponent)):
            yield self._samples(length)

    def _samples(self, length: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        begun = [index for index, value in enumerate(self._cotangents) if len(value.exponent) > length]
        inputs = [self._inputs[index] for index in begun]
        cotangents = [self._cotangents[index] for index in begun]
        terms, columns = sum(y.shape[1] for y in inputs), inputs[0].shape[-1]
        numbers = terms * (cotangents[0].mantissa.shape[-1] + columns + 2 * terms)
        per_call = max(1, GRAM_NUMBERS // max(1, numbers))
        for start in range(0, len(inputs[0]), per_call):
            some = slice(start, start + per_call)
            a_bar = torch.cat([value.mantissa[length, some] for value in cotangents], dim=1).double()
            exponent = torch.cat([value.exponent[length, some] for value in cotangents], dim=1)
            y = torch.cat([value[some] for value in inputs], dim=1).double()
            of_y = row_exponent([y], 2)
            common = (exponent + row_exponent([a_bar], 2) + of_y).amax(1)
            a_bar = times_power_of_two(a_bar, exponent + of_y - common.unsqueeze(1))
            yield a_bar, times_power_of_two(y, -of_y), common.clamp(min=ZERO_EXPONENT)


def _norm(a_bar: Tensor, y: Tensor) -> Tensor:
    """‖Σ_t ā_t ⊗ y_t‖ by products of the factors with each other, where its digits allow it; ``(samples, 1)``."""
    products = (a_bar @ a_bar.mT) * (y @ y.mT)
    square, of_terms = products.sum((1, 2)), products.diagonal(dim1=1, dim2=2).sum(1)
    norm = square.clamp(min=0).sqrt()
    for index in (square < CANCELLED * of_terms).nonzero().flatten().tolist():
        norm[index] = torch.linalg.vector_norm(a_bar[index].mT @ y[index])
    return norm.unsqueeze(1)


def _stacked(by_length: list[list[tuple[Tensor, Tensor]]]) -> Scaled:
    """The samples of a length side by side, the lengths in a dimension before them."""
    mantissas = torch.stack([torch.cat([mantissa for mantissa, _ in samples]) for samples in by_length])
    return Scaled(mantissas, torch.stack([torch.cat([exponent for _, exponent in samples]) for samples in by_length]))
