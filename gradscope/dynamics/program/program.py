"""The program of a step: what leaves the loop over time, and what the reverse loop is made of.

What does not depend on the state leaves the loop. Backwards, *views* (chunks, slices, joins) and additions to
a value compute nothing: the cotangent of the result is the cotangent of the argument, or a part of it. *Pointwise*
functions are taken together: between two of the others they make up a region, whose derivatives are diagonals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from gradscope.dynamics.program.contraction import Contraction, contraction
from gradscope.dynamics.program.dependence import Dependence
from gradscope.dynamics.program.pieces import Piece, consecutive, sliced
from gradscope.dynamics.program.trace import Instruction, NotFollowed, Traced, Value
from gradscope.dynamics.program.values import JOINS

_POINTWISE = """add sub mul div true_divide rsub __rsub__ __radd__ __rmul__ __rtruediv__ __rdiv__ pow __pow__ __rpow__
    neg abs sigmoid tanh relu exp log sqrt rsqrt square sin cos softplus silu gelu elu leaky_relu hardtanh hardsigmoid
    clamp clip clamp_min clamp_max where lerp addcmul addcdiv maximum minimum softsign logsigmoid reciprocal expm1
    log1p erf atan sinh cosh mish selu celu relu6 sign eq ne gt ge lt le __eq__ __ne__ __gt__ __ge__ __lt__ __le__
    logical_and logical_or logical_not __and__ __or__ __invert__ clone contiguous float double to type type_as
    zeros_like ones_like remainder __mod__ multiply subtract divide negative expand expand_as broadcast_to conj"""
POINTWISE = frozenset(_POINTWISE.split())
SHIFTS = frozenset(("add", "__radd__", "sub", "subtract"))  # by what does not depend on the state
_VIEWS = """chunk split tensor_split __getitem__ narrow unbind roll view reshape flatten unflatten squeeze unsqueeze
    select transpose permute movedim swapaxes T mT t"""
VIEWS = JOINS.union(_VIEWS.split())
LINEAR = frozenset(("linear", "addmm"))
CONTRACTIONS = frozenset(("matmul", "mm", "bmm", "einsum", "__matmul__"))
REDUCTIONS = frozenset(("mean", "sum", "level"))

SHOWN_ROWS = 3  # of a batch that a view is tried on, to see which features it takes
MOST_PIECES = 8  # that the features of a view may come from


@dataclass(frozen=True)
class Product:
    """A multiplication by a constant matrix: ``result = argument @ matrix.T + bias``.

    Attributes:
        result: The value.
        argument: What is multiplied, its last dimension.
        matrix: ``(result width, argument width)``, without gradient.
        source: The constant that the matrix is.
        transposed: Whether the constant is the matrix's transpose.
        bias: A constant that is added.
    """

    result: Value
    argument: Value
    matrix: Tensor
    source: Value
    transposed: bool
    bias: Value | None


@dataclass(frozen=True)
class Region:
    """A pointwise value with all that it is computed from between it and the next value that is not.

    Attributes:
        result: The value.
        leaves: What the region starts from, constants among them.
        order: Numbers of its instructions, in the order of computation.
    """

    result: Value
    leaves: tuple[Value, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Shift:
    """The addition of something to a value whose cotangent it shares.

    Attributes:
        result: The sum.
        added: What is added, or taken away.
        sign: 1 or −1.
    """

    result: Value
    added: Value
    sign: float


@dataclass(frozen=True)
class Reduction:
    """A sum over dimensions of the features, times a factor.

    Attributes:
        result: The value.
        argument: What is summed.
        kept: The result's shape with the dimensions summed over as 1.
        factor: 1, or one over the number of features of a mean.
    """

    result: Value
    argument: Value
    kept: tuple[int, ...]
    factor: float


Step = Product | Region | Shift | Reduction | Contraction


class Program(Dependence):
    """A traced step, sorted.

    Args:
        traced: What the step does.

    Raises:
        NotFollowed: An operation that is not known.

    Attributes:
        steps: In the order of computation.
        outputs: Block to the pieces that are the new one.
        notes: What others found out about a region.
    """

    def __init__(self, traced: Traced) -> None:
        super().__init__(traced)
        self._cuts = self._cut_values()
        self.notes: dict[Region, bool] = {}
        self._permuted: dict[Value, tuple[Value, tuple[int, ...]]] = {}  # a view that swaps dimensions: of what, how
        self._pieces: dict[Value, tuple[Piece, ...]] = {}
        for value in traced.inputs.values():
            if value.number in self.of_rows:
                self._pieces[value] = (Piece(value, 0, self.width(value)),)
        self.steps: list[Step] = []
        for number, instruction in self.instructions():
            if number in self.of_rows:
                self._sort(number, instruction)
            elif any(self.needs_gradient(value) for value in instruction.reads):
                raise NotFollowed("a parameter meets the number of the step alone")
        self.outputs = {name: self.pieces(value) for name, value in traced.outputs.items()}

    def in_loop(self, step: Step) -> bool:
        """Whether a step belongs to the loop over time: all others are taken for all steps at once."""
        return self.depends_on_state(step.result)

    def pieces(self, value: Value) -> tuple[Piece, ...]:
        """Where the cotangent of a value stands, feature by feature."""
        if value not in self._pieces:
            if value in self._permuted:
                raise NotFollowed("dimensions of the state are swapped")
            raise NotFollowed("a new state is made of values that do not depend on the old one")
        return self._pieces[value]

    @property
    def summary(self) -> str:
        """What the loop over time consists of, in words."""
        kinds: dict[type[Step], str] = {
            Product: "matrix product",
            Contraction: "product of states and inputs",
            Region: "pointwise map",
            Reduction: "reduction",
        }
        inside = [step for step in self.steps if self.in_loop(step)]
        counts = {word: sum(isinstance(step, kind) for step in inside) for kind, word in kinds.items()}
        words = [
            f"{count} {word.replace(' ', 's ', 1) if ' of ' in word else word + 's'}"
            if count > 1
            else f"{count} {word}"
            for word, count in counts.items()
            if count
        ]
        return ", ".join(words) or "copies"

    def _cut_values(self) -> set[int]:
        """Values that something other than a pointwise map of their shape reads, or the loop and what is outside."""
        cuts = {value.number for value in self.traced.outputs.values()}
        for number, instruction in self.instructions():
            pointwise = instruction.base_name in POINTWISE
            result = Value(number, None if instruction.results is None else 0)
            for value in instruction.reads:
                leaves_loop = number in self.of_state and not self.depends_on_state(value)
                if not pointwise or leaves_loop or self.shape(value) != self.shape(result):
                    cuts.add(value.number)
        return cuts

    def _sort(self, number: int, instruction: Instruction) -> None:
        name, value = instruction.base_name, Value(number)
        if instruction.results is None:
            self.feature_shape(value)
        with_rows = [argument for argument in instruction.reads if self.has_rows(argument)]
        if name in VIEWS:
            self._view(number, instruction, name, with_rows)
        elif name in LINEAR:
            self._product(value, instruction, name, with_rows)
        elif name in CONTRACTIONS:
            self._contraction(value, instruction, name)
        elif name in REDUCTIONS:
            self._reduction(value, instruction, name, with_rows)
        elif name not in POINTWISE:
            raise NotFollowed(f"{instruction.name} is not an operation that is followed")
        elif number in self._cuts:
            shifted = self._shifted(value, instruction)
            if shifted is not None:
                base, added = shifted
                self._pieces[value] = self.pieces(base)
                self.steps += [Shift(value, each, sign) for each, sign in added if self.takes_cotangents(each)]
            else:
                self._base(value)
                self.steps.append(self._region(value))

    def _base(self, value: Value) -> None:
        self._pieces[value] = (Piece(value, 0, self.width(value)),)

    def _shifted(self, value: Value, instruction: Instruction) -> tuple[Value, list[tuple[Value, float]]] | None:
        """What a value is but for additions of what does not depend on the state, and these with their signs.

        None where the value has a cotangent of its own, since others read what it is made of.
        """
        if instruction.base_name not in SHIFTS or instruction.kwargs or len(instruction.args) != 2:
            return None
        of_state = [v for v in instruction.reads if self.depends_on_state(v)]
        if len(of_state) != 1:
            return None
        (base,) = of_state
        same = self.shape(base) == self.shape(value) and self.dtype(base) == self.dtype(value)
        is_taken = instruction.base_name.startswith("sub")
        if not same or not self._is_read_once(base) or (is_taken and instruction.args[0] != base):
            return None
        other = instruction.args[1] if instruction.args[0] == base else instruction.args[0]
        added = [(other, -1.0 if is_taken else 1.0)] if isinstance(other, Value) else []
        if base in self._pieces:
            # the cotangent of an old state is of a step before, with what the loss adds there
            of_old_state = any(piece.base in self.blocks.values() for piece in self._pieces[base])
            return None if of_old_state else (base, added)
        inner = self.instruction(base)
        deeper = self._shifted(base, inner) if inner is not None and inner.base_name in POINTWISE else None
        return None if deeper is None else (deeper[0], [*deeper[1], *added])

    def _is_read_once(self, value: Value) -> bool:
        """Whether one instruction reads a value, and nothing else what it is a view of."""
        if self.uses[value] != 1:
            return False
        instruction = self.instruction(value)
        if instruction is None or instruction.base_name not in VIEWS:
            return True
        return all(self._is_read_once(whole) for whole in instruction.reads if self.has_rows(whole))

    def _view(self, number: int, instruction: Instruction, name: str, with_rows: list[Value]) -> None:
        if name in JOINS:
            self._join(number, instruction, name)
            return
        (argument,) = with_rows
        if instruction.args[0] != argument:
            raise NotFollowed(f"{instruction.name} takes places that the state or the input says")
        shape, width = self.feature_shape(argument), self.width(argument)
        positions = torch.arange(width).reshape(1, *shape).expand(SHOWN_ROWS, *shape)

        def shown(given: Any) -> Any:
            if type(given) is int and given == self.traced.batch:
                return SHOWN_ROWS
            if isinstance(given, Value):
                return positions if given == argument else self.constants.get(given)
            return given

        told = tree_map(shown, (instruction.args, instruction.kwargs))
        results = instruction.function(*told[0], **told[1])
        results = [results] if instruction.results is None else list(results)
        for index, result in enumerate(results):
            if not result.dim() or result.shape[0] != SHOWN_ROWS or not torch.equal(result[0], result[1]):
                raise NotFollowed(f"{instruction.name} takes more than features apart")
            found = Value(number, None if instruction.results is None else index)
            runs = consecutive(result[0].flatten().tolist())
            swapped = _permutation(result[0], shape)
            if swapped is not None and len(runs) > 1:
                self._permuted[found] = argument, swapped
                continue
            if argument in self._permuted:
                raise NotFollowed("dimensions of the state are swapped")
            taken = [piece for start, count in runs for piece in sliced(self.pieces(argument), start, count)]
            if len(taken) > MOST_PIECES:
                raise NotFollowed(f"{instruction.name} takes features that are not side by side")
            self._pieces[found] = tuple(taken)

    def _join(self, number: int, instruction: Instruction, name: str) -> None:
        value = Value(number)
        dim = instruction.kwargs.get("dim", instruction.args[1] if len(instruction.args) > 1 else 0)
        if name == "hstack":
            dim = 1
        if dim % len(self.shape(value)) != 1:
            raise NotFollowed(f"{instruction.name} joins along another dimension than the first of the features")
        taken: list[Piece] = []
        tensors = instruction.args[0] if instruction.args else ()
        for part in tensors:
            if self.has_rows(part):
                taken += self.pieces(part)
            elif part in self.constants and len(self.constants[part]) == 1:
                taken.append(Piece(part, 0, self.constants[part].numel()))
        if sum(piece.width for piece in taken) != self.width(value):
            raise NotFollowed(f"{instruction.name} joins values of the batch with others")
        self._pieces[value] = tuple(taken)

    def _product(self, value: Value, instruction: Instruction, name: str, with_rows: list[Value]) -> None:
        args = instruction.args
        if name == "linear":
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | instruction.kwargs
            argument, source, bias = given["input"], given["weight"], given.get("bias")
        else:
            bias, argument, source = args
        if with_rows != [argument] or (instruction.kwargs and name == "addmm"):
            raise NotFollowed(f"{instruction.name} multiplies other things than a state by a parameter")
        self._multiplied(value, argument, source, bias, transposed=name != "linear")

    def _multiplied(
        self, value: Value, argument: Value, source: Value, bias: Value | None, *, transposed: bool
    ) -> None:
        matrix = self.constants[source]
        if matrix.dim() != 2 or argument not in self._pieces:
            raise NotFollowed("a product is none of a state by a matrix")
        self._base(value)
        self._same_field(argument, value)
        matrix = (matrix.T if transposed else matrix).contiguous()
        self.steps.append(Product(value, argument, matrix, source, transposed, bias))

    def _contraction(self, value: Value, instruction: Instruction, name: str) -> None:
        if instruction.kwargs or len(instruction.args) != 2 + (name == "einsum"):
            raise NotFollowed(f"{instruction.name} has more operands than two")
        first, second = instruction.args[-2:]
        if not isinstance(first, Value) or not isinstance(second, Value):
            raise NotFollowed(f"{instruction.name} has its operands in a list")
        equation = instruction.args[0] if name == "einsum" else None
        found = contraction(self, value, first, second, equation, self._permuted)
        if isinstance(found, Contraction):
            for operand in found.operands:
                if self.has_rows(operand):
                    self.pieces(operand)
                self._same_field(operand, value)
            self._base(value)
            self.steps.append(found)
        else:
            argument, source, transposed = found
            self._multiplied(value, argument, source, None, transposed=transposed)

    def _reduction(self, value: Value, instruction: Instruction, name: str, with_rows: list[Value]) -> None:
        (argument,) = with_rows
        shape = self.feature_shape(argument)
        given = dict(zip(("input", "dim", "keepdim"), instruction.args, strict=False)) | instruction.kwargs
        dim = -1 if name == "level" else given.get("dim", given.get("axis"))
        if dim is None or set(given) - {"input", "dim", "axis", "keepdim"}:
            raise NotFollowed(f"{instruction.name} reduces more than features")
        dims = {one % (len(shape) + 1) for one in ((dim,) if isinstance(dim, int) else dim)}
        if 0 in dims:
            raise NotFollowed(f"{instruction.name} reduces the batch")
        kept = tuple(1 if index + 1 in dims else size for index, size in enumerate(shape))
        count = self.width(argument) // max(1, _size(kept))
        factor = {"sum": 1.0, "mean": 1 / count, "level": 0.0}[name]
        self._base(value)
        self.pieces(argument)
        self.steps.append(Reduction(value, argument, kept, factor))

    def _region(self, result: Value) -> Region:
        leaves: dict[Value, None] = {}
        order: set[int] = set()
        inside = self.depends_on_state(result)

        def visit(value: Value) -> None:
            if value.number in order or self.is_of_time(value):
                return
            is_leaf = value.number < 0 or inside != self.depends_on_state(value)
            if value != result and (is_leaf or self._has_cotangent(value)):
                if self.takes_cotangents(value):
                    leaves[value] = None
                return
            instruction = self.instruction(value)
            assert instruction is not None
            order.add(value.number)
            for argument in instruction.reads:
                visit(argument)

        visit(result)
        for leaf in leaves:
            if self.has_rows(leaf):
                self.pieces(leaf)
            self._same_field(leaf, result)
        return Region(result, tuple(leaves), tuple(sorted(order)))

    def _same_field(self, argument: Value, result: Value) -> None:
        """Real parts and moduli of a state are no function with one complex derivative."""
        if self.depends_on_state(argument) and self.dtype(argument).is_complex != self.dtype(result).is_complex:
            raise NotFollowed("the step goes from complex numbers to real ones, or back")

    def _has_cotangent(self, value: Value) -> bool:
        return value in self._pieces or value in self._permuted


def _permutation(result: Tensor, shape: Sequence[int]) -> tuple[int, ...] | None:
    """How two dimensions of positions were swapped; None where they were not."""
    plain = torch.arange(result.numel()).reshape(tuple(shape)) if result.numel() == _size(shape) else None
    if plain is None or result.dim() != len(shape):
        return None
    for first in range(len(shape)):
        for second in range(first):
            if torch.equal(result, plain.transpose(first, second)):
                order = list(range(len(shape)))
                order[first], order[second] = second, first
                return tuple(order)
    return None


def _size(shape: Sequence[int]) -> int:
    size = 1
    for one in shape:
        size *= one
    return size
