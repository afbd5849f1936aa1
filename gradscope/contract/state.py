"""The state of a recurrence: named blocks of one sample, and the same as one vector of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.numerics.scaled import real_view

State = dict[str, Tensor]  # block name -> (batch, *block shape)
Prepared = dict[str, Tensor]  # name -> (batch, length, *) or, for one step, (batch, *)


@dataclass(frozen=True)
class Block:
    """One named part of the state of one sample."""

    name: str
    shape: tuple[int, ...]
    is_complex: bool = False
    is_buffer: bool = False

    @property
    def size(self) -> int:
        """Real numbers in the block."""
        return math.prod(self.shape) * (2 if self.is_complex else 1)


def as_vector(state: State, batch_dims: int = 1) -> Tensor:
    """``(*batch, n)`` from blocks ``(*batch, *block shape)``."""
    parts = [real_view(value) for value in state.values()]
    return torch.cat([part.reshape(*part.shape[:batch_dims], -1) for part in parts], -1)


def as_state(vector: Tensor, spec: tuple[Block, ...]) -> State:
    """Blocks ``(*batch, *block shape)`` from ``(*batch, n)``."""
    state: State = {}
    for block, part in zip(spec, vector.split([block.size for block in spec], dim=-1), strict=True):
        if block.is_complex:
            state[block.name] = torch.view_as_complex(part.reshape(*part.shape[:-1], *block.shape, 2))
        else:
            state[block.name] = part.reshape(*part.shape[:-1], *block.shape)
    return state
