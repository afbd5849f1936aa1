"""The adjoint of a followed step: the diagonals of all regions at once, then the loop over time.

The states are known, so the derivatives of every region are found for all steps of a segment together, by rules or one
call of autograd a region. The gradients of inputs and parameters follow from δ at all steps, in one product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.cotangents import LocalSteps, Wants
from gradscope.dynamics.looped_gradients import StepsOfAnyCode, parameters_in_step
from gradscope.dynamics.parameter_gradients import Values
from gradscope.dynamics.program.program import (
    Environment,
    Program,
    Region,
    evaluate,
    new_state,
    prepared_rows,
    run,
)
from gradscope.dynamics.program.reverse import RegionDerivatives, ReverseLoop
from gradscope.dynamics.program.slopes import has_rules, slopes
from gradscope.dynamics.pullbacks import over_lengths
from gradscope.dynamics.segments import SegmentStates
from gradscope.dynamics.trajectory import Trajectory


def derivatives(program: Program, here: SegmentStates) -> list[RegionDerivatives]:
    """The diagonals of all regions along a segment."""
    steps, batch = here.segment.steps, here.x.shape[1]
    times = here.times.repeat_interleave(batch)
    known = program.given({n: v.flatten(0, 1) for n, v in here.before.items()}, prepared_rows(here.u), times)
    found = []
    for number, step in program.schedule:
        if isinstance(step, Region):
            way = slopes if has_rules(program, step) else differentiated
            grads = way(program, step, known, len(times))
            found.append(RegionDerivatives(step, {n: g.unflatten(0, (steps, batch)) for n, g in grads.items()}))
        else:
            with torch.no_grad():
                run(step, number, known, len(times), exact=False)
    return found


def differentiated(program: Program, region: Region, known: Environment, rows: int) -> Environment:
    """∂ result / ∂ leaf, a diagonal over the features of the result, whose value is put beside the others."""
    width = program.width(region.result)
    with torch.enable_grad():
        leaves = {
            leaf: (known[leaf] if known[leaf].shape[-1] == width else known[leaf].expand(-1, width))
            .detach()
            .requires_grad_()
            for leaf in region.leaves
            if known[leaf].is_floating_point()
        }
        values = dict(known) | leaves
        for number in region.order:
            instruction = program.traced.instructions[number]
            assert instruction is not None
            run(instruction, number, values, rows, exact=True)
        result = values[region.result]
        known[region.result] = result.detach()
        if not result.requires_grad:
            return {}
        # the maps are pointwise: the gradient of the sum over units is the diagonal
        ones = result.new_ones(()).expand_as(result)
        grads = torch.autograd.grad(result, list(leaves.values()), ones, allow_unused=True)
    return {leaf: grad for leaf, grad in zip(leaves, grads, strict=True) if grad is not None}


class ProgramSteps(StepsOfAnyCode):
    """Linearised steps of a followed step."""

    def __init__(self, adjoint: ProgramAdjoint, here: SegmentStates, loop: ReverseLoop, in_step: Values) -> None:
        super().__init__(adjoint.model, here, in_step)
        self._program, self._loop = adjoint.program, loop
        self._steps = here.segment.steps
        self.delta = {name: value[1 : self._steps + 1] for name, value in loop.delta.items()}

    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """The loop over time."""
        loop = self._loop
        for name, value in delta.items():
            loop.delta[name][last] = value
        terms = {name: term.unbind(0) for name, term in (direct or {}).items()}
        for index in range(last - 1, first - 1, -1):
            for name, term in terms.items():
                loop.delta[name][index + 1].add_(term[index - first])
            for operation, operands in loop.operations:
                operation(*operands[index])
        return {name: loop.delta[name][first].clone() for name in delta}

    def total(self, name: str) -> Tensor:
        """δ, and for a block that others are computed from what comes through them."""
        found = self._loop.totals.get(name)
        return self.delta[name] if found is None else found[: self._steps]

    def prepared_cotangent(self) -> Prepared:
        """By one vector-Jacobian product of all steps, samples and lengths."""
        here, active = self._here, self._here.segment.active
        u = {n: over_lengths(v.detach(), active).flatten(0, 2).requires_grad_() for n, v in here.u.items()}
        s = {n: over_lengths(v, active).flatten(0, 2) for n, v in here.before.items()}
        rows = len(next(iter(s.values()))) // self._steps
        with torch.enable_grad():
            after = new_state(
                self._program, evaluate(self._program, s, u, here.times.repeat_interleave(rows), exact=True)
            )
            reached = {n: delta for n, delta in self.delta.items() if after[n].requires_grad}
            total = sum((after[name] * delta.flatten(0, 2)).sum() for name, delta in reached.items())
        if not isinstance(total, Tensor):
            return {}
        grads = torch.autograd.grad(total, list(u.values()), allow_unused=True)
        shape = (self._steps, active, here.x.shape[1])
        return {n: g.unflatten(0, shape) for n, g in zip(u, grads, strict=True) if g is not None}


class ProgramAdjoint(RecurrenceAdjoint):
    """The adjoint of a recurrence whose step was followed.

    Args:
        program: The step.
        trajectory: The states.
        wants: What to compute.
    """

    def __init__(self, program: Program, trajectory: Trajectory, wants: Wants) -> None:
        super().__init__(trajectory, wants)
        self.program = program

    _loop: ReverseLoop | None = None
    _in_step: Values | None = None

    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """The diagonals of a segment."""
        given, segment, loop = derivatives(self.program, here), here.segment, self._loop
        if loop is None or loop.active != segment.active or loop.steps < segment.steps:
            like = next(iter(here.after.values()))
            loop = self._loop = ReverseLoop(self.program, given, like, segment.active)
        else:
            loop.load(given)
        if self._in_step is None:
            self._in_step = parameters_in_step(self.model, here) if self.wants.parameters else {}
        return ProgramSteps(self, here, loop, self._in_step)
