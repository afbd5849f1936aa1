"""J_t of a chain of (matrix product, pointwise map) stages, assembled from its diagonals for many steps at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradscope.contract.block_matrix import BlockMatrix
from gradscope.contract.chain import ChainRecurrence
from gradscope.dynamics.chain import diagonals
from gradscope.dynamics.segments import SegmentStates


@dataclass
class _Row:
    """Derivative of one value by the blocks of the old state: matrices and diagonals, to be added.

    Attributes:
        full: ``(steps, batch, H, H)``, or ``(H, H)`` for all of them.
        diagonal: ``(steps, batch, H)``, or a number.
        places: Where the matrices are to be written; new memory where there is no place.
    """

    full: dict[str, Tensor] = field(default_factory=dict)
    diagonal: dict[str, Tensor] = field(default_factory=dict)
    places: dict[str, Tensor] = field(default_factory=dict)

    def add(self, factor: Tensor, row: _Row) -> None:
        """Adds ``D(factor) row``."""
        for block, matrix in row.full.items():
            if block in self.full:
                self.full[block].addcmul_(factor.unsqueeze(-1), matrix)
            else:
                self.full[block] = torch.mul(factor.unsqueeze(-1), matrix, out=self.places.get(block))
        for block, diagonal in row.diagonal.items():
            term = factor * diagonal
            self.diagonal[block] = self.diagonal[block] + term if block in self.diagonal else term


def chain_jacobians(model: ChainRecurrence, here: SegmentStates, whole: Tensor | None = None) -> BlockMatrix:
    """J_t of the steps of a segment, leading dimensions ``(steps, batch)``.

    Args:
        model: The chain.
        here: The steps.
        whole: Where to write the blocks as one matrix, ``(steps, batch, n, n)`` in the model's dtype and device.
    """
    maps = diagonals(model, here, with_u=False)
    shape, size = (here.segment.steps, here.x.shape[1]), model.hidden_size
    like = maps.inputs[0]
    places = {block.name: slice(k * size, (k + 1) * size) for k, block in enumerate(model.state_spec)}
    of_slot = {slot: _Row(diagonal={name: like.new_ones(())}) for name, slot in maps.layout.blocks.items()}
    of_value = {name: of_slot[slot] for name, slot in maps.layout.blocks.items()}
    for index, stage in enumerate(model.stages):
        weight = getattr(model, stage.weight).detach()
        for gate, rows in zip(maps.layout.gates[index], weight.split(size), strict=True):
            of_slot[gate] = _times(rows, of_value[stage.input])
        computed: dict[str, _Row] = {}
        is_last = index == len(model.stages) - 1
        for value in maps.stages[index]:
            row = computed[value.name] = _Row()
            if whole is not None and is_last:
                row.places = {of: whole[..., places[value.name], place] for of, place in places.items()}
            for slot, derivative in value.slots.items():
                row.add(derivative, of_slot[slot])
            for name, derivative in value.nodes.items():
                row.add(derivative, computed[name])
        for name, slot in maps.layout.handed_on[index].items():
            of_slot[slot] = computed[name]
        of_value |= computed
    full: dict[tuple[str, str], Tensor] = {}
    diagonal: dict[tuple[str, str], Tensor] = {}
    for block in places:
        full |= {(block, of): value.expand(*shape, -1, -1) for of, value in of_value[block].full.items()}
        diagonal |= {(block, of): value.expand(*shape, -1) for of, value in of_value[block].diagonal.items()}
    if whole is not None:
        _complete(whole, places, full, diagonal)
    return BlockMatrix(model.state_spec, full, diagonal, shape, whole)


def _complete(
    matrix: Tensor,
    places: dict[str, slice],
    full: dict[tuple[str, str], Tensor],
    diagonal: dict[tuple[str, str], Tensor],
) -> None:
    """Writes what is not a full block: diagonals and zeros."""
    for row, rows in places.items():
        for column, columns in places.items():
            block = matrix[..., rows, columns]
            if (row, column) not in full:
                block.zero_()
            if (row, column) in diagonal:
                block.diagonal(dim1=-2, dim2=-1).add_(diagonal[row, column])


def _times(weight: Tensor, row: _Row) -> _Row:
    """A matrix times a row of blocks."""
    full = {block: weight @ matrix for block, matrix in row.full.items()}
    for block, diagonal in row.diagonal.items():
        by_columns = weight * diagonal.unsqueeze(-2) if diagonal.dim() else weight
        full[block] = full[block] + by_columns if block in full else by_columns
    return _Row(full=full)
