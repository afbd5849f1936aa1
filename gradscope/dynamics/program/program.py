"""The program of a step: what leaves the loop over time, and what the reverse loop is made of.

Three kinds of instructions depend on the state. *Linear* ones multiply by a constant matrix. *Views* (chunks, slices,
joins) and additions of what does not depend on the state compute nothing backwards: the cotangent of the result is the
cotangent of the argument, or a part of it. *Pointwise* ones are taken together: between two of the others they make up
a region, whose derivatives are diagonals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.program.trace import TRACED_BATCH, Instruction, NotFollowed, Traced, Value
from gradscope.numerics import activations

_POINTWISE = """add sub mul div true_divide rsub __rsub__ __radd__ __rmul__ __rtruediv__ __rdiv__ pow __pow__ __rpow__
    neg abs sigmoid tanh relu exp log sqrt rsqrt square sin cos softplus silu gelu elu leaky_relu hardtanh hardsigmoid
    clamp clip clamp_min clamp_max where lerp addcmul addcdiv maximum minimum softsign logsigmoid reciprocal expm1
    log1p erf atan sinh cosh mish selu celu relu6 sign eq ne gt ge lt le __eq__ __ne__ __gt__ __ge__ __lt__ __le__
    logical_and logical_or logical_not __and__ __or__ __invert__ clone contiguous float double to type type_as
    zeros_like ones_like remainder __mod__ multiply subtract divide negative"""
POINTWISE = frozenset(_POINTWISE.split())
SHIFTS = frozenset(("add", "__radd__", "sub", "subtract"))  # by what does not depend on the state
JOINS = frozenset(("cat", "concat", "hstack"))
_VIEWS = "chunk split tensor_split __getitem__ narrow unbind roll view reshape flatten squeeze"
VIEWS = JOINS.union(_VIEWS.split())
LINEAR = frozenset(("linear", "matmul", "mm", "addmm", "__matmul__"))
REDUCTIONS = frozenset(("mean", "sum"))
EXACT = {"sigmoid": activations.sigmoid, "tanh": activations.tanh}  # whose slopes do not round to zero early

SHOWN_ROWS = 3  # of a batch that a view is tried on, to see which features it takes
MOST_PIECES = 8  # that the features of a view may come from

Environment = dict[Value, Tensor]


@dataclass(frozen=True)
class Piece:
    """Consecutive features of a base: a value that has cotangents of its own."""

    base: Value
    start: int
    width: int


@dataclass(frozen=True)
class Product:
    """A multiplication by a constant matrix: ``result += argument @ matrix``."""

    result: Value
    argument: tuple[Piece, ...]  # those of its features that depend on the state
    matrices: tuple[Tensor, ...]  # the matrix's rows for each of them, transposed: ``(result width, piece width)``


@dataclass(frozen=True)
class Region:
    """A pointwise value with all that it is computed from between it and the next value that is not.

    Attributes:
        result: The value.
        leaves: What the region starts from and depends on the state.
        order: Numbers of its instructions, in the order of computation.
    """

    result: Value
    leaves: tuple[Value, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Reduction:
    """Mean or sum over the features."""

    result: Value
    argument: tuple[Piece, ...]
    factor: float


class Program:
    """A traced step, sorted.

    Args:
        traced: What the step does.

    Raises:
        NotFollowed: An operation that is not known.

    Attributes:
        steps: Products, regions and reductions in the order of computation.
        blocks: Block of the state to the value that stands for the old one.
        outputs: Block to the pieces that are the new one.
    """

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self.blocks = {name: value for (kind, name), value in traced.inputs.items() if kind == "s"}
        self._dependent: set[int] = {value.number for value in self.blocks.values()}
        for number, instruction in self.instructions():
            if any(value.number in self._dependent for value in arguments(instruction)):
                self._dependent.add(number)
        self._cuts = self._cut_values()
        # Joined values whose parts do not all depend on the state: where each that does begins, and its pieces.
        self._joined: dict[Value, list[tuple[int, tuple[Piece, ...]]]] = {}
        self._pieces: dict[Value, tuple[Piece, ...]] = {}
        for value in self.blocks.values():
            self._pieces[value] = (Piece(value, 0, self.width(value)),)
        self.steps: list[Product | Region | Reduction] = []
        for number, instruction in self.instructions():
            if number in self._dependent:
                self._sort(number, instruction)
        self.outputs = {name: self.pieces(value) for name, value in traced.outputs.items()}

    def given(self, s: Mapping[str, Tensor], u: Mapping[str, Tensor], t: Tensor) -> Environment:
        """The values that a step starts from, without the state where there is none."""
        known = {("t", ""): t, **{("s", name): value for name, value in s.items()}}
        known |= {("u", name): value for name, value in u.items()}
        return {value: known[key] for key, value in self.traced.inputs.items() if key in known}

    @cached_property
    def schedule(self) -> tuple[tuple[int, Instruction | Region], ...]:
        """Every instruction that is in no region, and the regions in the place of their results."""
        regions = {step.result.number: step for step in self.steps if isinstance(step, Region)}
        inner = {number for region in regions.values() for number in region.order}
        return tuple(
            (number, regions.get(number, instruction))
            for number, instruction in self.instructions()
            if number in regions or number not in inner
        )

    def instructions(self) -> Iterator[tuple[int, Instruction]]:
        """Every instruction with its number, without the inputs."""
        for number, instruction in enumerate(self.traced.instructions):
            if instruction is not None:
                yield number, instruction

    def depends_on_state(self, value: Value) -> bool:
        """Whether a value depends on the state that the step starts from."""
        return value.number in self._dependent

    def shape(self, value: Value) -> tuple[int, ...]:
        """With the traced batch."""
        instruction = self.traced.instructions[value.number]
        if instruction is None:
            return self.traced.input_shapes[value.number]
        return instruction.shapes[value.item or 0]

    def width(self, value: Value) -> int:
        """Features of a value ``(batch, features)``."""
        shape = self.shape(value)
        if len(shape) != 2 or shape[0] != TRACED_BATCH:
            raise NotFollowed(f"a value of the state has the shape (batch, {', '.join(map(str, shape[1:]))})")
        return shape[1]

    def pieces(self, value: Value) -> tuple[Piece, ...]:
        """Where the cotangent of a value that depends on the state stands, feature by feature."""
        if value not in self._pieces:
            raise NotFollowed("a new state is made of values that do not depend on the old one")
        return self._pieces[value]

    def _cut_values(self) -> set[int]:
        """Pointwise values that something other than a pointwise map of their shape reads."""
        cuts = {value.number for value in self.traced.outputs.values()}
        for _number, instruction in self.instructions():
            pointwise = base_name(instruction) in POINTWISE
            for value in arguments(instruction):
                if not pointwise or self.shape(value) != instruction.shapes[0]:
                    cuts.add(value.number)
        return cuts

    def _sort(self, number: int, instruction: Instruction) -> None:
        name, value = base_name(instruction), Value(number)
        dependent = [argument for argument in arguments(instruction) if self.depends_on_state(argument)]
        if name in VIEWS:
            self._view(number, instruction, name)
        elif name in LINEAR:
            self._product(value, instruction, name, dependent)
        elif name in REDUCTIONS:
            self._reduction(value, instruction, name, dependent)
        elif name not in POINTWISE:
            raise NotFollowed(f"{instruction.name} is not an operation that is followed")
        elif name in SHIFTS and self._is_shift(instruction, dependent):
            self._pieces[value] = self.pieces(dependent[0])
        elif number in self._cuts:
            self.width(value)
            self._pieces[value] = (Piece(value, 0, self.width(value)),)
            self.steps.append(self._region(value))

    def _is_shift(self, instruction: Instruction, dependent: list[Value]) -> bool:
        """Whether something is added to, or taken from, the one argument that depends on the state."""
        if len(dependent) != 1 or instruction.kwargs or dependent[0] not in self._pieces:
            return False
        first = instruction.args[0] == dependent[0]
        return self.shape(dependent[0]) == instruction.shapes[0] and (first or base_name(instruction) != "sub")

    def _view(self, number: int, instruction: Instruction, name: str) -> None:
        if name in JOINS:
            dim = instruction.kwargs.get("dim", instruction.args[1] if len(instruction.args) > 1 else 0)
            if name != "hstack" and dim not in (1, -1):
                raise NotFollowed(f"{instruction.name} joins along another dimension than the features")
            parts: list[tuple[int, tuple[Piece, ...]]] = []
            start = 0
            for part in instruction.args[0]:
                width = part.shape[-1] if isinstance(part, Tensor) else self.width(part)
                if isinstance(part, Value) and self.depends_on_state(part):
                    parts.append((start, self.pieces(part)))
                start += width
            joined = tuple(piece for _, pieces in parts for piece in pieces)
            self._joined[Value(number)] = parts
            if sum(piece.width for piece in joined) == start:
                self._pieces[Value(number)] = joined
            return
        (argument,) = (v for v in arguments(instruction) if self.depends_on_state(v))
        positions = torch.arange(self.width(argument)).expand(SHOWN_ROWS, -1)

        def shown(given: Any) -> Any:
            if type(given) is int and given == TRACED_BATCH:
                return SHOWN_ROWS
            return positions if isinstance(given, Value) and given == argument else given

        told = tree_map(shown, (instruction.args, instruction.kwargs))
        results = instruction.function(*told[0], **told[1])
        results = list(results) if instruction.is_many else [results]
        source = self.pieces(argument)
        for index, result in enumerate(results):
            if result.dim() != 2 or result.shape[0] != SHOWN_ROWS:
                raise NotFollowed(f"{instruction.name} takes more than features apart")
            runs = consecutive(result[0].tolist())
            taken = [piece for start, width in runs for piece in sliced(source, start, width)]
            if len(taken) > MOST_PIECES:
                raise NotFollowed(f"{instruction.name} takes features that are not side by side")
            self._pieces[Value(number, index if instruction.is_many else None)] = tuple(taken)

    @property
    def summary(self) -> str:
        """What the loop over time consists of, in words."""
        kinds = {Product: "matrix product", Region: "pointwise map", Reduction: "reduction"}
        counts = {word: sum(isinstance(step, kind) for step in self.steps) for kind, word in kinds.items()}
        return ", ".join(f"{count} {word}{'s' * (count > 1)}" for word, count in counts.items() if count)

    def _product(self, value: Value, instruction: Instruction, name: str, dependent: list[Value]) -> None:
        args = instruction.args
        argument, matrix = (args[1], args[2]) if name == "addmm" else (args[0], args[1])
        if dependent != [argument] or not isinstance(matrix, Tensor) or matrix.dim() != 2:
            raise NotFollowed(f"{instruction.name} multiplies other things than a state by a parameter")
        if name == "linear":
            matrix = matrix.T
        if name == "addmm" and instruction.kwargs:
            raise NotFollowed(f"{instruction.name} has factors")
        parts = self._joined.get(argument) or [(0, self.pieces(argument))]
        pieces, rows = [], []
        for start, of_part in parts:
            for piece in of_part:
                pieces.append(piece)
                rows.append(matrix[start : start + piece.width].T.contiguous())
                start += piece.width
        self._pieces[value] = (Piece(value, 0, self.width(value)),)
        self.steps.append(Product(value, tuple(pieces), tuple(rows)))

    def _reduction(self, value: Value, instruction: Instruction, name: str, dependent: list[Value]) -> None:
        shape = instruction.shapes[0]
        if len(dependent) != 1 or shape != (TRACED_BATCH, 1):
            raise NotFollowed(f"{instruction.name} reduces more than features, or without keepdim=True")
        factor = 1.0 if name == "sum" else 1 / self.width(dependent[0])
        self._pieces[value] = (Piece(value, 0, 1),)
        self.steps.append(Reduction(value, self.pieces(dependent[0]), factor))

    def _region(self, result: Value) -> Region:
        leaves: dict[Value, None] = {}
        order: set[int] = set()

        def visit(value: Value) -> None:
            if value.number in order or not self.depends_on_state(value):
                return
            if value != result and value in self._pieces and not self._is_inner(value):
                leaves[value] = None
                return
            instruction = self.traced.instructions[value.number]
            assert instruction is not None
            order.add(value.number)
            for argument in arguments(instruction):
                visit(argument)

        visit(result)
        return Region(result, tuple(leaves), tuple(sorted(order)))

    def _is_inner(self, value: Value) -> bool:
        """Whether a shifted value is read by pointwise maps of its shape alone, so that its region goes through it."""
        instruction = self.traced.instructions[value.number]
        shifted = instruction is not None and base_name(instruction) in POINTWISE
        return shifted and value.number not in self._cuts


def base_name(instruction: Instruction) -> str:
    """The name of the function without the module it is in."""
    return instruction.name.rpartition(".")[2]


def arguments(instruction: Instruction) -> list[Value]:
    """The values that an instruction reads."""
    leaves: list[Any] = tree_flatten((instruction.args, instruction.kwargs))[0]
    return [value for value in leaves if isinstance(value, Value)]


def consecutive(positions: list[int]) -> list[tuple[int, int]]:
    """Runs of numbers that follow one another, by their first and how many they are.

    Example:
        >>> consecutive([3, 0, 1, 2])
        [(3, 1), (0, 3)]
    """
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and sum(runs[-1]) == position:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((position, 1))
    return runs


def sliced(pieces: tuple[Piece, ...], start: int, width: int) -> tuple[Piece, ...]:
    """The pieces of some consecutive features."""
    found, position = [], 0
    for piece in pieces:
        low, high = max(start, position), min(start + width, position + piece.width)
        if low < high:
            found.append(Piece(piece.base, piece.start + low - position, high - low))
        position += piece.width
    return tuple(found)


def evaluate(
    program: Program, s: Mapping[str, Tensor], u: Mapping[str, Tensor], t: Tensor, *, exact: bool = False
) -> Environment:
    """Every value of the program for rows ``(rows, *)``, whatever the rows are.

    Args:
        program: The program.
        s: The old state.
        u: What the steps consume.
        t: The number of each row's step, ``(rows,)``.
        exact: With slopes that stay exact where activations saturate, for gradients.
    """
    traced = program.traced
    found = program.given(s, u, t)
    for number, instruction in enumerate(traced.instructions):
        if instruction is not None:
            run(instruction, number, found, len(t), exact=exact)
    return found


def run(instruction: Instruction, number: int, found: Environment, rows: int, *, exact: bool) -> None:
    """One instruction, its result put beside the others."""
    rank = len(instruction.shapes[0])

    def told(given: Any) -> Any:
        if isinstance(given, Value):
            return beside(found[given], rank)
        if type(given) is int and given == TRACED_BATCH:
            return rows
        return given

    function: Callable[..., Any] = instruction.function
    if exact:
        function = EXACT.get(base_name(instruction), function)
    result = function(*tree_map(told, instruction.args), **tree_map(told, instruction.kwargs))
    if not instruction.is_many:
        found[Value(number)] = result
        return
    for item, part in enumerate(result):
        found[Value(number, item)] = part


def beside(value: Tensor, rank: int) -> Tensor:
    """A value as it stands beside others of a rank: a number for each step is a column beside features."""
    return value.reshape(-1, *[1] * (rank - 1)) if value.dim() == 1 and rank > 1 else value


def new_state(program: Program, found: Environment) -> State:
    """The blocks of the new state."""
    return {name: found[value] for name, value in program.traced.outputs.items()}


def prepared_rows(u: Prepared) -> Prepared:
    """``(steps, batch, *)`` as rows."""
    return {name: value.flatten(0, 1) for name, value in u.items()}
