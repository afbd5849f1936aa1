"""The joint state Jacobian of stacked layers: block lower triangular, layer ℓ at step t sees the layers below at t."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from gradscope.contract.combinators import Parallel, Stack
from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import as_state, as_vector
from gradscope.dynamics.core_jacobians import CoreJacobians
from gradscope.dynamics.decomposed_cells import DecomposedCells
from gradscope.dynamics.trajectory import Trajectory
from gradscope.errors import Unmeasurable
from gradscope.numerics.leading_spectrum import (
    DEFAULT_LEADING,
    LARGEST_DENSE,
    leading_eigenvalues,
    leading_singular_values,
)
from gradscope.numerics.spectrum import Spectrum, dense_eigenvalues, dense_singular_values

LARGEST_JOINT = 1024


class JointJacobians(CoreJacobians):
    """Of a stack: all layers as one state."""

    def __init__(self, model: Model, trajectories: tuple[Trajectory, ...]) -> None:
        super().__init__(trajectories[0].batch, model.state_size)
        self._model, self._trajectories = model, trajectories
        self.size, self.length = self.core_size, trajectories[0].length

    def _write(self, start: int, stop: int, out: Tensor) -> None:
        states = []
        for trajectory in self._trajectories:
            kept = trajectory.states(start, stop - 1)
            states.append(as_vector({b.name: kept[b.name] for b in trajectory.model.state_spec}, batch_dims=2))
        x = self._trajectories[0].x[start:stop]
        times = torch.arange(start + 1, stop + 1, device=x.device)
        out.copy_(joint_jacobians(self._model, tuple(states), x, times))

    def null_directions(self, start: int, stop: int) -> int:
        """Those of the layers: the joint matrix is block triangular."""
        return sum(trajectory.model.null_directions(start, stop) for trajectory in self._trajectories)

    @property
    def is_too_large(self) -> bool:
        """Above 1024 numbers: a stack of matrix states easily has thousands."""
        return self.size > LARGEST_JOINT

    def is_iterated(self, leading: int | None) -> bool:
        """Above 512 numbers of state, and where it is asked for."""
        return self.size > LARGEST_DENSE or leading is not None

    def eigenvalues(self, step: int, leading: int | None = None) -> Spectrum:
        """Dense; the union of the layers' is exact and cheaper."""
        if self.is_iterated(leading):
            return Spectrum.simple(
                leading_eigenvalues(self.core(step), DEFAULT_LEADING if leading is None else leading)
            )
        return Spectrum.simple(dense_eigenvalues(self.core(step)))

    def singular_values(self, step: int, leading: int | None = None) -> Spectrum:
        """Dense."""
        if self.is_iterated(leading):
            return Spectrum.simple(
                leading_singular_values(self.core(step), DEFAULT_LEADING if leading is None else leading)
            )
        return Spectrum.simple(dense_singular_values(self.core(step)))

    def matrix(self, step: int) -> Tensor:
        """All layers."""
        return self.core(step).clone()


def recurrences_of(model: Model) -> tuple[Recurrence, ...]:
    """The recurrences inside a model, bottom layer first, branches in order.

    Raises:
        Unmeasurable: One of them mixes earlier inputs into a step, so the layers below have no joint Markov state.
    """
    if isinstance(model, Stack):
        return tuple(inner for layer in model.layers for inner in recurrences_of(layer))
    if isinstance(model, Parallel):
        return tuple(inner for branch in model.branches.values() for inner in recurrences_of(branch))
    assert isinstance(model, Recurrence)
    if model.prepare_reach:
        raise Unmeasurable(
            f"{model.called} reads {model.prepare_reach} earlier inputs in prepare, which are states of the "
            "layer below; a joint Jacobian of such a stack is not measured, the spectra of its layers are."
        )
    return (model,)


def joint_jacobians(model: Model, states: tuple[Tensor, ...], x: Tensor, times: Tensor) -> Tensor:
    """∂(s¹ … s^L)_t/∂(s¹ … s^L)_{t−1}.

    Args:
        model: Layers, branches, or both.
        states: Of each recurrence, the states before each step as real vectors, ``(steps, batch, n)``.
        x: The steps' inputs, ``(steps, batch, input_size)``.
        times: Their numbers, ``(steps,)``.

    Returns:
        ``(steps, batch, n, n)`` with n the sum over the recurrences.
    """
    sizes = [part.shape[-1] for part in states]

    def jacobian(vector: Tensor, x_t: Tensor, time: Tensor) -> Tensor:
        def advance(before: Tensor) -> Tensor:
            after: list[Tensor] = []
            _step(model, list(before.split(sizes)), x_t, time, after)
            return torch.cat(after)

        found: Tensor = jacrev(advance)(vector)
        return found

    with DecomposedCells():
        return vmap(vmap(jacobian, in_dims=(0, 0, None)))(torch.cat(states, dim=-1), x, times).detach()


def _step(model: Model, before: list[Tensor], x_t: Tensor, time: Tensor, after: list[Tensor]) -> Tensor:
    """The output of one step; takes states off ``before`` and puts new ones on ``after``."""
    if isinstance(model, Stack):
        for layer in model.layers:
            x_t = _step(layer, before, x_t, time, after)
        return x_t
    if isinstance(model, Parallel):
        outputs = [_step(branch, before, x_t, time, after) for branch in model.branches.values()]
        return torch.stack(outputs).mean(dim=0)
    assert isinstance(model, Recurrence)
    u = {name: value[:, 0] for name, value in model.prepare(x_t.reshape(1, 1, -1)).items()}
    new = model.step(as_state(before.pop(0).unsqueeze(0), model.state_spec), u, time)
    after.append(as_vector({block.name: new[block.name] for block in model.state_spec})[0])
    return model.readout(new, u)[0]
