"""A program linearised along a segment: the coefficients that its steps have there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.program import Product, Program, Reduction, Region, Shift, Step
from gradscope.dynamics.program.slopes import Slope, Slopes, region_slopes
from gradscope.dynamics.program.trace import Value
from gradscope.dynamics.program.values import Values, prepared_rows, tanh_by_sigmoid
from gradscope.dynamics.segments import SegmentStates


@dataclass(frozen=True)
class LinearStep:
    """One step of the loop.

    Attributes:
        step: Which.
        slopes: Of a region, leaf by leaf, tensors ``(steps, batch, *)``.
        factors: Of a contraction, what each operand that has cotangents is multiplied by, ``(steps, batch, *)`` or, of
            a constant, without these.
    """

    step: Step
    slopes: Slopes
    factors: dict[int, Tensor]


class Linearised:
    """A segment's coefficients.

    Args:
        program: The step.
        here: The segment.
        with_others: Also the slopes by what the steps consume and by parameters.

    Attributes:
        values: The program's values along the segment, ``(steps · batch, *)``.
        loop: The steps of the loop over time.
    """

    def __init__(self, program: Program, here: SegmentStates, *, with_others: bool) -> None:
        self.program = program
        self.steps, self.batch = here.segment.steps, here.x.shape[1]
        times = here.times.repeat_interleave(self.batch)
        before = {name: value.flatten(0, 1) for name, value in here.before.items()}
        self.values = Values.of_step(program, before, prepared_rows(here.u), times, {"tanh": tanh_by_sigmoid})
        for name, value in program.traced.outputs.items():  # the new states are known
            self.values.setdefault(value, here.after[name].flatten(0, 1))
        with torch.no_grad():
            self.loop = [self._linear(step, with_others) for step in program.steps if program.in_loop(step)]

    def _linear(self, step: Step, with_others: bool) -> LinearStep:
        if isinstance(step, Region):
            return LinearStep(step, self.slopes(step, with_others=with_others), {})
        if isinstance(step, Contraction):
            return LinearStep(step, {}, self.factors(step, with_others=with_others))
        return LinearStep(step, {}, {})

    def slopes(self, region: Region, *, with_others: bool) -> Slopes:
        """Of a region, by leaves that depend on the state, or by all."""
        wanted = [leaf for leaf in region.leaves if with_others or self.program.depends_on_state(leaf)]
        found = region_slopes(self.program, region, self.values, wanted)
        return {leaf: Slope(slope.factor, self._by_step(slope.tensor)) for leaf, slope in found.items()}

    def factors(self, step: Contraction, *, with_others: bool) -> dict[int, Tensor]:
        """Of a contraction: for each operand that has a cotangent the other one."""
        found = {}
        for index, operand in enumerate(step.operands):
            if self.program.depends_on_state(operand) or with_others:
                other = step.operands[1 - index]
                value = self.values[other]
                found[index] = self.by_step(value) if self.program.has_rows(other) else value
        return found

    def by_step(self, rows: Tensor) -> Tensor:
        """``(rows, *)`` as ``(steps, batch, *)``."""
        return rows.unflatten(0, (self.steps, self.batch))

    def _by_step(self, rows: Tensor | None) -> Tensor | None:
        if rows is None:
            return None
        return rows.unsqueeze(0) if len(rows) == 1 != self.steps * self.batch else self.by_step(rows)

    def outside(self) -> Iterator[Step]:
        """The steps that are not in the loop, and the additions of what does not depend on the state to what does."""
        for step in self.program.steps:
            if not self.program.in_loop(step) or isinstance(step, Shift):
                yield step


