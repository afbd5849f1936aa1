"""The covariance of a linear recursion s_{t+1} = M s_t + g e_{t+1} that is driven by white noise e of unit variance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]


def covariance(matrix: Complex, first: Complex, gain: Complex, length: int) -> Complex:
    """E[s_T s_Tᴴ] with s_1 = ``first`` · e_1, by doubling (M, N) → (M², M N Mᴴ + N).

    Unlike a sum over lags it adds what is of the size of the result, also where R(Δ) oscillates.

    Args:
        matrix: M, ``(n, n)``.
        first: Response of s_1 to the first noise, ``(n,)``.
        gain: g, ``(n,)``.
        length: T, at least 1.

    Cost:
        O(n³ log T).

    Example:
        >>> one = np.ones(1, complex)
        >>> float(covariance(0.5 * np.eye(1, dtype=complex), one, one, 3)[0, 0].real)  # 1 + 1/4 + 1/16
        1.3125
    """
    M, N, P = matrix, np.outer(gain, gain.conj()), np.outer(first, first.conj())
    steps = length - 1
    while steps:
        if steps & 1:
            P = M @ P @ M.conj().T + N
        M, N, steps = M @ M, M @ N @ M.conj().T + N, steps >> 1
    return P
