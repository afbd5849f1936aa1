"""J_t of one recurrence by blocks: assembled from a chain's diagonals, or by autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from gradscope.contract.block_matrix import BlockMatrix
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, as_state, as_vector
from gradscope.dynamics.core_jacobians import CoreJacobians
from gradscope.dynamics.decomposed_cells import DecomposedCells
from gradscope.dynamics.program.jacobians import ProgramJacobians
from gradscope.dynamics.segments import Segment, SegmentStates
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.leading_spectrum import (
    DEFAULT_LEADING,
    LARGEST_DENSE,
    leading_eigenvalues,
    leading_singular_values,
)
from gradscope.numerics.spectrum import Spectrum, dense_eigenvalues, dense_singular_values


def jacobians_by_autograd(model: Recurrence, here: SegmentStates) -> Tensor:
    """The definition, for every cell: ``vmap(jacrev(step))`` over the steps and samples of a segment.

    ``(steps, batch, n, n)``, over the real numbers of the state.
    """

    def jacobian(vector: Tensor, u: dict[str, Tensor], time: Tensor) -> Tensor:
        batched = {name: value.unsqueeze(0) for name, value in u.items()}

        def advance(before: Tensor) -> Tensor:
            new = model.step(as_state(before.unsqueeze(0), model.state_spec), batched, time)
            return as_vector({block.name: new[block.name] for block in model.state_spec})[0]

        found: Tensor = jacrev(advance)(vector)
        return found

    before = as_vector({block.name: here.before[block.name] for block in model.state_spec}, batch_dims=2)
    try:
        with DecomposedCells():
            return vmap(vmap(jacobian, in_dims=(0, 0, None)))(before, here.u, here.times).detach()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError):  # torch.func refuses with one of them what it cannot batch
        return _jacobians_row_by_row(model, here, before)


def _jacobians_row_by_row(model: Recurrence, here: SegmentStates, before: Tensor) -> Tensor:
    """The same by one backward pass a step and number of the state: right for any code, and slow."""
    found = before.new_empty((*before.shape, before.shape[-1]))
    for index in range(len(before)):
        with torch.enable_grad():
            leaf = before[index].detach().clone().requires_grad_()
            u = {name: value[index] for name, value in here.u.items()}
            new = model.step(as_state(leaf, model.state_spec), u, here.times[index])
            after = as_vector({block.name: new[block.name] for block in model.state_spec})
            for row in range(after.shape[-1]):
                grad = None
                if after.requires_grad:
                    (grad,) = torch.autograd.grad(after[:, row].sum(), leaf, retain_graph=True, allow_unused=True)
                found[index, :, row] = 0.0 if grad is None else grad
    return found


class DenseJacobians(CoreJacobians):
    """Of a chain, from its diagonals; of any other cell, by autograd.

    Args:
        trajectory: Where.
        accelerated: False takes no algebra of the architecture's own, the definition.
        part: Numbers of the state, complex ones as one, that no others see; all by default.
    """

    def __init__(self, trajectory: Trajectory, *, accelerated: bool, part: tuple[int, ...] = ()) -> None:
        self._part = _real_positions(trajectory.model.state_spec, part)
        super().__init__(trajectory.batch, len(self._part) or trajectory.model.state_size)
        self._trajectory, self._model, self._accelerated = trajectory, trajectory.model, accelerated
        self.size, self.length, self.period = self.core_size, trajectory.length, self._model.period

    def blocks(self, start: int, stop: int, whole: Tensor | None = None) -> BlockMatrix:
        """J_t of steps ``start + 1 … stop`` by blocks of the state, leading dimensions ``(steps, batch)``.

        Args:
            start: The step before the first.
            stop: The last step.
            whole: Where to write the dense matrices, ``(steps, batch, n, n)``; by blocks alone without it.
        """
        with torch.no_grad():
            here = self._trajectory.segment(Segment(start, stop, 1))
            program = self._trajectory.program
            if program is not None:
                return ProgramJacobians(program, here).blocks(self._model.state_spec, whole)
            return _cut(jacobians_by_autograd(self._model, here), self._model.state_spec)

    def _write(self, start: int, stop: int, out: Tensor) -> None:
        if self._part:
            whole = self.blocks(start, stop).dense()
            out.copy_(whole[..., self._part, :][..., self._part])
            return
        like = self._trajectory.x
        direct = like.device == out.device and like.dtype == out.dtype
        whole = out if direct else torch.empty_like(out, dtype=like.dtype, device=like.device)
        found = self.blocks(start, stop, whole).dense()
        if found.data_ptr() != out.data_ptr():
            out.copy_(found)

    def null_directions(self, start: int, stop: int) -> int:
        """Declared by the architecture."""
        return self._model.null_directions(start, stop)

    def is_iterated(self, leading: int | None) -> bool:
        """Above 512 numbers of state, and where it is asked for; an architecture's own algebra needs no iteration."""
        kind = type(self._model)
        own = self._accelerated and kind.jacobian_eigenvalues is not Recurrence.jacobian_eigenvalues
        return not own and (self.size > LARGEST_DENSE or leading is not None)

    def eigenvalues(self, step: int, leading: int | None = None) -> Spectrum:
        """By the architecture's own algebra where it has one."""
        blocks = self.blocks(step - 1, step).at(0).double()
        if self.is_iterated(leading):
            count = DEFAULT_LEADING if leading is None else min(leading, self.size)
            return Spectrum.simple(leading_eigenvalues(self._of_part(blocks), count))
        if not self._accelerated or self._part:
            return Spectrum.simple(dense_eigenvalues(self._of_part(blocks)))
        return Spectrum.simple(self._model.jacobian_eigenvalues(blocks, step))

    def singular_values(self, step: int, leading: int | None = None) -> Spectrum:
        """By the architecture's own algebra where it has one."""
        blocks = self.blocks(step - 1, step).at(0).double()
        if self.is_iterated(leading):
            count = DEFAULT_LEADING if leading is None else min(leading, self.size)
            return Spectrum.simple(leading_singular_values(self._of_part(blocks), count))
        if not self._accelerated or self._part:
            return Spectrum.simple(dense_singular_values(self._of_part(blocks)))
        return Spectrum.simple(self._model.jacobian_singular_values(blocks, step))

    def matrix(self, step: int) -> Tensor:
        """All blocks."""
        return self._of_part(self.blocks(step - 1, step).at(0)).to("cpu", torch.float64)

    def _of_part(self, blocks: BlockMatrix) -> Tensor:
        whole = blocks.dense()
        return whole[..., self._part, :][..., self._part] if self._part else whole


def _real_positions(spec: tuple[Block, ...], part: tuple[int, ...]) -> list[int]:
    """Positions in a state of real numbers, of which a complex one has two."""
    places: list[list[int]] = []
    start = 0
    for block in spec:
        count = 2 if block.is_complex else 1
        places += [list(range(first, first + count)) for first in range(start, start + block.size, count)]
        start += block.size
    return [place for position in part for place in places[position]]


def _cut(dense: Tensor, spec: tuple[Block, ...]) -> BlockMatrix:
    """A dense matrix by blocks, views of it."""
    sizes = [block.size for block in spec]
    full = {
        (row.name, column.name): part
        for row, rows in zip(spec, dense.split(sizes, dim=-2), strict=True)
        for column, part in zip(spec, rows.split(sizes, dim=-1), strict=True)
    }
    return BlockMatrix(spec, full, {}, tuple(dense.shape[:-2]), dense)
