"""The states of a followed step: what does not depend on the state for all steps at once, the rest in a loop.

The loop writes into buffers that are allocated once: of every step they hold the intermediate values, and the new state
goes straight to its place among the others. A product and what is added to it are one call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.in_place import Operation
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
        self.program, self.batch = program, batch
        self.buffers: dict[Value, Tensor] = {}
        self.fused = _fused_products(program)
        self._hoists = [
            (number, instruction)
            for number, instruction in program.instructions()
            if not program.depends_on_state(Value(number))
        ]

    @torch.no_grad()
    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """As :meth:`gradscope.Recurrence.run`."""
        times = torch.arange(start + 1, start + 1 + len(x), device=x.device)
        block = _Block(self, self._hoisted(u, times), s, len(x))
        for number, instruction in self.program.instructions():
            if self.program.depends_on_state(Value(number)) and Value(number) not in self.fused:
                block.add(number, instruction)
        block.add_copies()
        for index in range(len(x)):
            for function, operands in block.operations:
                function(*operands[index])
        return block.after

    def _hoisted(self, u: Prepared, times: Tensor) -> Environment:
        """Everything that does not depend on the state, ``(steps, batch, *)``."""
        rows = len(times) * self.batch
        found = self.program.given({}, prepared_rows(u), times.repeat_interleave(self.batch))
        for number, instruction in self._hoists:
            run(instruction, number, found, rows, exact=False)
        return {value: self._by_step(known, len(times)) for value, known in found.items()}

    def _by_step(self, known: Tensor, steps: int) -> Tensor:
        if not known.dim() or len(known) != steps * self.batch:
            return known.expand(steps, *known.shape)
        rows = known.reshape(steps, self.batch, *known.shape[1:])
        return rows.unsqueeze(-1) if known.dim() == 1 else rows  # a step's number is a column beside features


def _fused_products(program: Program) -> dict[Value, Instruction]:
    """Products that are read once, by the addition of what does not depend on the state."""
    uses = Counter(value for _, instruction in program.instructions() for value in arguments(instruction))
    uses.update(program.traced.outputs.values())
    found: dict[Value, Instruction] = {}
    for _, instruction in program.instructions():
        if base_name(instruction) != "add" or instruction.kwargs:
            continue
        dependent = [v for v in arguments(instruction) if program.depends_on_state(v)]
        other = [v for v in arguments(instruction) if not program.depends_on_state(v)]
        if len(dependent) != 1 or len(other) != 1 or uses[dependent[0]] != 1:
            continue
        product = program.traced.instructions[dependent[0].number]
        same = program.shape(other[0]) == instruction.shapes[0]
        if product is not None and base_name(product) in LINEAR and base_name(product) != "addmm" and same:
            found[dependent[0]] = product
    return found


class _Block:
    """The operations of one step, each with its operands at every step of a block.

    Args:
        loop: With the program, its buffers and its fused products.
        hoisted: What does not depend on the state.
        s: The state before the block.
        steps: How many.

    Attributes:
        operations: In the order of computation.
        after: The new states, written by the operations, ``(steps, batch, *)``.
    """

    def __init__(self, loop: ForwardLoop, hoisted: Environment, s: State, steps: int) -> None:
        self._loop, self._program, self._batch, self._steps = loop, loop.program, loop.batch, steps
        self._hoisted = hoisted
        self.after = {name: value.new_empty((steps, *value.shape)) for name, value in s.items()}
        self.operations: list[Operation] = []
        self._places = {self._program.traced.outputs[name]: name for name in self.after}
        self._written: set[Value] = set()
        self._values: dict[Value, Operands] = {value: list(known.unbind(0)) for value, known in hoisted.items()}
        for name, value in self._program.blocks.items():
            self._values[value] = [s[name], *self.after[name][:-1].unbind(0)]

    def add(self, number: int, instruction: Instruction) -> None:
        """One instruction that depends on the state."""
        name, value = base_name(instruction), Value(number)
        if name in VIEWS and self._viewed(number, instruction):
            return
        out = self._values[value] = self._place(value)
        fused = next((v for v in arguments(instruction) if v in self._loop.fused), None)
        if fused is not None:
            (other,) = (v for v in arguments(instruction) if v != fused)
            argument, matrix, bias = _product_of(self._loop.fused[fused])
            added = self._hoisted[other] if bias is None else self._hoisted[other] + bias
            self._operate(_addmm, list(added.unbind(0)), self._values[argument], Everywhere([matrix]), out)
        elif name in LINEAR and name != "addmm":
            argument, matrix, bias = _product_of(instruction)
            if bias is None:
                self._operate(_mm, self._values[argument], Everywhere([matrix]), out)
            else:
                self._operate(_addmm, Everywhere([bias]), self._values[argument], Everywhere([matrix]), out)
        else:
            self._call(instruction, out)

    def add_copies(self) -> None:
        """Of new blocks that are not written to their place by the instruction that computes them."""
        for name, value in self._program.traced.outputs.items():
            if self._places[value] != name or value not in self._written:
                self._operate(_copy, list(self.after[name].unbind(0)), self._values[value])

    def _operate(self, function: Callable[..., Any], *columns: Operands) -> None:
        full = [list(column) * self._steps if isinstance(column, Everywhere) else column for column in columns]
        self.operations.append((function, list(zip(*full, strict=True))))

    def _place(self, value: Value) -> Operands:
        """Where a value is written: its place in the new state, or a buffer that all steps share."""
        if value in self._places:
            self._written.add(value)
            return list(self.after[self._places[value]].unbind(0))
        buffers = self._loop.buffers
        if value not in buffers:
            like = next(iter(self.after.values()))
            shape = tuple(_sized(size, self._batch) for size in self._program.shape(value))
            instruction = self._program.traced.instructions[value.number]
            assert instruction is not None
            buffers[value] = like.new_empty(shape, dtype=instruction.dtypes[0])
        return Everywhere([buffers[value]])

    def _viewed(self, number: int, instruction: Instruction) -> bool:
        """Whether the results are views of what the steps write to, which are then made once."""
        dependent = [v for v in arguments(instruction) if self._program.depends_on_state(v)]
        if len(dependent) != 1 or isinstance(instruction.args[0], tuple | list):
            return False
        source = self._values[dependent[0]]

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
            self._values[Value(number, item if instruction.is_many else None)] = kind(part[item] for part in parts)
        return True

    def _call(self, instruction: Instruction, out: Operands) -> None:
        """Any other function, with its arguments in their places."""
        name = base_name(instruction)
        into = None if instruction.kwargs else INTO.get(name)
        if into is not None and all(isinstance(a, Value | Tensor | int | float) for a in instruction.args):
            columns = [self._values[a] if isinstance(a, Value) else Everywhere([a]) for a in instruction.args]
            self._operate(_calling(into, len(columns)), *columns, out)
        elif name in ("__rsub__", "rsub") and not instruction.kwargs and not isinstance(instruction.args[1], Value):
            first = torch.as_tensor(instruction.args[1], dtype=out[0].dtype, device=out[0].device)
            self._operate(_calling(torch.sub, 2), Everywhere([first]), self._values[instruction.args[0]], out)
        elif name == "relu" and len(instruction.args) == 1:
            zero = torch.zeros((), dtype=out[0].dtype, device=out[0].device)
            self._operate(_calling(torch.maximum, 2), self._values[instruction.args[0]], Everywhere([zero]), out)
        else:
            self._call_and_copy(instruction, out)

    def _call_and_copy(self, instruction: Instruction, out: Operands) -> None:
        flat, shape = tree_flatten((instruction.args, instruction.kwargs))
        columns = [self._values[a] if isinstance(a, Value) else Everywhere([_sized(a, self._batch)]) for a in flat]

        def general(*operands: Any) -> None:
            args, kwargs = tree_unflatten(list(operands[:-1]), shape)
            operands[-1].copy_(instruction.function(*args, **kwargs))

        self._operate(general, *columns, out)


def _product_of(instruction: Instruction) -> tuple[Value, Tensor, Tensor | None]:
    """What is multiplied, the matrix on its right, and a bias."""
    args = instruction.args
    if base_name(instruction) == "linear":
        bias = args[2] if len(args) > 2 else instruction.kwargs.get("bias")
        return args[0], args[1].T, bias
    return args[0], args[1], None


def _sized(given: Any, batch: int) -> Any:
    return batch if type(given) is int and given == TRACED_BATCH else given


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
