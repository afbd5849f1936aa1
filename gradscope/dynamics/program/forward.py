"""The states of a followed step: what does not depend on the state for all steps at once, the rest in a loop.

The loop writes into buffers that are allocated once: of every step they hold the intermediate values, and the new state
goes straight to its place among the others. A product and what is added to it are one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.program.program import (
    LINEAR,
    VIEWS,
    Environment,
    Program,
    arguments,
    base_name,
    prepared_rows,
    run,
)
from gradscope.dynamics.program.trace import TRACED_BATCH, Instruction, Value

_WRITING = """add sub mul div sigmoid tanh exp log sqrt rsqrt square abs neg sin cos pow maximum minimum reciprocal
    expm1 log1p erf lerp addcmul addcdiv clamp where atan sinh cosh multiply subtract divide negative true_divide"""
# Functions that write into a given tensor, by the name that a step calls them by.
INTO: dict[str, Callable[..., Any]] = {name: getattr(torch, name) for name in _WRITING.split()}
INTO |= {"__radd__": torch.add, "__rmul__": torch.mul}

Operands = list[Any]  # one entry a step, or the same for all


class Everywhere(list[Any]):
    """An operand that is the same in every step."""


class ForwardLoop:
    """Runs consecutive steps of a program, without gradients.

    Args:
        program: The step.
        batch: Samples.
    """

    def __init__(self, program: Program, batch: int) -> None:
        self._program, self._batch = program, batch
        self._buffers: dict[Value, Tensor] = {}
        self._uses, self._written = self._counted_uses(), set[Value]()

    def _counted_uses(self) -> dict[Value, int]:
        counts: dict[Value, int] = {}
        for instruction in self._program.traced.instructions:
            for value in arguments(instruction) if instruction is not None else ():
                counts[value] = counts.get(value, 0) + 1
        for value in self._program.traced.outputs.values():
            counts[value] = counts.get(value, 0) + 1
        return counts

    @torch.no_grad()
    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """As :meth:`gradscope.Recurrence.run`."""
        program, steps = self._program, len(x)
        times = torch.arange(start + 1, start + 1 + steps, device=x.device)
        hoisted = self._hoisted(u, times)
        after = {name: value.new_empty((steps, *value.shape)) for name, value in s.items()}
        values: dict[Value, Operands] = {v: list(known.unbind(0)) for v, known in hoisted.items()}
        places = {program.traced.outputs[name]: name for name in after}
        for name, value in program.blocks.items():
            values[value] = [s[name], *after[name][:-1].unbind(0)]
        operations: list[tuple[Callable[..., Any], list[tuple[Any, ...]]]] = []
        skipped = self._fused(hoisted)
        for number, instruction in enumerate(program.traced.instructions):
            if instruction is None or Value(number) in skipped or not self._is_sequential(instruction, number):
                continue
            self._add(operations, number, instruction, values, after, places, skipped, hoisted, steps)
        for name, value in program.traced.outputs.items():
            if places[value] != name or value not in self._written:
                operations.append((_copy, _rows(steps, after[name].unbind(0), values[value])))
        for index in range(steps):
            for function, operands in operations:
                function(*operands[index])
        return after

    def _is_sequential(self, instruction: Instruction, number: int) -> bool:
        return self._program.depends_on_state(Value(number))

    def _hoisted(self, u: Prepared, times: Tensor) -> Environment:
        """Everything that does not depend on the state, ``(steps, batch, *)``."""
        program, rows = self._program, len(times) * self._batch
        found: Environment = {}
        prepared = prepared_rows(u)
        for (kind, name), value in program.traced.inputs.items():
            if kind == "u":
                found[value] = prepared[name]
            elif kind == "t":
                found[value] = times.repeat_interleave(self._batch)
        for number, instruction in enumerate(program.traced.instructions):
            if instruction is not None and not program.depends_on_state(Value(number)):
                run(instruction, number, found, rows, exact=False)
        return {v: self._by_step(known, len(times)) for v, known in found.items()}

    def _by_step(self, known: Tensor, steps: int) -> Tensor:
        if not known.dim() or len(known) != steps * self._batch:
            return known.expand(steps, *known.shape)
        rows = known.reshape(steps, self._batch, *known.shape[1:])
        return rows.unsqueeze(-1) if known.dim() == 1 else rows  # a step's number is a column beside features

    def _fused(self, hoisted: Environment) -> dict[Value, Instruction]:
        """Products that are read once, by the addition of what does not depend on the state."""
        found: dict[Value, Instruction] = {}
        for instruction in self._program.traced.instructions:
            if instruction is None or base_name(instruction) != "add" or instruction.kwargs:
                continue
            dependent = [v for v in arguments(instruction) if self._program.depends_on_state(v)]
            other = [v for v in arguments(instruction) if not self._program.depends_on_state(v)]
            if len(dependent) != 1 or len(other) != 1 or self._uses[dependent[0]] != 1:
                continue
            product = self._program.traced.instructions[dependent[0].number]
            same = self._program.shape(other[0]) == instruction.shapes[0]
            if product is not None and base_name(product) in LINEAR and base_name(product) != "addmm" and same:
                found[dependent[0]] = product
        return found

    def _add(
        self,
        operations: list[tuple[Callable[..., Any], list[tuple[Any, ...]]]],
        number: int,
        instruction: Instruction,
        values: dict[Value, Operands],
        after: State,
        places: dict[Value, str],
        skipped: dict[Value, Instruction],
        hoisted: Environment,
        steps: int,
    ) -> None:
        name, value = base_name(instruction), Value(number)
        if name in VIEWS and self._viewed(number, instruction, values):
            return
        out = self._place(value, after, places, steps)
        values[value] = out
        fused = next((v for v in arguments(instruction) if v in skipped), None)
        if fused is not None:
            (other,) = (v for v in arguments(instruction) if v != fused)
            argument, matrix, bias = _product_of(skipped[fused])
            added = hoisted[other] if bias is None else hoisted[other] + bias
            operations.append((_addmm, _rows(steps, added.unbind(0), values[argument], Everywhere([matrix]), out)))
        elif name in LINEAR and name != "addmm":
            argument, matrix, bias = _product_of(instruction)
            if bias is None:
                operations.append((_mm, _rows(steps, values[argument], Everywhere([matrix]), out)))
            else:
                rows = _rows(steps, Everywhere([bias]), values[argument], Everywhere([matrix]), out)
                operations.append((_addmm, rows))
        else:
            operations.append(self._called(instruction, values, out, steps))

    def _place(self, value: Value, after: State, places: dict[Value, str], steps: int) -> Operands:
        """Where a value is written: its place in the new state, or a buffer that all steps share."""
        if value in places:
            self._written.add(value)
            return list(after[places[value]].unbind(0))
        if value not in self._buffers:
            like = next(iter(after.values()))
            shape = tuple(self._batch if size == TRACED_BATCH else size for size in self._program.shape(value))
            instruction = self._program.traced.instructions[value.number]
            assert instruction is not None
            self._buffers[value] = like.new_empty(shape, dtype=instruction.dtypes[0])
        return Everywhere([self._buffers[value]])

    def _viewed(self, number: int, instruction: Instruction, values: dict[Value, Operands]) -> bool:
        """Whether the results are views of what the steps write to, which are then made once."""
        dependent = [v for v in arguments(instruction) if self._program.depends_on_state(v)]
        if len(dependent) != 1 or isinstance(instruction.args[0], tuple | list):
            return False
        source = values[dependent[0]]

        def taken(one: Tensor) -> list[Tensor]:
            def told(v: Any) -> Any:
                return one if isinstance(v, Value) and v == dependent[0] else _sized(v, self._batch)

            given = tree_map(told, (instruction.args, instruction.kwargs))
            result = instruction.function(*given[0], **given[1])
            return list(result) if instruction.is_many else [result]

        storage = source[0].untyped_storage().data_ptr()
        if any(part.untyped_storage().data_ptr() != storage for part in taken(source[0])):
            return False
        parts = [taken(one) for one in source]
        kind: type[list[Any]] = Everywhere if isinstance(source, Everywhere) else list
        for item in range(len(instruction.shapes)):
            values[Value(number, item if instruction.is_many else None)] = kind(part[item] for part in parts)
        return True

    def _called(
        self, instruction: Instruction, values: dict[Value, Operands], out: Operands, steps: int
    ) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
        """Any other function, with its arguments in their places."""
        name, batch = base_name(instruction), self._batch
        into = None if instruction.kwargs else INTO.get(name)
        if into is not None and all(isinstance(a, Value | Tensor | int | float) for a in instruction.args):
            columns = [values[a] if isinstance(a, Value) else Everywhere([a]) for a in instruction.args]
            return _calling(into, len(columns)), _rows(steps, *columns, out)
        if name in ("__rsub__", "rsub") and not instruction.kwargs and not isinstance(instruction.args[1], Value):
            like = out[0]
            first = torch.as_tensor(instruction.args[1], dtype=like.dtype, device=like.device)
            return _calling(torch.sub, 2), _rows(steps, Everywhere([first]), values[instruction.args[0]], out)
        if name == "relu" and len(instruction.args) == 1:
            zero = torch.zeros((), dtype=out[0].dtype, device=out[0].device)
            return _calling(torch.maximum, 2), _rows(steps, values[instruction.args[0]], Everywhere([zero]), out)
        flat, shape = tree_flatten((instruction.args, instruction.kwargs))
        columns = [values[a] if isinstance(a, Value) else Everywhere([_sized(a, batch)]) for a in flat]

        def general(*operands: Any) -> None:
            args, kwargs = tree_unflatten(list(operands[:-1]), shape)
            operands[-1].copy_(instruction.function(*args, **kwargs))

        return general, _rows(steps, *columns, out)


def _product_of(instruction: Instruction) -> tuple[Value, Tensor, Tensor | None]:
    """What is multiplied, the matrix on its right, and a bias."""
    args = instruction.args
    if base_name(instruction) == "linear":
        bias = args[2] if len(args) > 2 else instruction.kwargs.get("bias")
        return args[0], args[1].T, bias
    return args[0], args[1], None


def _sized(given: Any, batch: int) -> Any:
    return batch if type(given) is int and given == TRACED_BATCH else given


def _rows(steps: int, *columns: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The operands of every step."""
    full = [list(column) * steps if isinstance(column, Everywhere) else column for column in columns]
    return list(zip(*full, strict=True))


def _calling(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function that writes into its last operand, for one or two arguments without a detour."""

    def one(first: Tensor, out: Tensor) -> None:
        function(first, out=out)

    def two(first: Any, second: Any, out: Tensor) -> None:
        function(first, second, out=out)

    def call(*operands: Any) -> None:
        function(*operands[:-1], out=operands[-1])

    by_count: dict[int, Callable[..., Any]] = {1: one, 2: two}
    return by_count.get(count, call)


def _addmm(added: Tensor, argument: Tensor, matrix: Tensor, out: Tensor) -> None:
    torch.addmm(added, argument, matrix, out=out)


def _mm(argument: Tensor, matrix: Tensor, out: Tensor) -> None:
    torch.mm(argument, matrix, out=out)


def _copy(out: Tensor, value: Tensor) -> None:
    out.copy_(value)
