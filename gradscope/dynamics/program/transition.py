"""A_t of a matrix state S_t = A_t S_{t−1} + B_t, whose Jacobian is A_t ⊗ I: nothing larger than A_t is formed."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.state import State
from gradscope.dynamics.program.linearised import Linearised
from gradscope.dynamics.program.outside import Outside
from gradscope.dynamics.program.program import Program
from gradscope.dynamics.segments import SegmentStates

CLOSE = 1e-9  # relative, in float64


def transitions(program: Program, here: SegmentStates) -> Tensor:
    """A_t of the steps of a segment, ``(steps, batch, d_k, d_k)`` float64: what the adjoint makes of the identity.

    Args:
        program: The step.
        here: The segment.
    """
    (name,) = program.blocks
    rows, columns = program.feature_shape(program.blocks[name])
    eye = torch.eye(rows, dtype=torch.float64, device=here.x.device)
    given = Linearised(program, here, with_others=False, double=True)
    found = []
    for start in range(0, rows, columns):
        part = eye[:, start : start + columns]
        cotangent = torch.nn.functional.pad(part, (0, columns - part.shape[1]))
        pulled = _pulled(program, given, {name: cotangent.expand(given.steps, 1, given.batch, rows, columns)})
        found.append(pulled[name][:, 0, ..., : part.shape[1]])
    return torch.cat(found, dim=-1).mT


def is_kronecker(program: Program, here: SegmentStates) -> bool:
    """Whether J_t of a linear step is A_t ⊗ I: seen in a random direction at every step of a segment."""
    (name,) = program.blocks
    if program.dtype(program.blocks[name]).is_complex:
        return False
    random = torch.Generator().manual_seed(0)
    shape = here.before[name].shape
    direction = torch.randn(shape, dtype=torch.float64, generator=random).to(here.x.device)
    expected = transitions(program, here).mT @ direction
    given = Linearised(program, here, with_others=False, double=True)
    found = _pulled(program, given, {name: direction.unsqueeze(1)})[name][:, 0]
    close = CLOSE * expected.abs().amax((-2, -1), keepdim=True)
    return bool(((found - expected).abs() <= close).all())


def _pulled(program: Program, given: Linearised, cotangents: State) -> State:
    """J_tᵀ δ at all steps of a segment."""
    found = Outside(program, given, cotangents).bars
    return {name: found[value] for name, value in program.blocks.items()}
