"""The linearised dynamics of a model along the trajectory of one input.

    trajectory     s_0 … s_T                    one forward pass
    adjoint        δ_{t−1} = J_tᵀ δ_t + …       per-timestep gradients, of every length of a sweep at once
    tangent        V_t = J_t V_{t−1}            how a perturbation of the state travels
    matrix         J_t = ∂s_t/∂s_{t−1}          at chosen steps

Every recurrence has all three; a model of several has adjoint and matrix as a whole and lists its ``recurrences``.

Layers of a stack follow one another (the cotangents that a layer finds for its inputs are those of the outputs below
it); branches stand side by side. Each recurrence is a diagonal block of J with exponents of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from gradscope.contract.combinators import Parallel, Stack
from gradscope.contract.component import in_layer, layer_of, within_layer
from gradscope.contract.model import Model
from gradscope.contract.probe import check_step
from gradscope.contract.recurrence import Recurrence
from gradscope.dynamics.cotangents import Cotangents, Pulled, Wants
from gradscope.dynamics.dense_jacobians import DenseJacobians
from gradscope.dynamics.joint_jacobians import JointJacobians, recurrences_of
from gradscope.dynamics.program.adjoint import ProgramAdjoint
from gradscope.dynamics.program.follow import first_prepared, followed_trajectory
from gradscope.dynamics.program.recurrent import recurrent_parameters
from gradscope.dynamics.replay import ReplayedAdjoint
from gradscope.dynamics.segments import Segment, reversed_segments
from gradscope.dynamics.state_jacobians import StateJacobians, state_jacobians
from gradscope.dynamics.tangent import tangents
from gradscope.dynamics.trajectory import Trajectory
from gradscope.errors import NoRecurrentState, UsageError
from gradscope.numerics.scaled import Scaled, add

EXECUTORS = ("torch", "replay")
SEGMENT_NUMBERS = 1 << 17  # numbers of state in one segment of the reverse pass
SEGMENT_STEPS = (32, 1024)  # its smallest and largest number of steps


class Adjoint(Protocol):
    """Walks from the last segment to the first."""

    def pull(self, segment: Segment, cotangents: Cotangents) -> Pulled:
        """One segment."""
        ...

    def weight_gradients(self) -> dict[str, Scaled]:
        """Per-sample gradients of the parameters over the segments so far, rows ``(active, batch)``."""
        ...


class Linearization(Protocol):
    """A model linearised along a trajectory.

    Attributes:
        outputs: ``(length, batch, output_size)``.
    """

    outputs: Tensor

    @property
    def length(self) -> int:
        """Steps of the trajectory."""
        ...

    @property
    def recurrences(self) -> tuple[Trajectory, ...]:
        """The trajectories of the diagonal blocks of J, bottom layer first."""
        ...

    @property
    def layers(self) -> tuple[tuple[StateJacobians, ...], ...]:
        """Bottom layer first, the recurrences of each: J's diagonal blocks, whose spectra make up that of J."""
        ...

    @property
    def coupled(self) -> tuple[StateJacobians, ...]:
        """The parts of the state that do not see each other: J is block-diagonal over them."""
        ...

    @property
    def recurrent_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that make up the recurrences."""
        ...

    def matrix(self, step: int) -> Tensor:
        """J_t = ∂s_t/∂s_{t−1} of one step, ``(batch, n, n)`` float64, over the real numbers of the state."""
        ...

    def adjoint(self, wants: Wants) -> Adjoint:
        """A fresh walk."""
        ...


class _RecurrenceWalk:
    """Parameter names of one recurrence are its own."""

    def __init__(self, adjoint: ProgramAdjoint | ReplayedAdjoint) -> None:
        self._adjoint = adjoint
        self.pull = adjoint.pull

    def weight_gradients(self) -> dict[str, Scaled]:
        gradients = self._adjoint.gradients
        return gradients.sums if gradients else {}


class RecurrenceLinearization:
    """One recurrence.

    Args:
        model: The recurrence.
        x: ``(length, batch, input_size)``.
        accelerated: Follow the step where it can be followed; False replays by autograd, the definition.
    """

    def __init__(self, model: Recurrence, x: Tensor, *, accelerated: bool = True) -> None:
        self.model = model
        check_step(model, first_prepared(model, x))
        self.trajectory = followed_trajectory(model, x) if accelerated else Trajectory(model, x)
        self.outputs = self.trajectory.outputs
        self._accelerated = accelerated

    @property
    def length(self) -> int:
        """Steps of the trajectory."""
        return len(self.outputs)

    @property
    def recurrences(self) -> tuple[Trajectory, ...]:
        """Itself."""
        return (self.trajectory,)

    def adjoint(self, wants: Wants) -> Adjoint:
        """A fresh walk."""
        program = self.trajectory.program
        if program is None:
            return _RecurrenceWalk(ReplayedAdjoint(self.trajectory, wants))
        return _RecurrenceWalk(ProgramAdjoint(program, self.trajectory, wants))

    @property
    def recurrent_parameters(self) -> tuple[str, ...]:
        """Those that multiply the state."""
        return recurrent_parameters(self.trajectory)

    @property
    def layers(self) -> tuple[tuple[StateJacobians, ...], ...]:
        """One layer of one recurrence, part by part of a state whose parts never meet."""
        return (self.coupled,)

    @cached_property
    def coupled(self) -> tuple[StateJacobians, ...]:
        """Its parts."""
        return state_jacobians(self.trajectory, accelerated=self._accelerated)

    def matrix(self, step: int) -> Tensor:
        """J_t = ∂s_t/∂s_{t−1} of one step, ``(batch, n, n)`` float64, over the real numbers of the state."""
        parts = self.coupled
        whole = parts[0] if len(parts) == 1 else DenseJacobians(self.trajectory, accelerated=True)
        return whole.matrix(step)

    def tangent(self, initial: Tensor) -> Iterator[Scaled]:
        """V_t = J_t V_{t−1} for t = 1 … T; see :func:`~gradscope.dynamics.tangent.tangents`."""
        return tangents(self.trajectory, initial)


class StackLinearization:
    """Layers in sequence."""

    def __init__(self, model: Stack, x: Tensor, *, accelerated: bool = True) -> None:
        self.model = model
        self._layers: list[Linearization] = []
        for layer in model.layers:
            self._layers.append(linearize_time_major(layer, x, accelerated=accelerated))
            x = self._layers[-1].outputs
        self.outputs = x

    @property
    def length(self) -> int:
        """Steps of the trajectory."""
        return len(self.outputs)

    @property
    def recurrences(self) -> tuple[Trajectory, ...]:
        """Those of the layers."""
        return tuple(block for layer in self._layers for block in layer.recurrences)

    @property
    def layers(self) -> tuple[tuple[StateJacobians, ...], ...]:
        """One after the other."""
        return tuple(inner for layer in self._layers for inner in layer.layers)

    @property
    def coupled(self) -> tuple[StateJacobians, ...]:
        """All layers as one state."""
        recurrences_of(self.model)
        return (JointJacobians(self.model, self.recurrences),)

    def matrix(self, step: int) -> Tensor:
        """Of all layers together."""
        return self.coupled[0].matrix(step)

    def adjoint(self, wants: Wants) -> Adjoint:
        """A walk through all layers, segment by segment."""
        return _StackWalk(self, wants)

    @property
    def recurrent_parameters(self) -> tuple[str, ...]:
        """The layers', under the stack's names."""
        return tuple(
            self.model.layer_parameter(index, name)
            for index, layer in enumerate(self._layers)
            for name in layer.recurrent_parameters
        )


class _StackWalk:
    def __init__(self, linearization: StackLinearization, wants: Wants) -> None:
        self._model = linearization.model
        self._walks = []
        for index, layer in enumerate(linearization._layers):
            mine = frozenset(within_layer(name) for name in wants.components if layer_of(name) == index)
            inputs = wants.inputs or index > 0
            self._walks.append(layer.adjoint(Wants(mine, wants.state, inputs, wants.parameters)))

    def pull(self, segment: Segment, cotangents: Cotangents) -> Pulled:
        """From the top layer to the bottom one."""
        nodes: dict[str, Scaled] = {}
        state: tuple[Scaled, ...] = ()
        norms: tuple[Tensor, ...] = ()
        inputs: Scaled | None = None
        for index in range(len(self._walks) - 1, -1, -1):
            pulled = self._walks[index].pull(segment, cotangents)
            nodes |= {in_layer(name, index): value for name, value in pulled.nodes.items()}
            state, norms, inputs = state + pulled.state, norms + pulled.recurrent_norms, pulled.inputs
            cotangents = Cotangents(every=inputs)
        return Pulled(nodes, state, inputs, norms)

    def weight_gradients(self) -> dict[str, Scaled]:
        """Under the stack's names."""
        return {
            self._model.layer_parameter(index, name): value
            for index, walk in enumerate(self._walks)
            for name, value in walk.weight_gradients().items()
        }


class ParallelLinearization:
    """Branches side by side; the outputs are the mean of theirs."""

    def __init__(self, model: Parallel, x: Tensor, *, accelerated: bool = True) -> None:
        self.model = model
        self.branches = {
            name: linearize_time_major(branch, x, accelerated=accelerated) for name, branch in model.branches.items()
        }
        self.outputs = torch.stack([branch.outputs for branch in self.branches.values()]).mean(dim=0)

    @property
    def length(self) -> int:
        """Steps of the trajectory."""
        return len(self.outputs)

    @property
    def recurrences(self) -> tuple[Trajectory, ...]:
        """Those of the branches."""
        return tuple(block for branch in self.branches.values() for block in branch.recurrences)

    @property
    def layers(self) -> tuple[tuple[StateJacobians, ...], ...]:
        """One layer of all branches."""
        return (tuple(block for branch in self.branches.values() for layer in branch.layers for block in layer),)

    @property
    def coupled(self) -> tuple[StateJacobians, ...]:
        """Each branch alone."""
        return tuple(part for branch in self.branches.values() for part in branch.coupled)

    def matrix(self, step: int) -> Tensor:
        """Block-diagonal, a block for each branch."""
        parts = [branch.matrix(step) for branch in self.branches.values()]
        return torch.stack([torch.block_diag(*blocks) for blocks in zip(*parts, strict=True)])

    def adjoint(self, wants: Wants) -> Adjoint:
        """A walk through each branch with its share of the cotangents."""
        return _ParallelWalk(self, wants)

    @property
    def recurrent_parameters(self) -> tuple[str, ...]:
        """The branches', under the composite's names."""
        return tuple(
            self.model.branch_parameter(branch, name)
            for branch, found in self.branches.items()
            for name in found.recurrent_parameters
        )


class _ParallelWalk:
    def __init__(self, linearization: ParallelLinearization, wants: Wants) -> None:
        self._walks = {}
        for name, branch in linearization.branches.items():
            prefix = f"{name}."
            mine = frozenset(c.removeprefix(prefix) for c in wants.components if c.startswith(prefix))
            self._walks[name] = branch.adjoint(Wants(mine, wants.state, wants.inputs, wants.parameters))

    def pull(self, segment: Segment, cotangents: Cotangents) -> Pulled:
        """Each branch receives ∂L/∂y divided by the number of branches."""
        share = Cotangents(self._share(cotangents.every), self._share(cotangents.last))
        pulled = {name: walk.pull(segment, share) for name, walk in self._walks.items()}
        nodes = {f"{name}.{c}": value for name, p in pulled.items() for c, value in p.nodes.items()}
        state = tuple(value for p in pulled.values() for value in p.state)
        norms = tuple(value for p in pulled.values() for value in p.recurrent_norms)
        inputs: Scaled | None = None
        for p in pulled.values():
            if p.inputs is not None:
                inputs = p.inputs if inputs is None else add(inputs, p.inputs)
        return Pulled(nodes, state, inputs, norms)

    def _share(self, cotangent: Scaled | None) -> Scaled | None:
        return cotangent and Scaled(cotangent.mantissa / len(self._walks), cotangent.exponent)

    def weight_gradients(self) -> dict[str, Scaled]:
        """Under the composite's names."""
        return {
            Parallel.branch_parameter(name, parameter): value
            for name, walk in self._walks.items()
            for parameter, value in walk.weight_gradients().items()
        }


def linearize_time_major(model: Model, x: Tensor, *, accelerated: bool = True) -> Linearization:
    """:func:`linearize_model` for inputs ``(length, batch, input_size)``."""
    if isinstance(model, Stack):
        return StackLinearization(model, x, accelerated=accelerated)
    if isinstance(model, Parallel):
        return ParallelLinearization(model, x, accelerated=accelerated)
    if isinstance(model, Recurrence):
        return RecurrenceLinearization(model, x, accelerated=accelerated)
    raise NoRecurrentState(
        f"{model.called} has no recurrent state, so there is no state Jacobian; its counterpart is the "
        "temporal Jacobian ∂y_T/∂x_t, and gradient_norms measures its inputs and inner nodes."
    )


def linearize_model(model: Model, x: Tensor, *, accelerated: bool = True) -> Linearization:
    """:func:`gradscope.linearize` for a model and inputs ``(batch, length, input_size)`` that are known to fit it."""
    with torch.no_grad():
        x = x.transpose(0, 1).contiguous()
        return linearize_time_major(model, x, accelerated=accelerated and chosen_executor() != "replay")


def chosen_executor() -> str:
    """``torch``, the default, or ``replay``, by the environment variable GRADSCOPE_EXECUTOR.

    Raises:
        UsageError: Another word.
    """
    chosen = os.environ.get("GRADSCOPE_EXECUTOR") or EXECUTORS[0]
    if chosen not in EXECUTORS:
        raise UsageError(f"GRADSCOPE_EXECUTOR should be {' or '.join(EXECUTORS)}, but it is {chosen}.")
    return chosen


def segment_steps(linearization: Linearization) -> int:
    """How many steps of all recurrences together make a segment that stays in the processor's cache."""
    numbers = sum(block.model.state_size * block.batch for block in linearization.recurrences)
    shortest, longest = SEGMENT_STEPS
    return int(min(max(SEGMENT_NUMBERS // max(1, numbers), shortest), longest))


def adjoint_segments(
    linearization: Linearization,
    lengths: Sequence[int],
    cotangents: Callable[[Segment], Cotangents],
    wants: Wants,
) -> Iterator[tuple[Segment, Pulled, Adjoint]]:
    """The adjoint recurrence of several lengths in one reverse pass.

    Args:
        linearization: Along a trajectory at least as long as the longest length.
        lengths: Distinct lengths; results have them in falling order.
        cotangents: ∂L/∂y for the outputs of a segment.
        wants: What to compute.

    Yields:
        Each segment from the last to the first, what was found in it, and the walk, whose ``weight_gradients()`` are
        complete after the last one.
    """
    with torch.no_grad():
        walk = linearization.adjoint(wants)
    for segment in reversed_segments(lengths, segment_steps(linearization)):
        with torch.no_grad():
            pulled = walk.pull(segment, cotangents(segment))
        yield segment, pulled, walk
