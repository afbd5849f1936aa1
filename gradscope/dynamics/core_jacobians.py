"""State Jacobians that are multiplied and decomposed as dense matrices, chunk by chunk; float64 on the CPU."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from gradscope.numerics.products import ProductNorms, product_norms
from gradscope.numerics.random_streams import random_stream
from gradscope.numerics.sparse_columns import SMALLEST, sparse_columns
from gradscope.numerics.spectrum import dense_eigenvalues
from gradscope.numerics.stretching import Stretching, stretching

CHUNK_BYTES = 8 * 2**20  # Jacobians that are at hand at a time


class CoreJacobians:
    """What dense Jacobians have in common; a subclass computes them chunk by chunk.

    The core is the matrix that is really multiplied: J_t itself, or A_t of a matrix state.
    """

    size: int
    copies = 1
    period = 1
    length: int

    def __init__(self, batch: int, core_size: int) -> None:
        self.batch, self.core_size = batch, core_size
        self._first = 0
        self._chunk: tuple[Tensor, ...] = ()
        self._memory: Tensor | None = None
        self._rank = torch.full((batch,), core_size)  # an upper bound on that of every product over the chunks so far
        self._reached = torch.ones(batch, core_size, 1, dtype=torch.float64)  # entries that a product so far can move
        self._reached_step = 0

    def _write(self, start: int, stop: int, out: Tensor) -> None:
        """Writes the core matrices of steps ``start + 1 … stop`` to ``(steps, batch, core_size, core_size)``."""
        raise NotImplementedError

    def null_directions(self, start: int, stop: int) -> int:
        """Directions that the product over some steps loses by construction."""
        return 0

    @property
    def _chunk_steps(self) -> int:
        return max(1, CHUNK_BYTES // (8 * self.batch * self.core_size**2))

    def _load(self, step: int) -> None:
        """Makes the chunk of a step the one at hand."""
        if self._first < step <= self._first + len(self._chunk):
            return
        self._first = (step - 1) // self._chunk_steps * self._chunk_steps
        stop = min(self._first + self._chunk_steps, self.length)
        if self._memory is None:  # the same for all chunks: memory newly touched costs more than what is written to it
            steps = min(self._chunk_steps, self.length)
            self._memory = torch.empty((steps, self.batch, self.core_size, self.core_size), dtype=torch.float64)
        matrices = self._memory[: stop - self._first]
        with torch.no_grad():
            self._write(self._first, stop, matrices)
        if bool((matrices[..., 0] == 0).any()):
            self._bound_rank(matrices)
        self._chunk = matrices.unbind(0)

    def _bound_rank(self, matrices: Tensor) -> None:
        """A relu that is off: its row is zero, and what reached it alone is gone for good."""
        reached = self._reached if self._reached_step == self._first else torch.ones_like(self._reached)
        for matrix in (matrices != 0).double().unbind(0):
            reached = (torch.bmm(matrix, reached) > 0).double()
            self._rank = torch.minimum(self._rank, reached.sum((-2, -1)).long())
        self._reached, self._reached_step = reached, self._first + len(matrices)

    def core(self, step: int) -> Tensor:
        """The matrix of one step, ``(batch, core_size, core_size)``; valid until another chunk is loaded."""
        self._load(step)
        return self._chunk[step - self._first - 1]

    def push(self, start: int, stop: int, vectors: Tensor) -> Tensor:
        """J_stop ⋯ J_{start+1} times ``(batch, core_size, count)``."""
        while start < stop:
            self._load(start + 1)
            until = min(stop, self._first + len(self._chunk))
            for matrix in self._chunk[start - self._first : until - self._first]:
                structure = sparse_columns(matrix) if vectors.shape[-1] >= SMALLEST else None
                vectors = structure.times(vectors) if structure else torch.bmm(matrix, vectors)
            start = until
        return vectors

    @property
    def is_too_large(self) -> bool:
        """No."""
        return False

    def is_iterated(self, leading: int | None) -> bool:
        """No: the shapes but the dense one have an algebra of their own."""
        return False

    def finite_directions(self) -> int:
        """Those that are not null over the whole trajectory."""
        return self.core_size - self.null_directions(0, self.length)

    def stretching(self, count: int, cuts: Sequence[int], *, every_step: bool = False) -> Stretching:
        """By QR; what a zero row of a J_t erases is −inf, never rounding."""
        frame = random_frame(self.core_size, count).expand(self.batch, -1, -1)
        found = stretching(self.push, frame, self.length, cuts, every_step=every_step)
        erased = torch.arange(count) >= self._rank.unsqueeze(-1)
        log_stretch = torch.where(erased, torch.full_like(found.log_stretch, -math.inf), found.log_stretch)
        return Stretching(log_stretch, found.stops, found.unresolved & ~erased)

    def product_norms(self, lags: Collection[int]) -> ProductNorms:
        """By matrix products in scaled arithmetic."""
        found = product_norms(self.core, self.null_directions, self.length, lags)
        return ProductNorms(
            found.lags,
            found.log10_largest_singular_value,
            found.log10_smallest_singular_value,
            found.log10_frobenius_norm + math.log10(self.copies) / 2,
        )

    def period_eigenvalues(self, step: int, period: int) -> tuple[Tensor, Tensor]:
        """On the image of the product, which is invariant under it: null directions never reach the eigensolver."""
        start = step - period
        rank = self.core_size - self.null_directions(start, step)
        basis = random_frame(self.core_size, rank).expand(self.batch, -1, -1)
        for _ in range(2):  # the second time the image has had a whole period to align
            basis, _ = torch.linalg.qr(self._scaled_push(basis, start, step)[0])
        pushed, log_scale = self._scaled_push(basis, start, step)
        reduced = basis.mT @ pushed
        values = dense_eigenvalues(reduced)
        floor = self.core_size * torch.finfo(torch.float64).eps * torch.linalg.matrix_norm(reduced)
        log_modulus = torch.where(values.abs() > floor.unsqueeze(-1), values.abs().log(), math.nan)
        null = torch.full((self.batch, self.core_size - rank), -math.inf, dtype=torch.float64)
        log_modulus = torch.cat([log_modulus + log_scale.unsqueeze(-1), null], dim=-1)
        angle = torch.cat([values.angle(), torch.zeros_like(null)], dim=-1)
        return log_modulus.repeat_interleave(self.copies, -1), angle.repeat_interleave(self.copies, -1)

    def _scaled_push(self, vectors: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """The product applied, and the natural log of the scale taken out."""
        log_scale = torch.zeros(self.batch, dtype=torch.float64)
        for step in range(start + 1, stop + 1):
            vectors = self.push(step - 1, step, vectors)
            norm = torch.linalg.matrix_norm(vectors)
            norm = torch.where(norm > 0, norm, torch.ones_like(norm))
            vectors, log_scale = vectors / norm[:, None, None], log_scale + norm.log()
        return vectors, log_scale


def random_frame(size: int, count: int) -> Tensor:
    """Orthonormal columns in general position, the same everywhere; fewer of them are the first of more."""
    gaussian = torch.from_numpy(random_stream("probes", 0).standard_normal((count, size)))
    q: Tensor = torch.linalg.qr(gaussian.mT).Q
    return q.unsqueeze(0)
