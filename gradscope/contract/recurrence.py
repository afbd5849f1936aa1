"""The contract of a recurrent architecture: ``s_t = step(s_{t-1}, u_t, t)``.

    prepare(x) -> u            everything that is parallel in time: W_ih x + b, q, k, v, β, short causal convolutions
    initial_state(batch) -> s  named blocks, {"h": …, "c": …}
    step(s, u_t, t) -> s       the recurrence: pure, no Python branch on t (a tensor, counted from 1)
    readout(s, u_t) -> y_t     never fed back

A block that holds copies of earlier states (a ring buffer) is marked ``is_buffer``: it belongs to the Markov state but
is not a component of its own. Any number of leading dimensions stands for ``batch`` in ``step`` and ``readout``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from gradscope.contract.block_matrix import BlockMatrix
from gradscope.contract.model import Model
from gradscope.contract.state import Block, Prepared, State
from gradscope.numerics.spectrum import dense_eigenvalues, dense_singular_values


class Recurrence(Model):
    """Base class of recurrent architectures; subclass it to bring your own.

    A subclass sets ``input_size``, ``output_size`` and ``state_spec`` in its constructor and defines ``prepare``,
    ``step`` and, where the output is not simply the first block, ``readout``. That is enough for every measurement:
    what a step consists of, its derivatives and the shape of its Jacobian are found by following it. A ``symmetry`` set
    in the constructor says how units can be permuted, which shows what rounding alone does to a measurement;
    :class:`~gradscope.contract.symmetry.Symmetry` has the notation.

    Attributes:
        state_spec: The blocks of the state, in order; the first one is the primary component.
        prepare_reach: How many earlier inputs ``prepare`` mixes into one step (0: it is local in time).
        period: The recurrence repeats its form after this many steps.
        recurrent_parameter_names: The parameters that make up the recurrence, where they are others than those that
            multiply the state.
    """

    state_spec: tuple[Block, ...]
    prepare_reach: int = 0
    period: int = 1
    recurrent_parameter_names: ClassVar[tuple[str, ...]] = ()

    def prepare(self, x: Tensor) -> Prepared:
        """What the steps consume, for all steps at once; local in time unless ``prepare_reach`` says otherwise."""
        return {"x": x}

    def initial_state(self, batch: int) -> State:
        """s_0: zeros in the dtype and on the device of the parameters."""
        like = next(self.parameters(), torch.zeros(()))
        real = torch.zeros((), dtype=like.dtype).real.dtype if like.is_complex() else like.dtype
        kinds = {True: torch.complex128 if real == torch.float64 else torch.complex64, False: real}
        return {
            block.name: torch.zeros(batch, *block.shape, dtype=kinds[block.is_complex], device=like.device)
            for block in self.state_spec
        }

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """One step of the recurrence; ``t`` counts from 1."""
        raise NotImplementedError

    def readout(self, s: State, u: Prepared) -> Tensor:
        """The output of one step, ``(batch, output_size)``; the first block by default."""
        return s[self.state_spec[0].name]

    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """States of consecutive steps, without gradients.

        Args:
            x: Inputs of the steps, time first, ``(steps, batch, input_size)``.
            u: What ``prepare`` makes of them, ``(steps, batch, *)``.
            s: The state before the first of them.
            start: How many steps came before; the first step is number ``start + 1``.

        Returns:
            Block name to ``(steps, batch, *block shape)``.
        """
        times = torch.arange(start + 1, start + 1 + len(x), device=x.device)
        history: list[State] = []
        for t, *values in zip(times, *(v.unbind(0) for v in u.values()), strict=True):
            s = self.step(s, dict(zip(u, values, strict=True)), t)
            history.append(s)
        return {block.name: torch.stack([h[block.name] for h in history]) for block in self.state_spec}

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(batch, length, output_size)``; differentiable, a plain loop over time."""
        u = self.prepare(x)
        s = self.initial_state(len(x))
        outputs = []
        for index, t in enumerate(torch.arange(1, x.shape[1] + 1, device=x.device)):
            u_t = {name: value[:, index] for name, value in u.items()}
            s = self.step(s, u_t, t)
            outputs.append(self.readout(s, u_t))
        return torch.stack(outputs, dim=1)

    def states_before(self, x: Tensor) -> tuple[Prepared, State]:
        """What the steps consume and the states that they start from, time first, ``(length, batch, *)``."""
        known = self.__dict__.get("_known")
        if known is not None and known[0] is x:
            u, states = known[1]()
            return u, {name: value[:-1] for name, value in states.items()}
        x = x.transpose(0, 1).contiguous()
        u, initial = prepare_time_major(self, x), self.initial_state(x.shape[1])
        after = self.run(x, u, initial, 0)
        return u, {name: torch.cat([first.unsqueeze(0), after[name][:-1]]) for name, first in initial.items()}

    @contextmanager
    def knowing(self, x: Tensor, run: Callable[[], tuple[Prepared, State]]) -> Iterator[None]:
        """While active, :meth:`states_before` of these inputs takes a run that is at hand.

        Args:
            x: The inputs, this very tensor.
            run: What the steps consume, and the states s_0 … s_T, time first.
        """
        self.__dict__["_known"] = (x, run)
        try:
            yield
        finally:
            del self.__dict__["_known"]

    def null_directions(self, start: int, stop: int) -> int:
        """Directions of the state that J_stop ⋯ J_{start+1} maps to zero by construction: buffers, anchors."""
        return 0

    def jacobian_eigenvalues(self, jacobian: BlockMatrix, step: int) -> Tensor:
        """All eigenvalues of J_t, ``(batch, n)`` complex128; override where the blocks give them more exactly."""
        return dense_eigenvalues(jacobian.dense())

    def jacobian_singular_values(self, jacobian: BlockMatrix, step: int) -> Tensor:
        """All singular values of J_t, ``(batch, n)`` float64; override where the blocks give them more exactly."""
        return dense_singular_values(jacobian.dense())

    @property
    def components(self) -> tuple[str, ...]:
        """The blocks that are not buffers."""
        return tuple(block.name for block in self.state_spec if not block.is_buffer)

    @property
    def primary_component(self) -> str:
        """The first block of the state."""
        return self.state_spec[0].name

    @property
    def state_size(self) -> int:
        """Real numbers in the Markov state of one sample."""
        return sum(block.size for block in self.state_spec)


def prepare_time_major(model: Recurrence, x: Tensor, skip: int = 0) -> Prepared:
    """``prepare`` for inputs with time first, ``(steps, batch, …)`` in and out, without the first ``skip`` steps.

    A ``prepare`` that is local in time cannot tell time from batch, so the contiguous layout is used as it is.
    """
    if model.prepare_reach == 0:
        return model.prepare(x)
    u = model.prepare(x.transpose(0, 1))
    return {name: value.transpose(0, 1)[skip:] for name, value in u.items()}
