"""The states of one recurrence along a sequence: kept where they fit, checkpointed and replayed where they are large."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Prepared, Recurrence, State, prepare_time_major
from gradscope.dynamics.segments import Segment, SegmentStates

KEPT_BYTES = 192 * 2**20  # up to here every state is kept
CHECKPOINT_STEPS = 64  # beyond it, one state in so many


class Trajectory:
    """States ``s_0 … s_T`` and outputs of one recurrence, without gradients.

    Args:
        model: The recurrence.
        x: Inputs, time first, ``(length, batch, input_size)``.

    Attributes:
        outputs: ``(length, batch, output_size)``.
    """

    def __init__(self, model: Recurrence, x: Tensor) -> None:
        self.model, self.x = model, x
        self.length, self.batch = x.shape[:2]
        number = x.element_size()
        self._stride = 1 if model.state_size * self.batch * (self.length + 1) * number <= KEPT_BYTES else CHECKPOINT_STEPS
        self._block = 2048 if self._stride == 1 else CHECKPOINT_STEPS
        initial = model.initial_state(self.batch)
        rows = 1 + (self.length // self._stride if self._stride > 1 else self.length)
        self._states = {n: torch.empty((rows, *v.shape), dtype=v.dtype, device=v.device) for n, v in initial.items()}
        for name, value in initial.items():
            self._states[name][0] = value
        self._readout_is_state = type(model).readout is Recurrence.readout and self._stride == 1
        outputs = [self._run_block(start) for start in range(0, self.length, self._block)]
        if self._readout_is_state:
            self.outputs = self._states[model.state_spec[0].name][1:]
        else:
            self.outputs = torch.cat([y for y in outputs if y is not None])

    def _run_block(self, start: int) -> Tensor | None:
        stop = min(start + self._block, self.length)
        before = {name: kept[start // self._stride] for name, kept in self._states.items()}
        states = self._run(before, start, stop)
        for name, kept in self._states.items():
            if self._stride == 1:
                kept[start + 1 : stop + 1] = states[name]
            elif stop % self._stride == 0:
                kept[stop // self._stride] = states[name][-1]
        return None if self._readout_is_state else self.model.readout(states, self.prepared(start, stop))

    def _run(self, before: State, start: int, stop: int) -> State:
        reach = min(self.model.prepare_reach, start)
        return self.model.run(self.x[start - reach : stop], before, start)

    def prepared(self, start: int, stop: int) -> Prepared:
        """What steps ``start + 1 … stop`` consume, ``(steps, batch, *)``."""
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

    def states(self, start: int, stop: int) -> State:
        """States ``s_start … s_stop``, both included, ``(steps + 1, batch, *block shape)``."""
        if self._stride == 1:
            return {name: kept[start : stop + 1] for name, kept in self._states.items()}
        checkpoint = start // self._stride
        before = {name: kept[checkpoint] for name, kept in self._states.items()}
        first = checkpoint * self._stride
        replayed = self._run(before, first, stop)
        return {
            name: torch.cat([before[name].unsqueeze(0), values])[start - first :] for name, values in replayed.items()
        }
