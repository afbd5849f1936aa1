"""The adjoint of a chain of (matrix product, pointwise map) stages.

Every derivative of a pointwise map is a diagonal. Autograd finds all of them for all steps of a segment at once, one
call per value that a map computes, of its sum; a stage that brings them in closed form, because autograd
is too slow there (tanh RNN, LSTM, GRU), is asked instead. What is left for the loop over time is a handful of in-place
products a step and one matrix product a stage.

The loop works on a *tape* ``(steps + 1, active, batch, slots, hidden_size)``. Row i holds what is known at step i of
the segment: the adjoint δ of every block of the state, and, of the step that comes after, the cotangents of its gates
and of the values that its stages hand on. Blocks come first, then each stage's gates, then the values it returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradscope.contract.chain import ChainRecurrence, Derivatives, Stage
from gradscope.contract.state import Prepared, State
from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.affine_maps import AffineMap
from gradscope.dynamics.cotangents import LocalSteps
from gradscope.dynamics.in_place import (
    Operation,
    accumulate_matrix_product,
    accumulate_product,
    add_product,
    by_step,
    matrix_product,
    product,
)
from gradscope.dynamics.segments import SegmentStates
from gradscope.errors import UsageError
from gradscope.numerics.scaled import Scaled


@dataclass
class Differentiated:
    """One value that a map computes, with its diagonal derivatives.

    Attributes:
        name: Of the block or of the value handed on.
        slots: Slot of the tape to derivative, ``(steps, batch, hidden_size)``; absent where it does not depend.
        nodes: Block computed earlier in the same map to derivative.
        u: Name in u to derivative, ``(steps, batch, width)``.
    """

    name: str
    slots: dict[int, Tensor] = field(default_factory=dict)
    nodes: dict[str, Tensor] = field(default_factory=dict)
    u: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """Which slot of the tape holds what; follows from the model alone."""

    blocks: dict[str, int]
    gates: tuple[range, ...]
    handed_on: tuple[dict[str, int], ...]
    count: int


@dataclass(frozen=True)
class Diagonals:
    """The linearised maps of one segment: for each stage, the values it computes, in the order of computation."""

    layout: Layout
    stages: tuple[tuple[Differentiated, ...], ...]
    inputs: tuple[Tensor, ...]


def diagonals(model: ChainRecurrence, here: SegmentStates, *, with_u: bool) -> Diagonals:
    """Evaluates the maps of a segment once, with gradients, at the states that are known."""
    blocks = {block.name: index for index, block in enumerate(model.state_spec)}
    values: dict[str, Tensor] = dict(here.before)
    slot_of, count = dict(blocks), len(blocks)
    u = {n: _full_width(v, model.hidden_size) for n, v in here.u.items()}
    times = here.times.reshape(-1, 1, 1)
    gates: list[range] = []
    handed_on: list[dict[str, int]] = []
    stages: list[tuple[Differentiated, ...]] = []
    inputs: list[Tensor] = []
    for index, stage in enumerate(model.stages):
        inputs.append(values[stage.input])
        count_gates = getattr(model, stage.weight).shape[0] // model.hidden_size
        gates.append(range(count, count + count_gates))
        count += count_gates
        if stage.derivatives is not None:
            given = stage.derivatives(model.product(stage, values), u["a"], values)
            stages.append(_closed_form(given, gates[-1], slot_of, with_u=with_u))
            handed_on.append({})
            break
        is_last = index == len(model.stages) - 1
        products = model.product(stage, values).split(model.hidden_size, dim=-1)
        found, returned = _differentiate(stage, products, gates[-1], values, slot_of, u, times, with_u=with_u)
        stages.append(tuple(found))
        new = {} if is_last else {name: count + k for k, name in enumerate(returned)}
        handed_on.append(new)
        slot_of |= new
        values |= returned
        count += len(new)
    return Diagonals(Layout(blocks, tuple(gates), tuple(handed_on), count), tuple(stages), tuple(inputs))


def _closed_form(
    given: tuple[Derivatives, ...], gates: range, slot_of: dict[str, int], *, with_u: bool
) -> tuple[Differentiated, ...]:
    """Derivatives that a stage knows, in the form of those that autograd finds."""
    found = []
    for value in given:
        slots = {gates[number]: derivative for number, derivative in value.gates.items()}
        slots |= {slot_of[name]: derivative for name, derivative in value.blocks.items()}
        u: dict[str, Tensor] = {}
        if with_u:
            zero = torch.zeros_like(next(iter(value.gates.values())))
            by_gate = {**value.gates, **value.u}
            u["a"] = torch.cat([by_gate.get(number, zero) for number in range(len(gates))], dim=-1)
        found.append(Differentiated(value.name, slots, dict(value.nodes), u))
    return tuple(found)


def _differentiate(
    stage: Stage,
    products: Iterable[Tensor],
    gates: range,
    values: dict[str, Tensor],
    slot_of: dict[str, int],
    u: Prepared,
    times: Tensor,
    *,
    with_u: bool,
) -> tuple[list[Differentiated], State]:
    nodes: dict[str, tuple[Tensor, Tensor]] = {}  # name -> (as computed, as seen by what follows)

    def cut(name: str, value: Tensor) -> Tensor:
        nodes[name] = (value, value.detach().requires_grad_())
        return nodes[name][1]

    with torch.enable_grad():
        a = tuple(product.detach().requires_grad_() for product in products)
        s = {name: value.detach().requires_grad_() for name, value in values.items()}
        u = {name: value.detach().requires_grad_(with_u) for name, value in u.items()}
        returned = stage.map(a, s, u, times, cut)
    computed = {name: value for name, (value, _) in nodes.items()}
    computed |= {name: value for name, value in returned.items() if name not in nodes}
    slots = [*gates, *(slot_of[name] for name in s)]
    found = []
    for name, value in computed.items():
        derivatives = Differentiated(name)
        found.append(derivatives)
        if not value.requires_grad:
            continue
        earlier = [n for n in nodes if n != name]
        leaves = [*a, *s.values(), *(nodes[n][1] for n in earlier), *(u.values() if with_u else ())]
        # the maps are pointwise: the gradient of the sum over units is the diagonal
        with torch.enable_grad():
            total = value.sum()
        grads = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
        split = len(slots), len(slots) + len(earlier)
        derivatives.slots = {k: g for k, g in zip(slots, grads[: split[0]], strict=True) if g is not None}
        derivatives.nodes = {n: g for n, g in zip(earlier, grads[split[0] : split[1]], strict=True) if g is not None}
        if with_u:
            derivatives.u = {n: g for n, g in zip(u, grads[split[1] :], strict=True) if g is not None}
    return found, {name: value.detach() for name, value in returned.items()}


class Program:
    """The loop over time, compiled once for a number of active lengths and used for one segment after another.

    Its memory is allocated once and stays in the cache; so do the views that the loop works on, of which every step
    needs a dozen. What a segment reads from the tape is valid until the next one is loaded.

    Args:
        model: The chain.
        maps: The first segment's diagonals; later ones have the same pattern.
        active: Number of active lengths.

    Attributes:
        tape: See above.
        totals: Total cotangent of every block that others are computed from, ``(steps, active, batch, hidden_size)``.
    """

    def __init__(self, model: ChainRecurrence, maps: Diagonals, active: int) -> None:
        self.layout, self._model = maps.layout, model
        like = maps.inputs[0]
        self.steps, self.active = len(like), active
        shape = (self.steps + 1, active, like.shape[1], maps.layout.count, model.hidden_size)
        self.tape = like.new_zeros(shape)
        self.totals: State = {}
        self._derivatives: list[tuple[int, int, list[int] | str, Tensor]] = []
        self.operations = self._compile(maps)
        self.load(maps)

    def load(self, maps: Diagonals) -> None:
        """Copies the derivatives of a segment to where the loop reads them."""
        for stage, index, key, buffer in self._derivatives:
            value = maps.stages[stage][index]
            if isinstance(key, str):
                buffer[: len(value.nodes[key])] = value.nodes[key]
            else:
                parts = [value.slots[slot] for slot in key]
                torch.stack(parts, dim=2, out=buffer[: len(parts[0])])

    def delta(self, name: str) -> Tensor:
        """Adjoint of a block at every step."""
        return self.tape[1:, ..., self.layout.blocks[name], :]

    def sources(self, stage: int) -> dict[str, Tensor]:
        """Where the cotangents of the values that a stage computes stand, ``(steps, active, batch, hidden_size)``."""
        handed_on = self.layout.handed_on[stage]
        if handed_on:
            return {name: self.tape[:-1, ..., slot, :] for name, slot in handed_on.items()}
        return {name: self.delta(name) for name in self.layout.blocks}

    def _compile(self, maps: Diagonals) -> list[Operation]:
        """The operations of one step, each with its operands at every step."""
        written: set[int] = set()
        operations: list[Operation] = []
        for stage in range(len(maps.stages) - 1, -1, -1):
            source = self.sources(stage)
            for index in range(len(maps.stages[stage]) - 1, -1, -1):  # what depends on a value comes before it
                value = maps.stages[stage][index]
                for name in value.nodes:
                    operations.append(self._through_node(stage, index, value, name, source))
                operations += self._through_slots(stage, index, value, source[value.name], written)
            operations.append(self._through_matrix(stage, written))
        return operations

    def _through_node(
        self, stage: int, index: int, value: Differentiated, name: str, source: dict[str, Tensor]
    ) -> Operation:
        base = source[name]
        if name not in self.totals:
            self.totals[name] = torch.empty_like(base, memory_format=torch.contiguous_format)
        buffer = torch.empty_like(value.nodes[name], memory_format=torch.contiguous_format)
        self._derivatives.append((stage, index, name, buffer))
        source[name] = self.totals[name]
        return add_product, by_step(base, buffer, source[value.name], self.totals[name])

    def _through_slots(
        self, stage: int, index: int, value: Differentiated, source: Tensor, written: set[int]
    ) -> list[Operation]:
        operations: list[Operation] = []
        for run in _runs(sorted(value.slots), written):
            like = value.slots[run[0]]
            buffer = like.new_empty((*like.shape[:2], len(run), like.shape[2]))
            self._derivatives.append((stage, index, run, buffer))
            target = self.tape[:-1, ..., run[0] : run[-1] + 1, :]
            operation = accumulate_product if run[0] in written else product
            operations.append((operation, by_step(buffer, source.unsqueeze(3), target)))
        written.update(value.slots)
        return operations

    def _through_matrix(self, index: int, written: set[int]) -> Operation:
        stage, gates, size = self._model.stages[index], self.layout.gates[index], self._model.hidden_size
        unused = [gate for gate in gates if gate not in written]
        if unused:
            raise UsageError(
                f"{type(self._model).__name__}: the map after {stage.weight} leaves gates {unused} unused."
            )
        slot = self.layout.blocks[stage.input] if index == 0 else self.layout.handed_on[index - 1][stage.input]
        rows = self.tape[:-1].flatten(1, 2).flatten(2)  # (steps, active · batch, slots · hidden_size)
        a_bar, target = rows[..., gates.start * size : gates.stop * size], rows[..., slot * size : (slot + 1) * size]
        operation = accumulate_matrix_product if slot in written else matrix_product
        written.add(slot)
        weight = getattr(self._model, stage.weight).detach()
        return operation, [(a, weight, out) for a, out in zip(a_bar.unbind(0), target.unbind(0), strict=True)]


class ChainSteps(LocalSteps):
    """Linearised steps of a chain."""

    def __init__(self, model: ChainRecurrence, here: SegmentStates, maps: Diagonals, program: Program) -> None:
        self._model, self._here, self._maps, self._program = model, here, maps, program
        self._steps = here.segment.steps
        self.delta = {name: program.delta(name)[: self._steps] for name in program.layout.blocks}

    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """The loop over time."""
        blocks, tape, operations = self._program.layout.blocks, self._program.tape, self._program.operations
        for name, slot in blocks.items():
            tape[last, ..., slot, :] = delta[name]
        terms = self._direct(direct) if direct else None
        for index in range(last - 1, first - 1, -1):
            if terms is not None:
                tape[index + 1, ..., : len(blocks), :].add_(terms[index - first])
            for operation, operands in operations:
                operation(*operands[index])
        return {name: tape[first, ..., slot, :].clone() for name, slot in blocks.items()}

    def _direct(self, direct: State) -> Tensor:
        like = next(iter(direct.values()))
        zero = like.new_zeros(()).expand_as(like)
        return torch.stack([direct.get(name, zero) for name in self._program.layout.blocks], dim=3)

    def total(self, name: str) -> Tensor:
        """δ, and for a block that others are computed from what comes through them."""
        return self._program.totals[name][: self._steps] if name in self._program.totals else self.delta[name]

    def _cotangents(self, stage: int) -> dict[str, Tensor]:
        """Total cotangents of the values that a stage computes."""
        found = self._program.sources(stage)
        if stage == len(self._maps.stages) - 1:
            found |= self._program.totals
        return {name: value[: self._steps] for name, value in found.items()}

    def prepared_cotangent(self) -> Prepared:
        """From the diagonals with respect to u, all steps at once."""
        u_bar: Prepared = {}
        for stage, computed in enumerate(self._maps.stages):
            cotangents = self._cotangents(stage)
            for value in computed:
                for name, derivative in value.u.items():
                    term = _times_units(derivative, cotangents[value.name])
                    u_bar[name] = u_bar[name] + term if name in u_bar else term
        return {n: v.sum(-1, keepdim=True) if self._here.u[n].shape[-1] == 1 else v for n, v in u_bar.items()}

    def _gate_cotangents(self, stage: int) -> Tensor:
        gates = self._maps.layout.gates[stage]
        return self._program.tape[: self._steps, ..., gates.start : gates.stop, :].flatten(3)

    def affine_maps(self, exponent: Tensor) -> tuple[AffineMap, ...]:
        """The matrices of the stages and their biases."""
        return tuple(
            AffineMap(stage.weight, stage.bias, y, Scaled(self._gate_cotangents(index), exponent))
            for index, (stage, y) in enumerate(zip(self._model.stages, self._maps.inputs, strict=True))
        )

    def parameter_gradients(self, alignment: Tensor) -> dict[str, Tensor]:
        """None: the maps after the products have no parameters."""
        return {}

    def recurrent_norm(self) -> Tensor:
        """‖∂L/∂a_t‖ ‖y_t‖ for each matrix: its share has rank one."""
        squares = []
        for index, y in enumerate(self._maps.inputs):
            a_bar = torch.linalg.vector_norm(self._gate_cotangents(index), dim=-1, dtype=torch.float64)
            squares.append((a_bar * torch.linalg.vector_norm(y, dim=-1, dtype=torch.float64).unsqueeze(1)).square())
        return torch.stack(squares).sum(0).sqrt()


class ChainAdjoint(RecurrenceAdjoint):
    """The adjoint of a :class:`~gradscope.contract.chain.ChainRecurrence`."""

    model: ChainRecurrence
    _program: Program | None = None

    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """The diagonals of a segment."""
        maps = diagonals(self.model, here, with_u=bool(self.wants.inputs or self.wants.parameters))
        program, segment = self._program, here.segment
        if program is None or program.active != segment.active or program.steps < segment.steps:
            program = self._program = Program(self.model, maps, segment.active)
        else:
            program.load(maps)
        return ChainSteps(self.model, here, maps, program)


def _runs(slots: list[int], written: set[int]) -> list[list[int]]:
    """Consecutive slots that are all written already, or all not."""
    runs: list[list[int]] = []
    for slot in slots:
        if runs and slot == runs[-1][-1] + 1 and (slot in written) == (runs[-1][-1] in written):
            runs[-1].append(slot)
        else:
            runs.append([slot])
    return runs


def _full_width(value: Tensor, hidden_size: int) -> Tensor:
    """A value of u that is one number for all units, written out for each, so that its derivative is a diagonal too."""
    return value.expand(*value.shape[:-1], hidden_size) if value.shape[-1] == 1 else value


def _times_units(derivative: Tensor, cotangent: Tensor) -> Tensor:
    """``(steps, batch, gates · hidden_size)`` times ``(steps, active, batch, hidden_size)``, gate by gate."""
    width = cotangent.shape[-1]
    by_gate = derivative.unflatten(-1, (-1, width)).unsqueeze(1)
    return torch.mul(by_gate, cotangent.unsqueeze(-2)).flatten(-2)
