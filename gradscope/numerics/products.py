"""Products ∂s_T/∂s_t = J_T ⋯ J_{t+1} of state Jacobians, at any length."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.numerics.repeated_inverse import RepeatedInverse
from gradscope.numerics.scaled import times_power_of_two
from gradscope.numerics.sparse_columns import SMALLEST, SparseColumns, sparse_columns
from gradscope.numerics.two_norm import SMALLEST_ITERATED, two_norm

GRAM_BYTES = 32 * 2**20  # small products whose norms are taken together
LOST = 14.0  # decades that one inverse may add beyond what the product lost: more is rounding
WIDEST_SHIFT = 64  # powers of two by which a mantissa may leave 1 before it is rescaled


@dataclass(frozen=True)
class ProductNorms:
    """Of ∂s_T/∂s_t for some lags k = T − t.

    Attributes:
        lags: Ascending, from 1.
        log10_largest_singular_value: ``(lags, batch)`` float64.
        log10_smallest_singular_value: The same; −inf for an exactly singular product, NaN where rounding decides.
        log10_frobenius_norm: The same.
    """

    lags: tuple[int, ...]
    log10_largest_singular_value: Tensor
    log10_smallest_singular_value: Tensor
    log10_frobenius_norm: Tensor


def product_norms(
    matrix: Callable[[int], Tensor],
    null: Callable[[int, int], int],
    length: int,
    lags: Collection[int],
    smallest_structured: int = SMALLEST,
) -> ProductNorms:
    """Norms of the products of dense matrices.

    The smallest singular value is one over the largest of the product of the inverses: read off the product itself it
    would be rounding as soon as the two lie 16 decades apart.

    Args:
        matrix: ``matrix(step)`` is J_step, ``(batch, n, n)`` float64; called from the last step to the first.
        null: ``null(start, stop)``, directions that the product over those steps loses by construction.
        length: T.
        lags: Which k.
        smallest_structured: From which size on the matrices' structure is looked for.
    """
    wanted, longest = set(lags), max(lags)
    batch, size, _ = matrix(length).shape
    eye = torch.eye(size, dtype=torch.float64).expand(batch, size, size)
    transposed, inverse = _Product.of(eye), _Product.of(eye)  # the transposed product, so that columns of J are rows
    resolved = torch.ones(batch, dtype=torch.bool)
    singular = torch.zeros(batch, dtype=torch.bool)
    repeated, norms = RepeatedInverse(smallest_structured), _Norms(size)
    for lag in range(1, longest + 1):
        step = length - lag + 1
        jacobian = matrix(step)
        structure = sparse_columns(jacobian, smallest_structured)
        mantissa = transposed.mantissa
        mantissa = structure.transposed_times(mantissa) if structure else torch.bmm(jacobian.mT, mantissa)
        transposed = _Product.scaled(mantissa, transposed.exponent)
        if bool((resolved & ~singular).any()):
            before = inverse.log10_norm
            solved, info = _solve(jacobian, structure, repeated, inverse.mantissa)
            inverse = _Product.scaled(solved, inverse.exponent)
            gained = inverse.log10_norm - before + torch.log10(torch.linalg.matrix_norm(jacobian))
            resolved &= gained < LOST
            singular |= (info != 0) | (null(step - 1, length) > 0)
        elif not bool(singular.all()):  # rounding decides, but an exact zero may still come
            singular |= (torch.linalg.lu_factor_ex(jacobian).info != 0) | (null(step - 1, length) > 0)
        if lag in wanted:
            norms.add(transposed, inverse, singular, resolved)
    largest, smallest, frobenius = norms.result()
    return ProductNorms(tuple(sorted(wanted)), largest, smallest, frobenius)


def _solve(
    matrix: Tensor, structure: SparseColumns | None, repeated: RepeatedInverse, right: Tensor
) -> tuple[Tensor, Tensor]:
    """The solution of ``matrix @ x = right`` the cheapest way, and a number that is not 0 for a singular matrix."""
    solution = structure.solve(right) if structure else None
    if solution is not None:
        return solution
    solved = repeated.solve(matrix, right)
    if solved is not None:
        return solved, torch.zeros(len(matrix), dtype=torch.int32)
    solved, info = torch.linalg.solve_ex(matrix, right)
    return solved, info


@dataclass(frozen=True)
class _Product:
    """``mantissa · 2**exponent`` for each sample, rescaled where the mantissa is far from 1.

    Attributes:
        mantissa: ``(batch, n, n)``.
        exponent: ``(batch,)`` int32.
        norm: Frobenius norm of the mantissa, ``(batch,)``.
    """

    mantissa: Tensor
    exponent: Tensor
    norm: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> _Product:
        """A plain matrix."""
        return cls.scaled(matrix, torch.zeros(len(matrix), dtype=torch.int32))

    @classmethod
    def scaled(cls, mantissa: Tensor, exponent: Tensor) -> _Product:
        """The same value, with a mantissa of moderate size; exact."""
        norm = torch.linalg.vector_norm(mantissa, dim=(-2, -1))
        shift = torch.frexp(norm).exponent.to(torch.int32)
        far = (shift.abs() > WIDEST_SHIFT) & torch.isfinite(norm)
        if not bool(far.any()):
            return cls(mantissa, exponent, norm)
        shift = torch.where(far, shift, torch.zeros_like(shift))
        mantissa = times_power_of_two(mantissa, -shift)
        return cls(mantissa, exponent + shift, torch.linalg.vector_norm(mantissa, dim=(-2, -1)))

    @property
    def log10_norm(self) -> Tensor:
        """Of the Frobenius norm."""
        return torch.log10(self.norm) + self.log10_scale

    @property
    def log10_scale(self) -> Tensor:
        """Of the power of two."""
        return self.exponent.double() * math.log10(2)


class _Norms:
    """Takes the norms of products; those of small ones together."""

    def __init__(self, size: int) -> None:
        self._size, self._waiting_bytes = size, 0
        self._waiting: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._found: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []

    def add(self, product: _Product, inverse: _Product, singular: Tensor, resolved: Tensor) -> None:
        """One lag."""
        useless = singular | ~resolved
        of_inverse = inverse.mantissa
        self._add_matrices(product.mantissa)
        self._add_matrices(torch.where(useless[:, None, None], 0.0, of_inverse) if bool(useless.any()) else of_inverse)
        self._found.append(
            (product.log10_scale, inverse.log10_scale, product.log10_norm, singular.clone(), resolved.clone())
        )

    def _add_matrices(self, matrices: Tensor) -> None:
        self._waiting.append(matrices)
        self._waiting_bytes += matrices.nbytes
        if self._size >= SMALLEST_ITERATED or self._waiting_bytes >= GRAM_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._norms.append(two_norm(torch.stack(self._waiting)))
        self._waiting, self._waiting_bytes = [], 0

    def result(self) -> tuple[Tensor, Tensor, Tensor]:
        """Largest and smallest singular value and Frobenius norm as log10, each ``(lags, batch)``."""
        self._flush()
        of_products, of_inverses = torch.log10(torch.cat(self._norms)).unflatten(0, (-1, 2)).unbind(1)
        scales, inverse_scales, frobenius, singular, resolved = map(torch.stack, zip(*self._found, strict=True))
        smallest = torch.where(resolved, -(of_inverses + inverse_scales), math.nan)
        smallest = torch.where(singular, -math.inf, smallest)
        return of_products + scales, smallest, frobenius
