"""The state of a recurrence as one vector of real numbers: block after block, complex numbers as pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Block, State
from gradscope.dynamics.scaled import real_view


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
