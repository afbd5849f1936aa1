"""Numbers far outside a dtype's range: a mantissa tensor and an integer power of two.

A ``Scaled`` value is ``mantissa · 2**exponent``. The exponent has the leading dimensions of the mantissa (one per
length, sample, …), so that a row is rescaled as a whole; multiplying by a power of two is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

ZERO_EXPONENT = -(1 << 28)  # the exponent of a row of zeros: below every other, so that a sum ignores it


class _Format(NamedTuple):
    integer: torch.dtype
    fraction_bits: int
    bias: int


_FORMATS = {
    torch.float32: _Format(torch.int32, 23, 127),
    torch.float64: _Format(torch.int64, 52, 1023),
}


def power_of_two(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    """2**exponent, exact, for whole exponents in the normal range of ``dtype``; 0 below it.

    Built from the bits: ``exp2`` and ``pow`` do not promise exact powers.
    """
    form = _FORMATS[dtype]
    biased = exponent.clamp(min=-form.bias, max=form.bias) + form.bias
    return (biased.to(form.integer) << form.fraction_bits).view(dtype)


def real_view(x: Tensor) -> Tensor:
    """A complex tensor as pairs of reals in a last dimension; a real one as it is."""
    return torch.view_as_real(x) if x.is_complex() else x


def _entries(x: Tensor, row_dims: int) -> Tensor:
    """The real numbers of each row, in one last dimension."""
    x = real_view(x)
    return x.reshape(*x.shape[:row_dims], -1)


def expand_like(row: Tensor, x: Tensor) -> Tensor:
    """``row`` with trailing dimensions of size one, so that it multiplies the rows of ``x``."""
    return row.reshape(row.shape + (1,) * (x.dim() - row.dim()))


def largest_entry(x: Tensor, row_dims: int) -> Tensor:
    """Largest absolute entry of each row; NaN where there is one."""
    return _entries(x, row_dims).abs().amax(-1)


def row_exponent(mantissas: Sequence[Tensor], row_dims: int) -> Tensor:
    """The power of two just above the largest absolute entry of each row, int32; ``ZERO_EXPONENT`` for zero rows.

    Args:
        mantissas: Tensors with the same ``row_dims`` leading dimensions, taken together.
        row_dims: How many leading dimensions make up a row's index.
    """
    largest = torch.stack([largest_entry(m, row_dims) for m in mantissas]).amax(0)
    exponent = torch.frexp(largest).exponent.to(torch.int32)
    return torch.where(largest == 0, torch.full_like(exponent, ZERO_EXPONENT), exponent)


@dataclass(frozen=True)
class Scaled:
    """``mantissa · 2**exponent``.

    Attributes:
        mantissa: ``(*rows, *features)``, real or complex.
        exponent: ``(*rows)``, int32.
    """

    mantissa: Tensor
    exponent: Tensor

    @classmethod
    def of(cls, x: Tensor, row_dims: int) -> Scaled:
        """A plain tensor, with exponents 0."""
        return cls(x, torch.zeros(x.shape[:row_dims], dtype=torch.int32, device=x.device))

    def normalized(self) -> Scaled:
        """The same value with the largest entry of each row in [1/2, 1)."""
        shift = row_exponent([self.mantissa], self.exponent.dim())
        zero = shift == ZERO_EXPONENT
        mantissa = times_power_of_two(self.mantissa, torch.where(zero, torch.zeros_like(shift), -shift))
        return Scaled(mantissa, torch.where(zero, shift, self.exponent + shift))

    def at(self, exponent: Tensor) -> Tensor:
        """The mantissa that belongs to another exponent; entries below the dtype's range become 0."""
        return times_power_of_two(self.mantissa, self.exponent - exponent)

    def norm(self) -> Scaled:
        """Euclidean norm of each row, ``(*rows, 1)`` float64."""
        entries = _entries(self.mantissa, self.exponent.dim())
        return Scaled(torch.linalg.vector_norm(entries, dim=-1, keepdim=True, dtype=torch.float64), self.exponent)

    def log10_norm(self) -> Tensor:
        """log10 of the Euclidean norm of each row, float64; −inf for a zero row."""
        return torch.log10(self.norm().mantissa.squeeze(-1)) + self.exponent.double() * math.log10(2)

    def log10_largest_entry(self) -> Tensor:
        """log10 of the largest absolute entry of each row, float64; −inf for a zero row."""
        largest = largest_entry(self.mantissa, self.exponent.dim())
        return torch.log10(largest.double()) + self.exponent.double() * math.log10(2)


def times_power_of_two(x: Tensor, exponent: Tensor) -> Tensor:
    """``x · 2**exponent`` row by row, in two factors so that a shift wider than the normal range is still exact."""
    real = x.real.dtype if x.is_complex() else x.dtype
    half = torch.div(exponent, 2, rounding_mode="floor")
    return x * expand_like(power_of_two(half, real), x) * expand_like(power_of_two(exponent - half, real), x)


def add(first: Scaled, second: Scaled) -> Scaled:
    """Sum of two scaled values with the same rows, at the larger of the two exponents."""
    exponent = torch.maximum(first.exponent, second.exponent)
    return Scaled(first.at(exponent) + second.at(exponent), exponent)
