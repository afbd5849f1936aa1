"""Draws parameters from one frozen random stream, in float64 on the CPU, in the order the class asks for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gradscope.numerics.random_streams import random_stream


class Initializer:
    """Source of initial parameter values for one model.

    Args:
        seed: Seed of the ``weights`` stream.
    """

    def __init__(self, seed: int) -> None:
        self._random = random_stream("weights", seed)

    def uniform(self, *shape: int, bound: float) -> nn.Parameter:
        """U(−bound, bound), the default of ``torch.nn``'s recurrent modules with bound = 1/√hidden_size."""
        return nn.Parameter(torch.from_numpy(self._random.uniform(-bound, bound, shape)))

    def normal(self, *shape: int, std: float = 1.0) -> nn.Parameter:
        """N(0, std²)."""
        return nn.Parameter(torch.from_numpy(std * self._random.standard_normal(shape)))

    def unit_uniform(self, *shape: int) -> Tensor:
        """U[0, 1), a plain tensor for initialisations by formula."""
        return torch.from_numpy(self._random.random_sample(shape))

    def orthogonal(self, size: int) -> Tensor:
        """A Haar-distributed orthogonal matrix, by Householder reflections of a Gaussian one.

        Written with elementwise operations alone: LAPACK's blocked QR rounds differently with the thread count.
        """
        return torch.from_numpy(_haar(self._random.standard_normal((size, size))))


def _haar(
    gaussian: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Q of the QR decomposition with a positive diagonal of R (Stewart 1980; Mezzadri 2007)."""
    size = len(gaussian)
    r, q, signs = gaussian.copy(), np.eye(size), np.ones(size)
    for column in range(size):
        v = r[column:, column].copy()
        sign = 1.0 if v[0] >= 0 else -1.0
        v[0] += sign * np.sqrt((v * v).sum())
        v /= np.sqrt((v * v).sum())
        r[column:] -= 2 * v[:, None] * (v[:, None] * r[column:]).sum(axis=0)
        q[:, column:] -= 2 * (q[:, column:] * v).sum(axis=1)[:, None] * v
        signs[column] = -sign
    return q * signs
