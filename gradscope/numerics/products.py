"""Products ∂s_T/∂s_t = J_T ⋯ J_{t+1} of state Jacobians, at any length."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.numerics.scaled import Scaled

GRAM_BYTES = 32 * 2**20  # products whose norms are taken together
LOST = 14.0  # decades that one inverse may add beyond what the product lost: more is rounding


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
    matrix: Callable[[int], Tensor], null: Callable[[int, int], int], length: int, lags: Collection[int]
) -> ProductNorms:
    """Norms of the products of dense matrices.

    The smallest singular value is one over the largest of the product of the inverses: read off the product itself it
    would be rounding as soon as the two lie 16 decades apart.

    Args:
        matrix: ``matrix(step)`` is J_step, ``(batch, n, n)`` float64; called from the last step to the first.
        null: ``null(start, stop)``, directions that the product over those steps loses by construction.
        length: T.
        lags: Which k.
    """
    wanted, longest = set(lags), max(lags)
    batch, size, _ = matrix(length).shape
    eye = torch.eye(size, dtype=torch.float64).expand(batch, size, size)
    product, inverse = Scaled.of(eye, 1), Scaled.of(eye, 1)
    resolved = torch.ones(batch, dtype=torch.bool)
    singular = torch.zeros(batch, dtype=torch.bool)
    norms = _Norms(max(1, GRAM_BYTES // (16 * batch * size * size)))
    for lag in range(1, longest + 1):
        step = length - lag + 1
        jacobian = matrix(step)
        product = Scaled(product.mantissa @ jacobian, product.exponent).normalized()
        if not bool(singular.all()):
            before = inverse.log10_norm()
            solved, info = torch.linalg.solve_ex(jacobian, inverse.mantissa)
            inverse = Scaled(solved, inverse.exponent).normalized()
            singular |= (info != 0) | (null(step - 1, length) > 0)
            gained = inverse.log10_norm() - before + torch.log10(torch.linalg.matrix_norm(jacobian))
            resolved &= gained < LOST
        if lag in wanted:
            norms.add(product, inverse, singular, resolved)
    largest, smallest, frobenius = norms.result()
    return ProductNorms(tuple(sorted(wanted)), largest, smallest, frobenius)


class _Norms:
    """Collects products and takes their norms together."""

    def __init__(self, together: int) -> None:
        self._together = together
        self._waiting: list[tuple[Scaled, Scaled, Tensor, Tensor]] = []
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, product: Scaled, inverse: Scaled, singular: Tensor, resolved: Tensor) -> None:
        """One lag."""
        self._waiting.append((product, inverse, singular.clone(), resolved.clone()))
        if len(self._waiting) >= self._together:
            self._flush()

    def _flush(self) -> None:
        products, inverses, singular, resolved = zip(*self._waiting, strict=True)
        self._waiting = []
        smallest = -_log10_two_norm(list(inverses))
        smallest = torch.where(torch.stack(resolved), smallest, torch.full_like(smallest, math.nan))
        smallest = torch.where(torch.stack(singular), torch.full_like(smallest, -math.inf), smallest)
        frobenius = torch.stack([product.log10_norm() for product in products])
        self._found.append((_log10_two_norm(list(products)), smallest, frobenius))

    def result(self) -> tuple[Tensor, ...]:
        """Largest and smallest singular value and Frobenius norm as log10, each ``(lags, batch)``."""
        if self._waiting:
            self._flush()
        return tuple(torch.cat(parts) for parts in zip(*self._found, strict=True))


def _log10_two_norm(matrices: list[Scaled]) -> Tensor:
    """log10 of the largest singular value: the square root of the Gram matrix's largest eigenvalue."""
    mantissa = torch.stack([m.mantissa for m in matrices])
    exponent = torch.stack([m.exponent for m in matrices])
    gram = mantissa @ mantissa.mT
    finite = torch.isfinite(gram).all(-1).all(-1)
    gram = torch.where(finite[..., None, None], gram, torch.zeros_like(gram))
    largest = torch.linalg.eigvalsh(gram)[..., -1].clamp(min=0.0)
    found = torch.log10(largest) / 2 + exponent.double() * math.log10(2)
    return torch.where(finite, found, torch.full_like(found, math.nan))
