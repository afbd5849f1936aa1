"""Leading eigenvalues and singular values of large matrices by ARPACK, with the residual checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradscope.errors import Unmeasurable, UsageError

LARGEST_DENSE = 512  # states up to here are decomposed as a whole
DEFAULT_LEADING = 16
RESIDUAL = 1e-8  # ‖Jv − λv‖ by ‖J‖_F at which an eigenpair counts


def leading_eigenvalues(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` eigenvalues of largest modulus of ``(batch, n, n)``, complex128.

    Raises:
        UsageError: SciPy is absent.
        Unmeasurable: ARPACK did not converge, or a residual is too large.
    """
    sparse = _arpack()
    found = []
    for sample in matrix.numpy():
        start = np.ones(len(sample))
        try:
            values, vectors = sparse.eigs(sample, k=count, which="LM", v0=start, tol=0)
        except sparse.ArpackNoConvergence as error:
            raise _not_converged(count, len(sample)) from error
        residual = np.linalg.norm(sample @ vectors - vectors * values, axis=0).max()
        if not residual <= RESIDUAL * np.linalg.norm(sample):
            raise _not_converged(count, len(sample))
        found.append(torch.from_numpy(values.astype(np.complex128)))
    return torch.stack(found)


def leading_singular_values(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` largest singular values of ``(batch, n, n)``, float64."""
    sparse = _arpack()
    found = []
    for sample in matrix.numpy():
        try:
            u, s, vt = sparse.svds(sample, k=count, v0=np.ones(len(sample)), tol=0)
        except sparse.ArpackNoConvergence as error:
            raise _not_converged(count, len(sample)) from error
        if not np.linalg.norm(sample @ vt.T - u * s, axis=0).max() <= RESIDUAL * np.linalg.norm(sample):
            raise _not_converged(count, len(sample))
        found.append(torch.from_numpy(s.astype(np.float64)))
    return torch.stack(found)


def _not_converged(count: int, size: int) -> Unmeasurable:
    return Unmeasurable(
        f"ARPACK did not find {count} leading values of a state of {size} numbers to a relative residual of "
        f"{RESIDUAL:g}; ask for fewer with --leading, or for a smaller state."
    )


def _arpack() -> Any:
    try:
        import scipy.sparse.linalg
    except ImportError:
        raise UsageError(
            f"States above {LARGEST_DENSE} numbers need SciPy for their leading eigenvalues; install it with "
            "pip install 'gradscope-cli[large]', or ask for a smaller --hidden-size."
        ) from None
    return scipy.sparse.linalg
