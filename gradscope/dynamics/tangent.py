"""The tangent recurrence V_t = J_t V_{t−1}: how perturbations of the state travel forward in time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import jvp, vmap

from gradscope.contract.state import as_state, as_vector
from gradscope.dynamics.decomposed_cells import DecomposedCells
from gradscope.dynamics.segments import Segment
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.scaled import Scaled

SEGMENT_STEPS = 64  # steps whose states are at hand at a time


def tangents(trajectory: Trajectory, initial: Tensor) -> Iterator[Scaled]:
    """Perturbations of the state at every step, by forward-mode differentiation of ``step``.

    Args:
        trajectory: The states that the perturbations start from.
        initial: V_0, ``(batch, n, count)`` with n real numbers of state.

    Yields:
        V_1, V_2, …, each ``(batch, n, count)`` with one exponent a sample.

    Cost:
        O(T · count) steps of the recurrence; one step's memory.
    """
    model, value = trajectory.model, Scaled.of(initial, 1).normalized()
    for start in range(0, trajectory.length, SEGMENT_STEPS):
        stop = min(start + SEGMENT_STEPS, trajectory.length)
        with torch.no_grad():
            here = trajectory.segment(Segment(start, stop, 1))
        for index, time in enumerate(here.times):
            before = as_vector({name: states[index] for name, states in here.before.items()})
            u = {name: values[index] for name, values in here.u.items()}

            def column(s: Tensor, u_row: dict[str, Tensor], v: Tensor, time: Tensor = time) -> Tensor:
                def advance(vector: Tensor) -> Tensor:
                    batched = {name: row.unsqueeze(0) for name, row in u_row.items()}
                    new = model.step(as_state(vector.unsqueeze(0), model.state_spec), batched, time)
                    return as_vector({block.name: new[block.name] for block in model.state_spec})[0]

                pushed: Tensor = jvp(advance, (s,), (v,))[1]
                return pushed

            over_columns = vmap(column, in_dims=(None, None, 1), out_dims=1)
            with DecomposedCells(), torch.no_grad():
                pushed = vmap(over_columns)(before, u, value.mantissa)
            value = Scaled(pushed, value.exponent).normalized()
            yield value
