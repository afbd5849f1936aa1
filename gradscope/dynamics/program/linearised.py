"""A program linearised along a segment: the coefficients that its steps have there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.program import Program, Region, Step
from gradscope.dynamics.program.slopes import Slopes, region_slopes
from gradscope.dynamics.program.values import Values
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
        double: In float64, whatever the model's dtype is.

    Attributes:
        values: The program's values along the segment, ``(steps · batch, *)``.
        loop: The steps of the loop over time.
    """

    def __init__(
        self,
        program: Program,
        here: SegmentStates,
        *,
        with_others: bool,
        double: bool = False,
    ) -> None:
        self.program, self.with_others = program, with_others
        self.steps, self.batch = here.segment.steps, here.x.shape[1]
        times = here.times.repeat_interleave(self.batch)
        known = [{name: v.flatten(0, 1) for name, v in values.items()} for values in (here.before, here.u, here.after)]
        before, u, after = ({n: in_double(v) for n, v in values.items()} for values in known) if double else known
        self.values = Values.of_step(program, before, u, times, quick=not double, double=double)
        if double:
            self.values.update({value: in_double(constant) for value, constant in program.constants.items()})
        for name, value in program.traced.outputs.items():  # the new states are known
            self.values.setdefault(value, after[name])
        with torch.no_grad():
            self.loop = [self._linear(step) for step in program.steps if program.in_loop(step)]

    def _linear(self, step: Step) -> LinearStep:
        slopes = self.slopes(step) if isinstance(step, Region) else {}
        factors = self.factors(step) if isinstance(step, Contraction) else {}
        return LinearStep(step, slopes, factors)

    def slopes(self, region: Region) -> Slopes:
        """Of a region, by leaves that depend on the state, or by all."""
        wanted = [leaf for leaf in region.leaves if self.with_others or self.program.depends_on_state(leaf)]
        found = region_slopes(self.program, region, self.values, wanted)
        return {leaf: slope.mapped(self._by_step) for leaf, slope in found.items()}

    def factors(self, step: Contraction) -> dict[int, Tensor]:
        """Of a contraction: for each operand that has a cotangent the other one."""
        found = {}
        for index, operand in enumerate(step.operands):
            if self.program.depends_on_state(operand) or self.with_others:
                other = step.operands[1 - index]
                value = self.values[other]
                found[index] = self.by_step(value) if self.program.has_rows(other) else value
        return found

    def by_step(self, rows: Tensor) -> Tensor:
        """``(rows, *)`` as ``(steps, batch, *)``."""
        return rows.reshape(self.steps, self.batch, *rows.shape[1:])

    def _by_step(self, rows: Tensor) -> Tensor:
        return rows.unsqueeze(0) if len(rows) == 1 != self.steps * self.batch else self.by_step(rows)


def in_double(value: Tensor) -> Tensor:
    """In float64, or complex128."""
    if value.is_complex():
        return value.to(torch.complex128)
    return value.double() if value.is_floating_point() else value
