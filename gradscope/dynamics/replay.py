"""The linearization of any recurrence by autograd: segments of the trajectory are replayed and differentiated.

This is the definition: every other path is tested against it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State
from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.cotangents import LocalSteps
from gradscope.dynamics.looped_gradients import StepsOfAnyCode, parameters_in_step
from gradscope.dynamics.parameter_gradients import Values
from gradscope.dynamics.pullbacks import over_lengths
from gradscope.dynamics.segments import SegmentStates


class ReplayedSteps(StepsOfAnyCode):
    """Steps whose adjoint is one call of autograd with respect to all nodes of a stretch.

    Every new state is passed on through a copy. A copy's gradient counts the later steps alone, which is δ_t; the
    original's counts the other blocks computed from it as well, which is the total derivative.
    """

    def __init__(self, model: Recurrence, here: SegmentStates, in_step: Values, recurrent: tuple[str, ...]) -> None:
        super().__init__(model, here, in_step, recurrent)
        active = here.segment.active
        shape = (here.segment.steps, active)
        self.delta = {n: v.new_zeros((*shape, *v.shape[1:])) for n, v in here.after.items()}
        self._total = {n: torch.zeros_like(v) for n, v in self.delta.items()}
        self._u_bar = {n: v.new_zeros((*shape, *v.shape[1:])) for n, v in here.u.items()}

    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """Replays steps ``first + 1 … last`` and differentiates them at once."""
        rows = next(iter(delta.values())).shape[:2]
        start, u, nodes, copies = self._replay(first, last, rows[0])
        outputs, cotangents = list(copies[-1].values()), [v.flatten(0, 1) for v in delta.values()]
        for name, terms in (direct or {}).items():
            outputs += [copy[name] for copy in copies]
            cotangents += list(terms.flatten(1, 2).unbind(0))
        wanted: list[list[Tensor]] = [
            [*start.values()],
            *([*c.values()] for c in copies),
            *([*n.values()] for n in nodes),
        ]
        wanted += [[*step.values()] for step in u]
        flat = [leaf for group in wanted for leaf in group]
        with_gradients = [leaf for leaf in flat if leaf.requires_grad]
        found = iter(torch.autograd.grad(outputs, with_gradients, cotangents, allow_unused=True))
        before, *rest = [
            [_rows(next(found) if leaf.requires_grad else None, leaf, rows) for leaf in group] for group in wanted
        ]
        count = last - first
        for offset, target in ((0, self.delta), (count, self._total), (2 * count, self._u_bar)):
            for index in range(count):
                for name, value in zip(target, rest[offset + index], strict=True):
                    target[name][first + index] = value
        return dict(zip(delta, before, strict=True))

    def _replay(self, first: int, last: int, active: int) -> tuple[State, list[Prepared], list[State], list[State]]:
        here = self._here

        def leaves(values: dict[str, Tensor], index: int) -> dict[str, Tensor]:
            return {
                n: over_lengths(v[index : index + 1].detach(), active)
                .flatten(0, 2)
                .requires_grad_(v.is_floating_point() or v.is_complex())
                for n, v in values.items()
            }

        with torch.enable_grad():
            start = s = leaves(here.states, first)
            u = [leaves(here.u, index) for index in range(first, last)]
            nodes, copies = [], []
            for index, u_t in zip(range(first, last), u, strict=True):
                new = self._model.step(s, u_t, here.times[index])
                # a block that is an old one as it stands is a node of its own
                nodes.append(
                    {n: new[n].clone() if any(new[n] is old for old in s.values()) else new[n] for n in here.states}
                )
                s = {name: value.clone() for name, value in nodes[-1].items()}
                copies.append(s)
        return start, u, nodes, copies

    def total(self, name: str) -> Tensor:
        """Gradient at the node itself."""
        return self._total[name]

    def prepared_cotangent(self) -> Prepared:
        """Gradients at the steps' inputs."""
        return {n: value for n, value in self._u_bar.items() if value.is_floating_point() or value.is_complex()}


class ReplayedAdjoint(RecurrenceAdjoint):
    """The adjoint of any recurrence."""

    _in_step: Values | None = None

    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """A replayed segment."""
        if self._in_step is None:
            self._in_step = parameters_in_step(self.model, here) if self.wants.parameters else {}
        return ReplayedSteps(self.model, here, self._in_step, self.recurrent if self.wants.parameters else ())


def _rows(grad: Tensor | None, leaf: Tensor, rows: tuple[int, ...] | torch.Size) -> Tensor:
    value = torch.zeros_like(leaf) if grad is None else grad
    return value.detach().reshape(*rows, *leaf.shape[1:])
