"""J_t = D(a_t): nothing is ever multiplied out or decomposed."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from gradscope.dynamics.program.jacobians import ProgramJacobians
from gradscope.dynamics.program.program import Program
from gradscope.dynamics.segments import Segment
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.logarithms import log10_root_sum_square
from gradscope.numerics.products import ProductNorms
from gradscope.numerics.spectrum import Spectrum
from gradscope.numerics.stretching import LONGEST_BLOCK, Stretching

CHUNK_BYTES = 8 * 2**20  # factors that are at hand at a time


class DiagonalJacobians:
    """J_t = D(a_t); a complex factor is a rotation and scaling of two real numbers, and counts twice."""

    period = 1

    def __init__(self, trajectory: Trajectory, program: Program) -> None:
        self._trajectory, self._program = trajectory, program
        self._is_complex = trajectory.model.state_spec[0].is_complex
        self.size, self.copies = trajectory.model.state_size, 2 if self._is_complex else 1
        self.length, self.batch = trajectory.length, trajectory.batch

    def _factors(self, start: int, stop: int) -> Tensor:
        """a_t of steps ``start + 1 … stop``, ``(steps, batch, units)``."""
        with torch.no_grad():
            a = ProgramJacobians(self._program, self._trajectory.segment(Segment(start, stop, 1))).diagonal()
        return a.to("cpu", torch.complex128 if a.is_complex() else torch.float64)

    def eigenvalues(self, step: int, leading: int | None = None) -> Spectrum:
        """The factors, and their conjugates."""
        (a,) = self._factors(step - 1, step)
        values = torch.cat([a, a.conj()], dim=-1) if self._is_complex else torch.complex(a, torch.zeros_like(a))
        return Spectrum.simple(values)

    def singular_values(self, step: int, leading: int | None = None) -> Spectrum:
        """The factors' moduli."""
        (a,) = self._factors(step - 1, step)
        return Spectrum(a.abs(), torch.full((a.shape[-1],), self.copies))

    def matrix(self, step: int) -> Tensor:
        """A diagonal matrix, of 2 × 2 blocks for complex factors."""
        (a,) = self._factors(step - 1, step)
        if not self._is_complex:
            return torch.diag_embed(a)
        rotations = torch.stack([torch.stack([a.real, -a.imag], -1), torch.stack([a.imag, a.real], -1)], -2)
        return torch.stack([torch.block_diag(*sample) for sample in rotations])

    def period_eigenvalues(self, step: int, period: int) -> tuple[Tensor, Tensor]:
        """Products of the factors."""
        a = self._factors(step - period, step)
        log_modulus, angle = a.abs().log().sum(0), a.angle().sum(0)
        angle = torch.atan2(angle.sin(), angle.cos())
        if not self._is_complex:
            return log_modulus, angle
        return torch.cat([log_modulus] * 2, dim=-1), torch.cat([angle, -angle], dim=-1)

    @property
    def is_too_large(self) -> bool:
        """No."""
        return False

    def is_iterated(self, leading: int | None) -> bool:
        """No: there is nothing to decompose."""
        return False

    def finite_directions(self) -> int:
        """All."""
        return self.size // self.copies

    def stretching(self, count: int, cuts: Sequence[int], *, every_step: bool = False) -> Stretching:
        """Sums of log|a_t|, the units with the largest from the first cut on."""
        longest = 1 if every_step else LONGEST_BLOCK
        stops = sorted({*range(longest, self.length, longest), *cuts, self.length})
        log_stretch = torch.stack([self._log_factors(start, stop).sum(0) for start, stop in pairwise([0, *stops])])
        since = stops.index(min(cuts, default=self.length)) + 1
        total = log_stretch[since if since < len(stops) else 0 :].sum(0)
        order = total.argsort(dim=-1, descending=True)[:, :count]
        chosen = torch.take_along_dim(log_stretch, order.unsqueeze(0), dim=-1)
        return Stretching(chosen, tuple(stops), torch.zeros(self.batch, count, dtype=torch.bool))

    def _log_factors(self, start: int, stop: int) -> Tensor:
        return self._factors(start, stop).abs().log()

    def product_norms(self, lags: Collection[int]) -> ProductNorms:
        """From the running sums of log10|a|."""
        wanted, length = sorted(set(lags)), self.length
        total = torch.zeros(self.batch, self.size // self.copies, dtype=torch.float64)
        found: list[Tensor] = []
        for start, stop in self._reversed_chunks():
            sums = total + self._log_factors(start, stop).flip(0).cumsum(0) / math.log(10)
            found += [sums[lag - (length - stop) - 1] for lag in wanted if length - stop < lag <= length - start]
            total = sums[-1]
        values = torch.stack(found)
        frobenius = log10_root_sum_square(values, dim=-1) + math.log10(self.copies) / 2
        return ProductNorms(tuple(wanted), values.amax(-1), values.amin(-1), frobenius)

    def _reversed_chunks(self) -> list[tuple[int, int]]:
        steps = max(1, CHUNK_BYTES // (8 * self.batch * self.size))
        return [(start, min(start + steps, self.length)) for start in range(0, self.length, steps)][::-1]
