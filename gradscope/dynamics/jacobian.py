"""The matrix J_t = ∂s_t/∂s_{t−1} of one step, dense, over the real numbers of the state."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.decomposed_cells import DecomposedCells
from gradscope.dynamics.segments import Segment
from gradscope.dynamics.state_vector import as_state, as_vector
from gradscope.dynamics.trajectory import Trajectory


def jacobian_by_autograd(trajectory: Trajectory, step: int) -> Tensor:
    """The definition: ``vmap(jacrev(step))``, ``(batch, n, n)``."""
    here = trajectory.segment(Segment(step - 1, step, 1))
    model, time = trajectory.model, here.times[0]

    def jacobian(vector: Tensor, u: dict[str, Tensor]) -> Tensor:
        batched = {name: value.unsqueeze(0) for name, value in u.items()}

        def advance(before: Tensor) -> Tensor:
            new = model.step(as_state(before.unsqueeze(0), model.state_spec), batched, time)
            return as_vector({block.name: new[block.name] for block in model.state_spec})[0]

        found: Tensor = jacrev(advance)(vector)
        return found

    before = as_vector({name: value[0] for name, value in here.before.items()})
    with DecomposedCells():
        return vmap(jacobian)(before, {name: value[0] for name, value in here.u.items()})


def jacobian_by_pull(adjoint: RecurrenceAdjoint, step: int) -> Tensor:
    """Row i is e_iᵀ J_t: all unit vectors are pulled through the step at once, as if they were lengths."""
    trajectory = adjoint.trajectory
    spec, batch = trajectory.model.state_spec, trajectory.batch
    size = trajectory.model.state_size
    here = replace(trajectory.segment(Segment(step - 1, step, 1)), segment=Segment(step - 1, step, size))
    units = torch.eye(size, dtype=trajectory.x.dtype, device=trajectory.x.device)
    delta = as_state(units.unsqueeze(1).expand(size, batch, size).contiguous(), spec)
    before = adjoint.local_steps(here).pull(0, 1, delta, None)
    return as_vector(before, batch_dims=2).transpose(0, 1).contiguous()
