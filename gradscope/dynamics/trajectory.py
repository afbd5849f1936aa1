"""The states of one recurrence along a sequence: kept where they fit, checkpointed and replayed where they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence, prepare_time_major
from gradscope.contract.state import Prepared, State
from gradscope.dynamics.segments import Segment, SegmentStates

if TYPE_CHECKING:
    from gradscope.dynamics.program.program import Program

KEPT_BYTES = 192 * 2**20  # up to here all states are kept
PREPARED_BYTES = 64 * 2**20  # up to here what prepare made of all steps is kept; long runs make it anew, and stay small
CHECKPOINT_STEPS = 64  # beyond it, one state in so many
BLOCK_STEPS = 128  # steps of one call of the forward pass: what it needs on the way stays in the cache

Run = Callable[[Tensor, Prepared, State, int], State]  # as gradscope.Recurrence.run


class Trajectory:
    """States ``s_0 … s_T`` and outputs of one recurrence, without gradients.

    Args:
        model: The recurrence.
        x: Inputs, time first, ``(length, batch, input_size)``.
        run: Runs consecutive steps; the model's own by default.

    Attributes:
        outputs: ``(length, batch, output_size)``.
        executor: How the recurrence is run and differentiated, in words.
        program: The step followed, where it was.
        why_replayed: What stopped a faster way than autograd's replay; empty where nothing did.
    """

    executor = "autograd replay"
    why_replayed = ""
    program: Program | None = None

    def __init__(self, model: Recurrence, x: Tensor, run: Run | None = None) -> None:
        self.model, self.x, self._run_steps = model, x, run or model.run
        self.length, self.batch = x.shape[:2]
        initial = model.initial_state(self.batch)
        self._stride = 1 if self._fits(initial) else CHECKPOINT_STEPS
        kept_states = self.length // self._stride + 1
        self._states = {name: s.new_empty((kept_states, *s.shape)) for name, s in initial.items()}
        for name, value in initial.items():
            self._states[name][0] = value
        self._reads_state = type(model).readout is Recurrence.readout and self._stride == 1
        self._prepared: list[Prepared] = []  # block by block, where it is kept
        self._block = block = BLOCK_STEPS if self._stride == 1 else CHECKPOINT_STEPS
        outputs = [self._run_block(start, min(start + block, self.length)) for start in range(0, self.length, block)]
        self.outputs = self._states[model.state_spec[0].name][1:] if self._reads_state else torch.cat(outputs)

    def _fits(self, step: dict[str, Tensor]) -> bool:
        return _bytes(step) * (self.length + 1) <= KEPT_BYTES

    def _run_block(self, start: int, stop: int) -> Tensor:
        u = self._prepare(start, stop)
        if start == 0:
            self._keeps_prepared = _bytes(u) * math.ceil(self.length / self._block) <= PREPARED_BYTES
        if self._keeps_prepared:
            self._prepared.append(u)
        states = self._run({name: kept[start // self._stride] for name, kept in self._states.items()}, u, start, stop)
        for name, kept in self._states.items():
            if self._stride == 1:
                kept[start + 1 : stop + 1] = states[name]
            elif stop % self._stride == 0:
                kept[stop // self._stride] = states[name][-1]
        return self.x.new_empty(0) if self._reads_state else self.model.readout(states, u)

    def _run(self, before: State, u: Prepared, start: int, stop: int) -> State:
        return self._run_steps(self.x[start:stop], u, before, start)

    def prepared(self, start: int, stop: int) -> Prepared:
        """What steps ``start + 1 … stop`` consume, ``(steps, batch, *)``; made anew where it was not kept."""
        first, last = start // self._block, (stop - 1) // self._block
        if last >= len(self._prepared):
            return self._prepare(start, stop)
        some = slice(start - first * self._block, stop - first * self._block)
        if first == last:
            return {name: value[some] for name, value in self._prepared[first].items()}
        blocks = self._prepared[first : last + 1]
        return {name: torch.cat([block[name] for block in blocks])[some] for name in blocks[0]}

    @torch.no_grad()
    def _prepare(self, start: int, stop: int) -> Prepared:
        reach = min(self.model.prepare_reach, start)
        return prepare_time_major(self.model, self.x[start - reach : stop], skip=reach)

    def segment(self, segment: Segment) -> SegmentStates:
        """Everything that the linearisation of a segment needs."""
        start, stop = segment.start, segment.stop
        reach = min(self.model.prepare_reach, start)
        return SegmentStates(
            segment=segment,
            states=self.states(start, stop),
            u=self.prepared(start, stop),
            times=torch.arange(start + 1, stop + 1, device=self.x.device),
            x=self.x[start - reach : stop],
        )

    @torch.no_grad()
    def states(self, start: int, stop: int) -> State:
        """States ``s_start … s_stop``, both included, ``(steps + 1, batch, *block shape)``."""
        if self._stride == 1:
            return {name: kept[start : stop + 1] for name, kept in self._states.items()}
        checkpoint = start // self._stride
        before = {name: kept[checkpoint] for name, kept in self._states.items()}
        first = checkpoint * self._stride
        if first == stop:
            return {name: value.unsqueeze(0) for name, value in before.items()}
        replayed = self._run(before, self.prepared(first, stop), first, stop)
        return {
            name: torch.cat([value.unsqueeze(0), replayed[name]])[start - first :] for name, value in before.items()
        }

    def first_non_finite(self) -> int | None:
        """The first step after which some state is NaN or infinite; None where there is none."""
        for start in range(0, self.length, BLOCK_STEPS):
            states = self.states(start, min(start + BLOCK_STEPS, self.length))
            finite = torch.stack([torch.isfinite(value).flatten(1).all(1) for value in states.values()]).all(0)[1:]
            if not bool(finite.all()):
                return start + 1 + int((~finite).nonzero()[0])
        return None


def _bytes(values: dict[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in values.values())
