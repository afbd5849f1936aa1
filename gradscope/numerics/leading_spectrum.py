"""Leading eigenvalues and singular values of large matrices by ARPACK, with residuals and multiplicities checked.

A Krylov space from one start vector finds a repeated value once. So what was found is taken out of the matrix and the
search is repeated, until what is left has nothing larger than what was found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradscope.errors import UsageError
from gradscope.numerics.random_streams import random_stream
from gradscope.numerics.spectrum import dense_eigenvalues, dense_singular_values

LARGEST_DENSE = 512  # states up to here are decomposed as a whole
DEFAULT_LEADING = 16
RESIDUAL = 1e-8  # ‖Jv − λv‖ by ‖J‖_F at which an eigenpair counts
SAME = 1e-9  # relative difference below which two moduli are one
Array = NDArray[Any]


def leading_eigenvalues(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` eigenvalues of largest modulus of ``(batch, n, n)``, complex128; by LAPACK where ARPACK fails.

    Raises:
        UsageError: SciPy is absent, or the count is below 1.
    """
    return _by_samples(matrix, count, _eigenvalues, dense_eigenvalues)


def leading_singular_values(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` largest singular values of ``(batch, n, n)``, float64; by LAPACK where ARPACK fails."""
    return _by_samples(matrix, count, _singular_values, dense_singular_values)


def _by_samples(matrix: Tensor, count: int, iterate: Any, dense: Any) -> Tensor:
    if count < 1:
        raise UsageError(f"Leading values: {count} were asked for; ask for one or more.")
    size = matrix.shape[-1]
    count = min(count, size)
    if count > size // 2:  # ARPACK wants a Krylov space of twice the count
        return _largest(dense(matrix), count)
    sparse = _arpack()
    found = []
    for sample in matrix.numpy():
        values = iterate(sparse, sample, count) if np.isfinite(sample).all() else None
        found.append(_largest(dense(torch.from_numpy(sample)), count) if values is None else torch.from_numpy(values))
    return torch.stack(found)


def _largest(values: Tensor, count: int) -> Tensor:
    order = values.abs().argsort(dim=-1, descending=True)[..., :count]
    return torch.take_along_dim(values, order, dim=-1)


def _eigenvalues(sparse: Any, matrix: Array, count: int) -> Array | None:
    """None where ARPACK does not converge, as for many eigenvalues of one modulus."""
    size, basis = len(matrix), np.zeros((len(matrix), 0))
    found: Array = np.zeros(0, dtype=np.complex128)
    scale = np.linalg.norm(matrix)
    while len(found) < size - 2:
        left = matrix - basis @ (basis.T @ matrix)
        left -= (left @ basis) @ basis.T
        start = random_stream("probes", len(found)).standard_normal(size)
        try:
            values, vectors = sparse.eigs(
                left, k=min(count, size - 2), which="LM", v0=start - basis @ (basis.T @ start)
            )
        except sparse.ArpackNoConvergence:
            return None
        residual = np.linalg.norm(left @ vectors - vectors * values, axis=0).max(initial=0.0)
        if not residual <= RESIDUAL * scale:
            return None
        smallest = np.sort(np.abs(found))[::-1][count - 1] if len(found) >= count else 0.0
        new = np.abs(values) > smallest * (1 + SAME)
        if not new.any() or np.abs(values).max() <= SAME * scale:
            break
        found = np.concatenate([found, values[new]])
        directions = np.concatenate([basis, vectors[:, new].real, vectors[:, new].imag], axis=1)
        u, s, _ = np.linalg.svd(directions, full_matrices=False)
        basis = u[:, s > 1e-10 * s[0]]
    order = np.argsort(-np.abs(found), kind="stable")
    padded = np.concatenate([found[order], np.zeros(count, dtype=np.complex128)])
    return padded[:count].astype(np.complex128)


def _singular_values(sparse: Any, matrix: Array, count: int) -> Array | None:
    """None where ARPACK does not converge."""
    left, found = matrix.copy(), np.zeros(0)
    scale = np.linalg.norm(matrix)
    while len(found) < len(matrix) - 2:
        start = random_stream("probes", len(found)).standard_normal(len(matrix))
        try:
            u, s, vt = sparse.svds(left, k=count, v0=start)
        except sparse.ArpackNoConvergence:
            return None
        if not np.linalg.norm(left @ vt.T - u * s, axis=0).max() <= RESIDUAL * scale:
            return None
        smallest = np.sort(found)[::-1][count - 1] if len(found) >= count else 0.0
        new = s > smallest * (1 + SAME)
        if not new.any() or s.max() <= SAME * scale:
            break
        found = np.concatenate([found, s[new]])
        left -= (u[:, new] * s[new]) @ vt[new]
    return np.concatenate([np.sort(found)[::-1], np.zeros(count)])[:count]


def _arpack() -> Any:
    try:
        import scipy.sparse.linalg
    except ImportError:
        raise UsageError(
            f"States above {LARGEST_DENSE} numbers need SciPy for their leading eigenvalues; install it with "
            "pip install 'gradscope-cli[large]', or ask for a smaller --hidden-size."
        ) from None
    return scipy.sparse.linalg
