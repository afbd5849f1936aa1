"""The adjoint recurrence ``δ_{t−1} = J_tᵀ δ_t + ∂ℓ_{t−1}/∂s_{t−1}`` of one recurrence, segment by segment.

What is common to every shape of Jacobian: δ as a mantissa with one exponent per length and sample, rescaled every few
steps; each length beginning at its own last step; the direct terms of a loss, or of a layer above; and the way from the
steps' inputs u on to x and to the parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from gradscope.contract.state import State
from gradscope.dynamics.cotangents import Cotangents, LocalSteps, Only, Pulled, Wants
from gradscope.dynamics.parameter_gradients import ParameterGradients
from gradscope.dynamics.program.recurrent import recurrent_parameters
from gradscope.dynamics.pullbacks import PreparePullback, nothing_pulled, readout_vjp
from gradscope.dynamics.segments import Segment, SegmentStates
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.scaled import ZERO_EXPONENT, Scaled, add, largest_entry, row_exponent, times_power_of_two

RESCALE_STEPS = 64
# Between two rescalings δ may shrink or grow by so many bits before the stretch is taken in two halves: the range in
# which the smaller entries keep their digits and squares (taken in float64) neither underflow nor overflow. Where it
# moved by half of that or less, the next stretch is twice as long, up to RESCALE_STEPS.
RANGE_BITS = {torch.float32: 90, torch.float64: 400}
SAMPLED_STEPS = 8  # δ is looked at once in so many steps: it cannot leave the range and come back in between


class RecurrenceAdjoint(ABC):
    """The adjoint of one recurrence along its trajectory, a stateful walk from the last step to the first."""

    def __init__(self, trajectory: Trajectory, wants: Wants) -> None:
        self.trajectory, self.model, self.wants = trajectory, trajectory.model, wants
        self.gradients: ParameterGradients | None = None
        if wants.parameters:
            norms_alone = wants.parameters is Only.NORMS
            self.gradients = ParameterGradients(self.model, trajectory, norms_alone=norms_alone)
        self._prepare = PreparePullback(self.model, with_maps=bool(wants.parameters))
        self._stretch_steps = RESCALE_STEPS
        self._delta: State = {}
        self._exponent = torch.zeros((0, trajectory.batch), dtype=torch.int32, device=trajectory.x.device)

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """Names of the recurrent parameters."""
        return recurrent_parameters(self.trajectory)

    @abstractmethod
    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """The linearised steps of a segment."""

    def pull(self, segment: Segment, cotangents: Cotangents) -> Pulled:
        """Goes from the end of a segment to its beginning."""
        here = self.trajectory.segment(segment)
        self._begin_lengths(here)
        through = bool(self.wants.inputs or self.wants.parameters)
        direct, u_bar = self._through_readout(here, cotangents, through)
        steps = self.local_steps(here)
        exponent = self._sweep(steps, segment, direct)
        nodes = {name: Scaled(steps.total(name), exponent) for name in self.wants.components}
        state = tuple(Scaled(delta, exponent) for delta in steps.delta.values()) if self.wants.state else ()
        if not through:
            return Pulled(nodes, state)
        through_steps = {name: Scaled(value, exponent) for name, value in steps.prepared_cotangent().items()}
        for name, mine in through_steps.items():
            u_bar[name] = add(mine, u_bar[name]) if name in u_bar else mine
        pulled = self._prepare(here, u_bar) if u_bar else nothing_pulled(here, exponent)
        norms: tuple[Tensor, ...] = ()
        if self.gradients is not None:
            norms = self.gradients.add(
                here, steps, exponent, u_bar, through_steps, pulled.maps, cotangents, self.recurrent
            )
        return Pulled(nodes, state, pulled.inputs if self.wants.inputs else None, norms)

    def _begin_lengths(self, here: SegmentStates) -> None:
        """Lengths that end here join with δ = 0."""
        new = here.segment.active - len(self._exponent)
        if new:
            for name, value in here.states.items():
                zeros = value.new_zeros((new, *value.shape[1:]))
                self._delta[name] = torch.cat([self._delta[name], zeros]) if name in self._delta else zeros
            fresh = self._exponent.new_full((new, self.trajectory.batch), ZERO_EXPONENT)
            self._exponent = torch.cat([self._exponent, fresh])

    def _through_readout(
        self, here: SegmentStates, cotangents: Cotangents, through: bool
    ) -> tuple[dict[str, Scaled], dict[str, Scaled]]:
        """Adds the last step's direct terms to δ; returns the direct terms of every step, and ∂L/∂u_t of both kinds."""
        u_bar: dict[str, Scaled] = {}
        if cotangents.last_state:
            self._add_to_delta(cotangents.last_state)
        if cotangents.last is not None:
            y_bar = Scaled(cotangents.last.mantissa.unsqueeze(0), cotangents.last.exponent.unsqueeze(0))
            s, u = ({name: value[-1:] for name, value in values.items()} for values in (here.after, here.u))
            direct, at_end = readout_vjp(self.model, s, u, y_bar)
            self._add_to_delta({name: Scaled(d.mantissa[0], d.exponent[0]) for name, d in direct.items()})
            if through:
                u_bar = {name: _padded(value, here.segment.steps) for name, value in at_end.items()}
        if cotangents.every is None:
            return {}, u_bar
        direct, at_every = readout_vjp(self.model, here.after, here.u, cotangents.every)
        if through:
            for name, value in at_every.items():
                u_bar[name] = add(u_bar[name], value) if name in u_bar else value
        return {name: term.normalized() for name, term in direct.items()}, u_bar

    def _add_to_delta(self, terms: dict[str, Scaled]) -> None:
        terms = {name: term.normalized() for name, term in terms.items()}
        exponent = torch.stack([self._exponent, *(term.exponent for term in terms.values())]).amax(0)
        for name, value in self._delta.items():
            moved = times_power_of_two(value, self._exponent - exponent)
            self._delta[name] = moved + terms[name].at(exponent) if name in terms else moved
        self._exponent = exponent

    def _sweep(self, steps: LocalSteps, segment: Segment, direct: dict[str, Scaled]) -> Tensor:
        """Runs the recurrence stretch by stretch; returns the exponents of the segment's steps."""
        exponent = self._exponent.new_empty((segment.steps, *self._exponent.shape))
        last = segment.steps
        while last > 0:
            first = max(0, last - self._stretch_steps)
            share = self._stretch(steps, first, last, direct, exponent)
            if share < 1 or last - first == 1:  # a single step is taken as it is: what it loses, the dtype cannot hold
                if share <= 0.5 and last - first == self._stretch_steps:
                    self._stretch_steps = min(2 * self._stretch_steps, RESCALE_STEPS)
                last = first
            else:
                self._stretch_steps = (last - first + 1) // 2
        return exponent

    def _stretch(self, steps: LocalSteps, first: int, last: int, direct: dict[str, Scaled], exponent: Tensor) -> float:
        """Steps ``last … first + 1`` at one exponent; see :func:`_share_of_range`, from 1 on nothing is kept of them.

        But for a single step.
        """
        shift = row_exponent(list(self._delta.values()), 2)
        base = torch.where(shift == ZERO_EXPONENT, shift, self._exponent + shift)
        terms = {name: Scaled(term.mantissa[first:last], term.exponent[first:last]) for name, term in direct.items()}
        for term in terms.values():
            base = torch.maximum(base, term.exponent.amax(0))
        delta = {name: times_power_of_two(value, self._exponent - base) for name, value in self._delta.items()}
        before = steps.pull(first, last, delta, {name: term.at(base) for name, term in terms.items()} or None)
        share = _share_of_range(steps.delta, first, last, before, delta)
        if share < 1 or last - first == 1:
            exponent[first:last] = base
            self._delta, self._exponent = before, base
        return share


def _share_of_range(history: State, first: int, last: int, before: State, start: State) -> float:
    """How far δ moved towards overflow, or towards the point where its entries lose digits; 1 is there.

    A row that is zero from the start stays where it is.
    """
    entries = [torch.cat([before[n].unsqueeze(0), v[first:last:SAMPLED_STEPS]]) for n, v in history.items()]
    largest = torch.stack([largest_entry(value, 3) for value in entries]).amax(0)
    nonzero = torch.stack([largest_entry(value, 2) for value in start.values()]).amax(0) > 0
    high, low = torch.stack([largest.amax(), torch.where(nonzero, largest, math.inf).amin()]).tolist()
    if high == 0:
        return 0.0
    if not (low > 0 and high < math.inf):
        return math.inf
    return max(math.log2(high), -math.log2(low)) / RANGE_BITS[largest.dtype]


def _padded(at_end: Scaled, steps: int) -> Scaled:
    """A value of the last step among zeros for the steps before it."""
    mantissa = at_end.mantissa.new_zeros((steps, *at_end.mantissa.shape[1:]))
    exponent = at_end.exponent.new_full((steps, *at_end.exponent.shape[1:]), ZERO_EXPONENT)
    mantissa[-1], exponent[-1] = at_end.mantissa[0], at_end.exponent[0]
    return Scaled(mantissa, exponent)
