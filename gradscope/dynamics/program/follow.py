"""Follows the step of a recurrence along a trajectory: traced, sorted, and checked against the step itself.

A trace cannot see what Python does beside torch: a counter, a draw of numpy's, an attribute that changes. So the
program is compared with the real step, called twice, at some steps of the trajectory, and its adjoint with autograd
through the step at three; where they differ there is no program.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gradscope.contract.probe import unchanged
from gradscope.contract.recurrence import Recurrence, prepare_time_major
from gradscope.contract.state import Prepared
from gradscope.dynamics.cotangents import LocalSteps, Wants
from gradscope.dynamics.program.adjoint import ProgramAdjoint
from gradscope.dynamics.program.forward import ForwardLoop
from gradscope.dynamics.program.program import Program
from gradscope.dynamics.program.trace import NotFollowed, all_trainable, trace
from gradscope.dynamics.pullbacks import inner_product
from gradscope.dynamics.segments import Segment, SegmentStates
from gradscope.dynamics.trajectory import Trajectory

CHECKED_STEPS = 8
# Relative to the largest number of a state: a program adds in another order than the step at most.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12}
ADJOINT_CLOSE = {torch.float32: 1e-4, torch.float64: 1e-9}


def traced_program(model: Recurrence, x: Tensor) -> Program:
    """The program of a recurrence's step, not checked yet.

    Args:
        model: The recurrence.
        x: Inputs, time first.

    Raises:
        NotFollowed: There is none.
    """
    return Program(trace(model, first_prepared(model, x)))


def first_prepared(model: Recurrence, x: Tensor) -> Prepared:
    """What the first step consumes, ``(batch, *)``, for inputs with time first."""
    return {name: value[0] for name, value in prepare_time_major(model, x[:1]).items()}


def followed_trajectory(model: Recurrence, x: Tensor) -> Trajectory:
    """A trajectory with its program; where the step is not followed it ran itself, and the trajectory says why.

    Args:
        model: The recurrence.
        x: Inputs, time first.
    """
    try:
        with torch.no_grad(), unchanged(model):
            program = traced_program(model, x)
            has_own_loop = type(model).run is not Recurrence.run
            trajectory = Trajectory(model, x, None if has_own_loop else ForwardLoop(program, x.shape[1]).run)
            trajectory.program = program
            if not is_tested(model):
                check(program, trajectory)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as stopped:
        plain = Trajectory(model, x)
        known = isinstance(stopped, NotFollowed)
        plain.why_replayed = str(stopped) if known else f"following it ended in {type(stopped).__name__}: {stopped}"
        return plain
    trajectory.executor = f"program: {program.summary}"
    return trajectory


def is_tested(model: Recurrence) -> bool:
    """Whether a step is one of the catalogue's, which the tests of this package compare with their programs."""
    return type(model).__module__.startswith("gradscope.architectures.")


def check(program: Program, trajectory: Trajectory) -> None:
    """Raises :class:`NotFollowed` where program and step differ along a trajectory."""
    model = trajectory.model
    last = trajectory.length - 1
    adjoint = ProgramAdjoint(program, trajectory, Wants(frozenset(), state=True, inputs=True, parameters=True))
    for index in sorted({0, last // 2, last}):
        _check_adjoint(adjoint, trajectory, index)
    for index in sorted({round(step) for step in np.linspace(0, last, CHECKED_STEPS)}):
        s = {name: value[0] for name, value in trajectory.states(index, index + 1).items()}
        u = {name: value[0] for name, value in trajectory.prepared(index, index + 1).items()}
        t = torch.tensor(index + 1, device=trajectory.x.device)
        once, again = model.step(dict(s), u, t), model.step(dict(s), u, t)
        mine = {name: value[1] for name, value in trajectory.states(index, index + 1).items()}
        for name, value in once.items():
            if not torch.equal(value, again[name]) and not bool(value.isnan().any()):
                raise NotFollowed("two calls of the step with the same arguments differ")
            scale = float(value.abs().max()) if value.numel() else 0.0
            close = CLOSE[value.real.dtype] * max(scale, 1e-30)
            if not torch.allclose(mine[name], value, rtol=0, atol=close, equal_nan=True):
                raise NotFollowed(f"the traced step and the step itself differ in {name} at step {index + 1}")


def _check_adjoint(adjoint: ProgramAdjoint, trajectory: Trajectory, index: int) -> None:
    """One step back with random cotangents, against autograd through the step: state, inputs and parameters."""
    model, segment = trajectory.model, Segment(index, index + 1, 1)
    here = trajectory.segment(segment)
    random = torch.Generator().manual_seed(index)
    cotangents = {
        name: torch.randn(value[0].shape, dtype=value.dtype, generator=random).to(value.device)
        for name, value in here.before.items()
    }
    steps = adjoint.local_steps(here)
    found = steps.pull(0, 1, {name: value.unsqueeze(0) for name, value in cotangents.items()}, None)
    mine = {f"state {name}": value[0] for name, value in found.items()}
    mine |= {f"input {name}": value[0, 0] for name, value in steps.prepared_cotangent().items()}
    mine |= {f"parameter {name}": value for name, value in _parameter_gradients(steps, here).items()}
    with torch.enable_grad(), all_trainable(model):
        s, u = ({name: _leaf(value[0]) for name, value in values.items()} for values in (here.before, here.u))
        after = model.step(dict(s), dict(u), here.times[0])
        reached = [name for name in s if after[name].requires_grad]
        leaves = {f"state {name}": value for name, value in s.items()} | {f"input {n}": v for n, v in u.items()}
        leaves |= {f"parameter {name}": parameter for name, parameter in model.named_parameters()}
        leaves = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
        grads: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if reached:
            total = inner_product((after[name] for name in reached), (cotangents[name] for name in reached))
            grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        theirs = torch.zeros_like(leaf) if grad is None else grad
        ours = mine.get(name, torch.zeros_like(theirs))
        scale = max((float(each.abs().max()) for each in (ours, theirs) if each.numel()), default=0.0)
        close = ADJOINT_CLOSE[leaf.real.dtype] * max(scale if scale < math.inf else 0.0, 1e-30)
        if not torch.allclose(ours, theirs, rtol=0, atol=close, equal_nan=True):
            raise NotFollowed(
                f"something in the step has another derivative than it seems: the gradient of the {name} differs"
            )


def _leaf(value: Tensor) -> Tensor:
    copy = value.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() or copy.is_complex() else copy


def _parameter_gradients(steps: LocalSteps, here: SegmentStates) -> dict[str, Tensor]:
    """Of one step, summed over the samples."""
    exponent = torch.zeros((1, 1, here.x.shape[1]), dtype=torch.int32, device=here.x.device)
    found = {n: v.sum((0, 1)) for n, v in steps.parameter_gradients(exponent.to(here.x.dtype) + 1).items()}
    for one in steps.affine_maps(exponent):
        a_bar = one.cotangent.mantissa[0, 0]  # (batch, rows)
        grads = {one.weight: a_bar.mT @ one.input[0].conj()}
        if one.bias is not None:
            grads[one.bias] = a_bar.sum(0)
        for name, grad in grads.items():
            found[name] = found[name] + grad if name in found else grad
    return found
