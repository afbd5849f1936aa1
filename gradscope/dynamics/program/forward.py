"""The states of a followed step: what does not depend on the state for all steps at once, the rest in a loop.

The loop writes into buffers that are allocated once: of every step they hold the intermediate values, and the new state
goes straight to its place among the others. A product and what is added to it are one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.in_place import Operation
from gradscope.dynamics.program.program import VIEWS, Product, Program
from gradscope.dynamics.program.trace import Instruction, Value
from gradscope.dynamics.program.values import JOINS, Values, prepared_rows

_WRITING = """add sub mul div sigmoid tanh exp log sqrt rsqrt square abs neg sin cos pow maximum minimum reciprocal
    expm1 log1p erf lerp addcmul addcdiv clamp where atan sinh cosh multiply subtract divide negative true_divide
    matmul bmm"""
# Functions that write into a given tensor, by the name that a step calls them by.
INTO: dict[str, Callable[..., Any]] = {name: getattr(torch, name) for name in _WRITING.split()}
INTO |= {"__radd__": torch.add, "__rmul__": torch.mul, "__matmul__": torch.matmul}

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
        self.products = {step.result: step for step in program.steps if isinstance(step, Product)}
        self.fused = _fused(program, self.products)
        self.order = [
            (number, instruction)
            for number, instruction in program.instructions()
            if program.depends_on_state(Value(number)) and Value(number) not in self.fused
        ]

    @torch.no_grad()
    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """As :meth:`gradscope.Recurrence.run`."""
        times = torch.arange(start + 1, start + 1 + len(x), device=x.device)
        rows = Values.of_step(self.program, {}, prepared_rows(u), times.repeat_interleave(self.batch))
        block = _Block(self, rows, s, len(x))
        for number, instruction in self.order:
            block.add(number, instruction)
        block.add_copies()
        for index in range(len(x)):
            for function, operands in block.operations:
                function(*operands[index])
        return block.after


def _fused(program: Program, products: dict[Value, Product]) -> set[Value]:
    """Products that are read once, by an addition that takes them in: of matrices, and of two values."""
    found: set[Value] = set()
    for number, instruction in program.instructions():
        if instruction.base_name not in ("add", "__radd__") or instruction.kwargs or len(instruction.args) != 2:
            continue
        if not program.depends_on_state(Value(number)) or not all(isinstance(v, Value) for v in instruction.args):
            continue
        for value, other in (instruction.args, instruction.args[::-1]):
            inner = program.instruction(value)
            if inner is None or program.uses[value] != 1 or other in found or not program.depends_on_state(value):
                continue
            same = program.shape(value) == program.shape(Value(number))
            alike = program.dtype(value) == program.dtype(other)
            if not same or not alike:
                continue
            by_matrix = (
                value in products
                and not program.depends_on_state(other)
                and program.shape(other) == program.shape(value)
            )
            factors = all(isinstance(v, Value) and program.dtype(v) == program.dtype(value) for v in inner.args)
            by_factor = inner.base_name == "mul" and not inner.kwargs and factors
            if by_matrix or by_factor:
                found.add(value)
                break
    return found


class _Block:
    """The operations of one step, each with its operands at every step of a block.

    Args:
        loop: With the program, its buffers and its fused products.
        rows: Values that do not depend on the state, of all steps.
        s: The state before the block.
        steps: How many.

    Attributes:
        operations: In the order of computation.
        after: The new states, written by the operations, ``(steps, batch, *)``.
    """

    def __init__(self, loop: ForwardLoop, rows: Values, s: State, steps: int) -> None:
        self._loop, self._program, self._batch, self._steps = loop, loop.program, loop.batch, steps
        self._rows = rows
        self.after = {name: value.new_empty((steps, *value.shape)) for name, value in s.items()}
        self.operations: list[Operation] = []
        self._places = {self._program.traced.outputs[name]: name for name in self.after}
        self._written: set[Value] = set()
        self._values: dict[Value, Operands] = {}
        for name, value in self._program.blocks.items():
            self._values[value] = [s[name], *self.after[name][:-1].unbind(0)]

    def _known(self, value: Value) -> Operands:
        """A value at every step; what does not depend on the state is computed for all of them at once."""
        if value not in self._values:
            self._values[value] = (
                Everywhere([self._rows[value]]) if value.number < 0 else list(self._by_step(value).unbind(0))
            )
        return self._values[value]

    def _by_step(self, value: Value) -> Tensor:
        found: Tensor = self._rows[value]
        by_step = found.reshape(self._steps, self._batch, *found.shape[1:])
        return by_step[:, 0] if self._program.is_of_time(value) else by_step  # the step's number has no samples

    def add(self, number: int, instruction: Instruction) -> None:
        """One instruction that depends on the state."""
        name, value = instruction.base_name, Value(number)
        if name in VIEWS and self._viewed(number, instruction):
            return
        if instruction.results is not None:
            self._call_many(number, instruction)
            return
        out = self._values[value] = self._place(value)
        fused = next((v for v in instruction.reads if v in self._loop.fused), None)
        if fused is not None:
            self._add_fused(instruction, fused, out)
        elif value in self._loop.products:
            product = self._loop.products[value]
            argument, matrix = self._known(product.argument), Everywhere([product.matrix.T])
            if product.bias is None:
                self._operate(_mm, argument, matrix, out)
            else:
                self._operate(_addmm, self._known(product.bias), argument, matrix, out)
        else:
            self._call(instruction, out)

    def _add_fused(self, instruction: Instruction, fused: Value, out: Operands) -> None:
        first, second = instruction.args
        other = second if first == fused else first
        product = self._loop.products.get(fused)
        if product is None:
            inner = self._program.instruction(fused)
            assert inner is not None
            self._operate(_addcmul, self._known(other), *(self._known(v) for v in inner.args), out)
            return
        added = self._known(other)
        if product.bias is not None:
            bias = self._program.constants[product.bias]
            whole = torch.stack(list(added)) if not isinstance(added, Everywhere) else added[0]
            added = Everywhere([whole + bias]) if isinstance(added, Everywhere) else list((whole + bias).unbind(0))
        self._operate(_addmm, added, self._known(product.argument), Everywhere([product.matrix.T]), out)

    def add_copies(self) -> None:
        """Of new blocks that are not written to their place by the instruction that computes them."""
        for name, value in self._program.traced.outputs.items():
            if self._places[value] != name or value not in self._written:
                self._operate(_copy, list(self.after[name].unbind(0)), self._known(value))

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
            shape = tuple(self._sized(size) for size in self._program.shape(value))
            device = next(iter(self.after.values())).device
            buffers[value] = torch.empty(shape, dtype=self._program.dtype(value), device=device)
        return Everywhere([buffers[value]])

    def _viewed(self, number: int, instruction: Instruction) -> bool:
        """Whether the results are views of what the steps write to, which are then made once."""
        dependent = [v for v in instruction.reads if self._program.depends_on_state(v)]
        if len(dependent) != 1 or isinstance(instruction.args[0], tuple | list):
            return False
        source = self._known(dependent[0])

        def taken(one: Tensor) -> list[Tensor]:
            def told(given: Any) -> Any:
                if isinstance(given, Value):
                    return one if given == dependent[0] else self._program.constants[given]
                return self._sized(given)

            given = tree_map(told, (instruction.args, instruction.kwargs))
            result = instruction.function(*given[0], **given[1])
            return [result] if instruction.results is None else list(result)

        storage = source[0].untyped_storage().data_ptr()
        if any(part.untyped_storage().data_ptr() != storage for part in taken(source[0])):
            return False
        parts = [taken(one) for one in source]
        kind: type[list[Any]] = Everywhere if isinstance(source, Everywhere) else list
        for item in range(len(parts[0])):
            self._values[Value(number, None if instruction.results is None else item)] = kind(p[item] for p in parts)
        return True

    def _call(self, instruction: Instruction, out: Operands) -> None:
        """Any other function, with its arguments in their places."""
        name = instruction.base_name
        into = None if instruction.kwargs else INTO.get(name)
        if into is not None and all(isinstance(a, Value | int | float) for a in instruction.args):
            columns = [self._known(a) if isinstance(a, Value) else Everywhere([a]) for a in instruction.args]
            if name in ("div", "true_divide", "divide", "sub", "subtract", "where", "maximum", "minimum", "lerp"):
                columns = [self._as_tensor(column, out) for column in columns]
            if name in ("matmul", "__matmul__") and all(column[0].dim() == 3 for column in columns):
                into = torch.bmm
            self._operate(_calling(into, len(columns)), *columns, out)
        elif name in ("__rsub__", "rsub") and not instruction.kwargs:
            first = instruction.args[1]
            column = self._known(first) if isinstance(first, Value) else self._as_tensor(Everywhere([first]), out)
            self._operate(_calling(torch.sub, 2), column, self._known(instruction.args[0]), out)
        elif name == "relu" and len(instruction.args) == 1:
            zero = torch.zeros((), dtype=out[0].dtype, device=out[0].device)
            self._operate(_calling(torch.maximum, 2), self._known(instruction.args[0]), Everywhere([zero]), out)
        else:
            self._call_and_copy(instruction, out)

    def _as_tensor(self, column: Operands, out: Operands) -> Operands:
        """A Python number as a tensor, once."""
        if isinstance(column[0], Tensor):
            return column
        return Everywhere([torch.as_tensor(column[0], dtype=out[0].dtype, device=out[0].device)])

    def _sized(self, given: Any) -> Any:
        return self._batch if type(given) is int and given == self._program.traced.batch else given

    def _columns(self, instruction: Instruction) -> tuple[list[Operands], Any]:
        flat, shape = tree_flatten((instruction.args, instruction.kwargs))
        columns = [self._known(a) if isinstance(a, Value) else Everywhere([self._sized(a)]) for a in flat]
        if instruction.base_name in JOINS:
            columns = [
                Everywhere([column[0].expand(self._batch, *column[0].shape[1:])])
                if isinstance(column, Everywhere) and isinstance(column[0], Tensor)
                else column
                for column in columns
            ]
        return columns, shape

    def _call_and_copy(self, instruction: Instruction, out: Operands) -> None:
        columns, shape = self._columns(instruction)

        def general(*operands: Any) -> None:
            args, kwargs = tree_unflatten(list(operands[:-1]), shape)
            operands[-1].copy_(instruction.function(*args, **kwargs))

        self._operate(general, *columns, out)

    def _call_many(self, number: int, instruction: Instruction) -> None:
        columns, shape = self._columns(instruction)
        outs = [self._place(Value(number, item)) for item in range(instruction.results or 0)]
        for item, out in enumerate(outs):
            self._values[Value(number, item)] = out

        def general(*operands: Any) -> None:
            args, kwargs = tree_unflatten(list(operands[: -len(outs)]), shape)
            for target, result in zip(operands[-len(outs) :], instruction.function(*args, **kwargs), strict=True):
                target.copy_(result)

        self._operate(general, *columns, *outs)


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


def _addcmul(added: Tensor, first: Tensor, second: Tensor, out: Tensor) -> None:
    torch.addcmul(added, first, second, out=out)


def _mm(argument: Tensor, matrix: Tensor, out: Tensor) -> None:
    torch.mm(argument, matrix, out=out)


def _copy(out: Tensor, value: Tensor) -> None:
    out.copy_(value)
