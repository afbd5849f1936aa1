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
    """Derivative of one value by the blocks of the old state: matrices and diagonals, to be added."""

    full: dict[str, Tensor] = field(default_factory=dict)  # (steps, batch, H, H), or (H, H) for all of them
    diagonal: dict[str, Tensor] = field(default_factory=dict)  # (steps, batch, H)

    def add(self, factor: Tensor, row: _Row) -> None:
        """Adds ``D(factor) row``."""
        for block, matrix in row.full.items():
            if block in self.full:
                self.full[block].addcmul_(factor.unsqueeze(-1), matrix)
            else:
                self.full[block] = factor.unsqueeze(-1) * matrix
        for block, diagonal in row.diagonal.items():
            term = factor * diagonal
            self.diagonal[block] = self.diagonal[block] + term if block in self.diagonal else term


def chain_jacobians(model: ChainRecurrence, here: SegmentStates) -> BlockMatrix:
    """J_t of the steps of a segment in float64 on the CPU, leading dimensions ``(steps, batch)``."""
    maps = diagonals(model, here, with_u=False)
    one = torch.ones((), dtype=torch.float64)
    of_slot = {slot: _Row(diagonal={name: one}) for name, slot in maps.layout.blocks.items()}
    of_value = {name: of_slot[slot] for name, slot in maps.layout.blocks.items()}
    for index, stage in enumerate(model.stages):
        weight = getattr(model, stage.weight).detach().to("cpu", torch.float64)
        for gate, rows in zip(maps.layout.gates[index], weight.split(model.hidden_size), strict=True):
            of_slot[gate] = _times(rows, of_value[stage.input])
        computed: dict[str, _Row] = {}
        for value in maps.stages[index]:
            row = computed[value.name] = _Row()
            for slot, derivative in value.slots.items():
                row.add(_double(derivative), of_slot[slot])
            for name, derivative in value.nodes.items():
                row.add(_double(derivative), computed[name])
        for name, slot in maps.layout.handed_on[index].items():
            of_slot[slot] = computed[name]
        of_value |= computed
    shape = (here.segment.steps, here.x.shape[1])
    names = [block.name for block in model.state_spec]
    return BlockMatrix(
        model.state_spec,
        {(name, of): value.expand(*shape, -1, -1) for name in names for of, value in of_value[name].full.items()},
        {(name, of): value.expand(*shape, -1) for name in names for of, value in of_value[name].diagonal.items()},
        shape,
    )


def _times(weight: Tensor, row: _Row) -> _Row:
    """A matrix times a row of blocks."""
    full = {block: weight @ matrix for block, matrix in row.full.items()}
    for block, diagonal in row.diagonal.items():
        by_columns = weight * diagonal.unsqueeze(-2) if diagonal.dim() else weight
        full[block] = full[block] + by_columns if block in full else by_columns
    return _Row(full=full)


def _double(derivative: Tensor) -> Tensor:
    return derivative.to("cpu", torch.float64)
