"""The diagonals of a region by the rules of differentiation, without autograd's bookkeeping.

Every function that cells are mostly made of has its slopes here; a region with any other is left to autograd, which the
rules are tested against. Slopes of σ and tanh stay exact where they saturate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradscope.dynamics.program.program import Environment, Program, Region, base_name, beside, run
from gradscope.dynamics.program.trace import Value

Slope = Tensor | float | None  # None of an argument that nothing depends on
Bar = tuple[float, Tensor | None]  # a factor and a tensor, of which None is ones


def _tanh(x: Tensor) -> Tensor:
    return torch.sigmoid(2 * x).mul_(torch.sigmoid(-2 * x)).mul_(4)


# Arguments and result to the slope by each argument.
RULES: dict[str, Callable[..., tuple[Slope, ...]]] = {
    "add": lambda y, a, b: (1.0, 1.0),
    "sub": lambda y, a, b: (1.0, -1.0),
    "mul": lambda y, a, b: (b, a),
    "div": lambda y, a, b: (1 / b, -y / b if isinstance(b, Tensor) else None),
    "rsub": lambda y, a, b: (-1.0, 1.0),
    "neg": lambda y, a: (-1.0,),
    "sigmoid": lambda y, a: (torch.sigmoid(-a).mul_(y),),
    "tanh": lambda y, a: (_tanh(a),),
    "relu": lambda y, a: ((a > 0).to(a.dtype),),
    "exp": lambda y, a: (y,),
    "sqrt": lambda y, a: (0.5 / y,),
    "rsqrt": lambda y, a: (-0.5 * y * y * y,),
    "square": lambda y, a: (2 * a,),
    "reciprocal": lambda y, a: (-y * y,),
    "sin": lambda y, a: (torch.cos(a),),
    "cos": lambda y, a: (-torch.sin(a),),
    "where": lambda y, c, a, b: (None, c.to(y.dtype), (~c).to(y.dtype)),
    "clone": lambda y, a: (1.0,),
    "contiguous": lambda y, a: (1.0,),
}
RULES |= {"__radd__": RULES["add"], "__rmul__": RULES["mul"], "__rsub__": RULES["rsub"], "subtract": RULES["sub"]}
RULES |= {"multiply": RULES["mul"], "divide": RULES["div"], "true_divide": RULES["div"], "negative": RULES["neg"]}
_FLAT = "gt ge lt le eq ne __gt__ __ge__ __lt__ __le__ __eq__ __ne__ sign zeros_like ones_like"
FLAT = frozenset(_FLAT.split())  # whose slopes are zero


def has_rules(program: Program, region: Region) -> bool:
    """Whether every function of a region has its slopes here."""
    for number in region.order:
        instruction = program.traced.instructions[number]
        if instruction is None or instruction.kwargs or base_name(instruction) not in RULES.keys() | FLAT:
            return False
    return True


def slopes(program: Program, region: Region, known: Environment, rows: int) -> Environment:
    """∂ result / ∂ leaf by leaf, and the result put beside what is known.

    Args:
        program: The program.
        region: With rules for all its functions.
        known: The values of the leaves and of what does not depend on the state.
        rows: Rows of every value.
    """
    values = dict(known)
    with torch.no_grad():
        for number in region.order:
            instruction = program.traced.instructions[number]
            assert instruction is not None
            run(instruction, number, values, rows, exact=False)
        known[region.result] = values[region.result]
        bars: dict[Value, Bar] = {region.result: (1.0, None)}
        for number in reversed(region.order):
            bar = bars.pop(Value(number), None)
            if bar is not None:
                _through(program, number, values, bar, bars)
    width = program.width(region.result)
    return {leaf: _written_out(bars[leaf], known[leaf], width) for leaf in region.leaves if leaf in bars}


def _through(program: Program, number: int, values: Environment, bar: Bar, bars: dict[Value, Bar]) -> None:
    instruction = program.traced.instructions[number]
    assert instruction is not None
    name = base_name(instruction)
    if name in FLAT:
        return
    rank = len(instruction.shapes[0])
    given: list[Any] = [beside(values[a], rank) if isinstance(a, Value) else a for a in instruction.args]
    for argument, slope in zip(instruction.args, RULES[name](values[Value(number)], *given), strict=True):
        if slope is None or not isinstance(argument, Value) or not program.depends_on_state(argument):
            continue
        through = _times(bar, slope)
        bars[argument] = _plus(bars[argument], through) if argument in bars else through


def _times(bar: Bar, slope: Tensor | float) -> Bar:
    factor, tensor = bar
    if not isinstance(slope, Tensor):
        return factor * slope, tensor
    return factor, slope if tensor is None else tensor * slope


def _plus(first: Bar, second: Bar) -> Bar:
    (a, x), (b, y) = first, second
    if x is None or y is None:
        if x is None and y is None:
            return a + b, None
        tensor, scale, constant = (y, b, a) if x is None else (x, a, b)
        assert tensor is not None
        return 1.0, tensor * scale + constant
    if a == b:
        return a, x + y
    return 1.0, torch.add(x * a if a != 1.0 else x, y, alpha=b)


def _written_out(bar: Bar, like: Tensor, width: int) -> Tensor:
    factor, tensor = bar
    if tensor is None:
        return like.new_full((len(like), width), factor)
    tensor = tensor.expand(len(like), width)
    return tensor if factor == 1.0 else tensor * factor
