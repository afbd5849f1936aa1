"""The diagonals of a region by the rules of differentiation, without autograd's bookkeeping.

Every function that cells are mostly made of has its slopes here; a region with any other is left to autograd, which the
rules are tested against. Slopes of σ and tanh stay exact where they saturate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradscope.dynamics.program.program import Program, Region
from gradscope.dynamics.program.trace import Instruction, NotFollowed, Value
from gradscope.dynamics.program.values import Values
from gradscope.numerics import activations


@dataclass(frozen=True)
class Slope:
    """A diagonal derivative: a number times tensors that are broadcast to the result's shape.

    Attributes:
        factor: The number.
        tensor: ``(rows, *)``, or with 1 in the place of what it does not depend on; ones where None.
        second: Another one, which it is still to be multiplied by.
    """

    factor: float
    tensor: Tensor | None = None
    second: Tensor | None = None

    def times(self, slope: Slope | Tensor | float) -> Slope:
        """The chain rule."""
        if isinstance(slope, Slope):
            assert slope.tensor is not None
            assert slope.second is None
            return Slope(self.factor * slope.factor, self.tensor, self.second).times(slope.tensor)
        if not isinstance(slope, Tensor):
            return Slope(self.factor * slope, self.tensor, self.second)
        product = self.product
        return Slope(self.factor, slope) if product is None else Slope(self.factor, product, slope)

    def plus(self, other: Slope) -> Slope:
        """Two ways from the same leaf."""
        first, second = self.product, other.product
        if first is None or second is None:
            if first is None and second is None:
                return Slope(self.factor + other.factor)
            known, constant = (other, self.factor) if first is None else (self, other.factor)
            return Slope(1.0, known.whole() + constant)
        if self.factor == other.factor:
            return Slope(self.factor, first + second)
        return Slope(1.0, torch.add(self.whole(), second, alpha=other.factor))

    @property
    def product(self) -> Tensor | None:
        """Of the tensors."""
        if self.tensor is None or self.second is None:
            return self.tensor
        return self.tensor * self.second

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the product; nothing for a number."""
        if self.tensor is None:
            return ()
        if self.second is None:
            return tuple(self.tensor.shape)
        return tuple(max(a, b) for a, b in zip(self.tensor.shape, self.second.shape, strict=True))

    def whole(self) -> Tensor:
        """The product with its factor."""
        product = self.product
        assert product is not None
        return product if self.factor == 1.0 else product * self.factor

    def write_to(self, out: Tensor) -> None:
        """The same, conjugated, in a place that there is."""
        assert self.tensor is not None
        if self.second is None or self.shape != out.shape:
            product = self.product
            assert product is not None
            out.copy_(product)
        else:
            torch.mul(self.tensor, self.second, out=out)
        if self.factor != 1.0:
            out.mul_(self.factor)
        if out.is_complex():
            torch.conj_physical(out, out=out)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Slope:
        """With other tensors."""
        tensor, second = (None if each is None else function(each) for each in (self.tensor, self.second))
        return Slope(self.factor, tensor, second)


Slopes = dict[Value, Slope]


class _Operands:
    """Result and arguments of an instruction, computed when a rule reads them."""

    def __init__(self, values: Values, number: int, instruction: Instruction) -> None:
        self._values, self._value, self._args = values, Value(number), instruction.args
        self._features = values.program.features(self._value)

    @property
    def y(self) -> Tensor:
        return self._values[self._value]

    @property
    def mirrored(self) -> Tensor:
        """σ(−x) of σ(x), which the step may have computed."""
        partner = self._values.program.mirrors.get(self._value)
        return self[0].neg().sigmoid_() if partner is None else self._values[partner]

    @property
    def half(self) -> Tensor:
        return self._values.half(self._value)

    @property
    def dtype(self) -> torch.dtype:
        return self._values.program.dtype(self._value)

    def __getitem__(self, index: int) -> Any:
        given = self._args[index]
        return self._values.beside(given, self._features) if isinstance(given, Value) else given

    def number(self, index: int) -> Any:
        """An argument in the precision of the result, be it a truth value or the number of the step."""
        found = self[index]
        known = isinstance(found, Tensor) and (found.is_floating_point() or found.is_complex())
        coarse = known and torch.finfo(found.dtype).eps > torch.finfo(self.dtype).eps
        return found.to(self.dtype) if isinstance(found, Tensor) and (coarse or not known) else found


def _reciprocal_slope(o: _Operands) -> Tensor:
    return -o.y * o.y


def _sech2(o: _Operands) -> Slope:
    """4 σ(2x) σ(−2x)."""
    return Slope(4.0, (o[0] * -2).sigmoid_().mul_(o.half))


Rule = float | Callable[[_Operands], Slope | Tensor | float] | None  # None of an argument that nothing can depend on
_ONE: tuple[Rule, ...] = (1.0,)
# The slope by each argument.
RULES: dict[str, tuple[Rule, ...]] = {
    "add": (1.0, 1.0),
    "sub": (1.0, -1.0),
    "mul": (lambda o: o.number(1), lambda o: o.number(0)),
    "div": (lambda o: 1 / o.number(1), lambda o: -o.y / o.number(1)),
    "rsub": (-1.0, 1.0),
    "__rdiv__": (lambda o: -o.y / o.number(0), lambda o: 1 / o.number(0)),
    "neg": (-1.0,),
    "sigmoid": (lambda o: o.mirrored * o.y,),
    "tanh": (_sech2,),
    "relu": (lambda o: (o[0] > 0).to(o.dtype),),
    "exp": (lambda o: o.y,),
    "log": (lambda o: 1 / o[0],),
    "sqrt": (lambda o: 0.5 / o.y,),
    "rsqrt": (lambda o: -0.5 * o.y**3,),
    "square": (lambda o: 2 * o[0],),
    "reciprocal": (_reciprocal_slope,),
    "sin": (lambda o: torch.cos(o[0]),),
    "cos": (lambda o: -torch.sin(o[0]),),
    "abs": (lambda o: torch.sign(o[0]),),
    "where": (None, lambda o: o[0].to(o.dtype), lambda o: (~o[0]).to(o.dtype)),
    "addcmul": (1.0, lambda o: o.number(2), lambda o: o.number(1)),
    "lerp": (lambda o: 1 - o.number(2), lambda o: o.number(2), lambda o: o[1] - o[0]),
    **dict.fromkeys(("clone", "contiguous", "expand", "expand_as", "broadcast_to"), _ONE),
}
RULES |= {"__radd__": RULES["add"], "__rmul__": RULES["mul"], "__rsub__": RULES["rsub"], "subtract": RULES["sub"]}
RULES |= {"multiply": RULES["mul"], "divide": RULES["div"], "true_divide": RULES["div"], "negative": RULES["neg"]}
RULES |= {"__rtruediv__": RULES["__rdiv__"]}
_FLAT = "gt ge lt le eq ne __gt__ __ge__ __lt__ __le__ __eq__ __ne__ sign zeros_like ones_like"
FLAT = frozenset(_FLAT.split())  # whose slopes are zero
NOT_COMPLEX = frozenset(("relu", "abs", "where", "sign"))  # whose rules hold for real numbers alone
EXACT = {"sigmoid": activations.sigmoid, "tanh": activations.tanh}  # whose slopes do not round to zero early


def has_rules(program: Program, region: Region) -> bool:
    """Whether every function of a region has its slopes here."""
    found = program.notes.get(region)
    if found is None:
        found = program.notes[region] = _has_rules(program, region)
    return found


def _has_rules(program: Program, region: Region) -> bool:
    for number in region.order:
        instruction = program.instruction(Value(number))
        if instruction is None or instruction.kwargs or instruction.base_name not in RULES.keys() | FLAT:
            return False
    return True


def region_slopes(program: Program, region: Region, values: Values, wanted: Collection[Value]) -> Slopes:
    """∂ result / ∂ leaf for some leaves of a region; those that it does not depend on are left out."""
    found = (slopes if has_rules(program, region) else differentiated)(program, region, values, wanted)
    rank = 1 + len(program.feature_shape(region.result))
    return {leaf: slope.mapped(lambda tensor: _with_rows(tensor, rank)) for leaf, slope in found.items()}


def slopes(program: Program, region: Region, values: Values, wanted: Collection[Value]) -> Slopes:
    """By rules.

    Args:
        program: The program.
        region: With rules for all its functions.
        values: What is known; more is computed where a rule reads it.
        wanted: Leaves.
    """
    reached = _between(program, region, wanted)
    with torch.no_grad():
        bars: Slopes = {region.result: Slope(1.0)}
        for number in reversed(region.order):
            bar = bars.pop(Value(number), None)
            if bar is not None:
                _through(program, number, values, bar, bars, reached)
    return {leaf: bars[leaf] for leaf in region.leaves if leaf in bars}


def _between(program: Program, region: Region, wanted: Collection[Value]) -> set[Value]:
    """The leaves that are wanted, and the values of the region on the way from them to the result."""
    reached = {leaf for leaf in region.leaves if leaf in wanted}
    for number in region.order:
        instruction = program.instruction(Value(number))
        assert instruction is not None
        if any(isinstance(argument, Value) and argument in reached for argument in instruction.args):
            reached.add(Value(number))
    return reached


def _through(program: Program, number: int, values: Values, bar: Slope, bars: Slopes, reached: set[Value]) -> None:
    instruction = program.instruction(Value(number))
    assert instruction is not None
    name = instruction.base_name
    if name in FLAT:
        return
    kinds = [program.dtype(value) for value in (Value(number), *instruction.reads)]
    if name in NOT_COMPLEX and any(kind.is_complex for kind in kinds):
        raise NotFollowed(f"{instruction.name} of complex numbers is not followed")
    operands = _Operands(values, number, instruction)
    for argument, rule in zip(instruction.args, RULES[name], strict=False):
        if rule is None or not isinstance(argument, Value) or argument not in reached:
            continue
        through = bar.times(rule(operands) if callable(rule) else rule)
        bars[argument] = bars[argument].plus(through) if argument in bars else through


def differentiated(program: Program, region: Region, values: Values, wanted: Collection[Value]) -> Slopes:
    """By autograd, of all rows at once."""
    if any(program.dtype(value).is_complex for value in (region.result, *region.leaves)):
        raise NotFollowed("a function of complex numbers has no rule of differentiation")
    shape = (values.rows, *program.feature_shape(region.result))
    with torch.enable_grad():
        leaves = {
            leaf: values.beside(leaf, len(shape) - 1).expand(shape).detach().requires_grad_()
            for leaf in region.leaves
            if leaf in wanted and values[leaf].is_floating_point()
        }
        result = values.inside(region.order, leaves, EXACT)[region.result]
        values[region.result] = result.detach()
        if not result.requires_grad:
            return {}
        # the maps are pointwise: the gradient of the sum over units is the diagonal
        ones = result.new_ones(()).expand_as(result)
        grads = torch.autograd.grad(result, list(leaves.values()), ones, allow_unused=True)
    return {leaf: Slope(1.0, grad) for leaf, grad in zip(leaves, grads, strict=True) if grad is not None}


def _with_rows(tensor: Tensor, rank: int) -> Tensor:
    """A slope that comes from constants alone is the same in all rows."""
    return tensor.reshape(*[1] * (rank - tensor.dim()), *tensor.shape)
