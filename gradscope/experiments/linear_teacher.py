"""The teacher of the linear teacher–student task: h_t = A h_{t−1} + B x_t, y_t = C h_t + D x_t, scalar x and y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradscope.errors import UsageError
from gradscope.numerics.random_streams import random_stream

WIDTH_OF_RING = 0.3  # of 1 − ν_0: moduli lie in [.99, .993] at ν_0 = .99


@dataclass(frozen=True)
class LinearTeacher:
    """A real linear system whose eigenvalues are conjugate pairs near one modulus.

    Attributes:
        A: ``(n, n)``.
        B: ``(n,)``.
        C: ``(n,)``.
        D: ``()``.
        poles: λ_k of each pair, the one with the positive imaginary part, ``(n / 2,)`` complex128.
        residues: r_k with C A^n B = Re Σ_k r_k λ_k^n, ``(n / 2,)`` complex128.
    """

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    poles: Tensor
    residues: Tensor


def linear_teacher(modulus: float, pairs: int = 2, seed: int = 0, *, draws: int = 10_000) -> LinearTeacher:
    """A_ij ~ N(0, 1/n) with its eigenvalues moved to |λ| = ν_0 + 0.3 (1 − ν_0) tanh|λ|; eigenvectors and angles kept.

    A is drawn again until all its eigenvalues are complex (one draw in 7 at n = 4). B, D ~ N(0, 1), C ~ N(0, 1/n).

    Args:
        modulus: ν_0.
        pairs: Conjugate pairs, n / 2.
        seed: Of the stream ``weights``.
        draws: Of A, at most.

    Raises:
        UsageError: A modulus outside (0, 1), no pair, or more pairs than the draws contain.

    Source:
        Zucchet & Orvieto (2024), arXiv:2405.21064, section 4.2 and appendix C.3, figures 4 and 9.
    """
    if not 0 < modulus < 1:
        raise UsageError(f"The teacher's modulus should lie between 0 and 1, exclusive, but {modulus:g} was given.")
    if pairs < 1:
        raise UsageError(f"The teacher should have at least one pair of eigenvalues, but pairs={pairs} was given.")
    random, size = random_stream("weights", seed), 2 * pairs
    for _ in range(draws):
        drawn = random.standard_normal((size, size)) / np.sqrt(size)
        values, vectors = np.linalg.eig(drawn)
        if not np.isreal(values).any():
            break
    else:
        raise UsageError(f"No matrix of {pairs} complex pairs in {draws} draws; fewer pairs are found sooner.")
    values = (modulus + WIDTH_OF_RING * (1 - modulus) * np.tanh(abs(values))) * np.exp(1j * np.angle(values))
    inverse = np.linalg.inv(vectors)
    B, C = random.standard_normal(size), random.standard_normal(size) / np.sqrt(size)
    upper = values.imag > 0
    return LinearTeacher(
        A=torch.from_numpy(((vectors * values) @ inverse).real.copy()),
        B=torch.from_numpy(B),
        C=torch.from_numpy(C),
        D=torch.tensor(random.standard_normal(), dtype=torch.float64),
        poles=torch.from_numpy(values[upper]),
        residues=torch.from_numpy((2 * (C @ vectors) * (inverse @ B))[upper]),
    )
