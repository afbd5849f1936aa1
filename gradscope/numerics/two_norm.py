"""The largest singular value of large matrices by Golub–Kahan–Lanczos bidiagonalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.numerics.random_streams import random_stream

SMALLEST_ITERATED = 384  # below it the whole spectrum of the Gram matrix is as cheap
LONGEST = 160  # vectors of a Krylov space, above which the dense solver is
EVERY = 8  # steps between two looks at the Ritz values
RESIDUAL = 1e-11  # ‖Aᵀu − σv‖ by σ at which a value counts; it lies no further from a singular value of A


def two_norm(matrix: Tensor) -> Tensor:
    """The largest singular value of ``(*batch, n, n)`` float64, ``(*batch)``; NaN where a matrix is not finite."""
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    finite = torch.isfinite(flat.sum((-2, -1))) | torch.isfinite(flat).all(-1).all(-1)
    if flat.shape[-1] < SMALLEST_ITERATED:
        found = by_gram_matrix(torch.where(finite[:, None, None], flat, 0.0))
    else:
        norms = (_by_lanczos(one) if known else one.new_zeros(()) for one, known in zip(flat, finite, strict=True))
        found = torch.stack(list(norms))
    return torch.where(finite, found, torch.nan).reshape(matrix.shape[:-2])


def by_gram_matrix(matrix: Tensor) -> Tensor:
    """The square root of the Gram matrix's largest eigenvalue: the slow twin."""
    largest: Tensor = torch.linalg.eigvalsh(matrix @ matrix.mT)[..., -1]
    return largest.clamp(min=0.0).sqrt()


def _by_lanczos(matrix: Tensor) -> Tensor:
    """From a random start, so that the largest is not missed; every vector is orthogonalised against all before it."""
    size = matrix.shape[-1]
    transposed = matrix.mT
    start = torch.from_numpy(random_stream("probes", 0).standard_normal(size))
    left, right = matrix.new_zeros(LONGEST, size), matrix.new_zeros(LONGEST + 1, size)
    bidiagonal = matrix.new_zeros(LONGEST, LONGEST + 1)
    right[0] = start / torch.linalg.vector_norm(start)
    for step in range(LONGEST):
        u = _orthogonal(torch.mv(matrix, right[step]), left[:step])
        alpha = torch.linalg.vector_norm(u)
        left[step] = u / alpha
        v = _orthogonal(torch.mv(transposed, left[step]), right[: step + 1])
        beta = torch.linalg.vector_norm(v)
        right[step + 1] = v / beta
        bidiagonal[step, step], bidiagonal[step, step + 1] = alpha, beta
        if (step + 1) % EVERY == 0:
            known = bidiagonal[: step + 1, : step + 1]
            if not bool(torch.isfinite(known).all()):  # an invariant subspace was met: 0 / 0
                break
            u_ritz, values, _ = torch.linalg.svd(known)
            if bool(beta * u_ritz[step, 0].abs() <= RESIDUAL * values[0]):
                largest: Tensor = values[0]
                return largest
    return by_gram_matrix(matrix)


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """Without its part along the basis; twice is enough."""
    for _ in range(2):
        vector = vector - torch.mv(basis.mT, torch.mv(basis, vector))
    return vector
