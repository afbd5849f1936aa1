"""The values of a program for many rows at once: each is computed when it is asked for, and kept.

A row is a step of a sample. States and what the steps consume have one row each; a number of the step, or what follows
from it alone, stands beside features of any shape; constants have no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.program.dependence import Dependence
from gradscope.dynamics.program.trace import Value

JOINS = frozenset(("cat", "concat", "hstack"))

Functions = Mapping[str, Callable[..., Any]]


class Values(dict[Value, Tensor]):
    """Values of a program, ``(rows, *)``.

    Args:
        program: The program.
        known: Values that there are.
        rows: How many.
        functions: What to take in place of functions of torch, by name.
        quick: tanh by σ, to a unit in the last place of 1 in a sixth of the time: slopes are what the values are for.
        double: The values are of another precision than the step's.
    """

    def __init__(
        self,
        program: Dependence,
        known: Mapping[Value, Tensor],
        rows: int,
        functions: Functions | None = None,
        *,
        quick: bool = False,
        double: bool = False,
    ) -> None:
        super().__init__(known)
        self.program, self.rows, self._functions, self._quick = program, rows, functions or {}, quick
        self._double = double
        self._halves: dict[Value, Tensor] = {}

    @classmethod
    def of_step(
        cls,
        program: Dependence,
        s: Mapping[str, Tensor],
        u: Mapping[str, Tensor],
        t: Tensor,
        *,
        quick: bool = False,
        double: bool = False,
    ) -> Values:
        """Those that a step starts from.

        Args:
            program: The program.
            s: The old state, where values that depend on it will be asked for.
            u: What the steps consume.
            t: The number of each row's step, ``(rows,)``.
            quick: As of the class.
            double: As of the class.
        """
        given = {("t", ""): t, **{("s", name): value for name, value in s.items()}}
        given |= {("u", name): value for name, value in u.items()}
        known = {value: given[key] for key, value in program.traced.inputs.items() if key in given}
        return cls(program, program.constants | known, len(t), quick=quick, double=double)

    def inside(self, order: Iterable[int], leaves: Mapping[Value, Tensor], functions: Functions) -> Values:
        """The same values with others in the place of a region's leaves, and none of its results."""
        numbers = set(order)
        known = {value: found for value, found in self.items() if value.number not in numbers}
        return Values(self.program, known | dict(leaves), self.rows, functions, double=self._double)

    def __missing__(self, value: Value) -> Tensor:
        instruction = self.program.instruction(value)
        assert instruction is not None, f"{value} is not known"
        features, is_join = self.program.features(value), instruction.base_name in JOINS

        def told(given: Any) -> Any:
            if isinstance(given, Value):
                found = self.beside(given, features)
                is_row = is_join and given.number < 0 and found.dim() == features + 1
                return found.expand(self.rows, *found.shape[1:]) if is_row else found
            return self.rows if type(given) is int and given == self.program.traced.batch else given

        if self._quick and instruction.base_name == "tanh" and self.program.dtype(value) == torch.float32:
            self[value] = self.half(value).mul(2).sub_(1)  # tanh x = 2σ(2x) − 1
            return self[value]
        function = self._functions.get(instruction.base_name, instruction.function)
        if instruction.is_flat:
            named = {name: told(given) for name, given in instruction.kwargs.items()}
            result = function(*map(told, instruction.args), **named)
        else:
            result = function(*tree_map(told, instruction.args), **tree_map(told, instruction.kwargs))
        if instruction.results is None:
            # a step's number is a tensor of no dimension, which decides on no dtype; its rows would
            kind = self.program.dtype(value)
            wider = result.dtype != kind and not self._double
            self[value] = result.to(kind) if wider else result
        else:
            for item, part in enumerate(result):
                self[Value(value.number, item)] = part
        return self[value]

    def half(self, value: Value) -> Tensor:
        """σ(2x) of a value tanh x."""
        if value not in self._halves:
            instruction = self.program.instruction(value)
            assert instruction is not None
            x = self.beside(instruction.args[0], self.program.features(value))
            self._halves[value] = (2 * x).sigmoid_()
        return self._halves[value]

    def beside(self, value: Value, features: int) -> Tensor:
        """A value as it stands beside others that have so many dimensions of features."""
        found = self[value]
        if value.number < 0 or value.number in self.program.of_rows:
            return found
        return found.reshape(len(found), *[1] * max(0, features + 1 - found.dim()), *found.shape[1:])

    def new_state(self) -> State:
        """The blocks of the new state."""
        return {name: self[value] for name, value in self.program.traced.outputs.items()}


def prepared_rows(u: Prepared) -> Prepared:
    """``(steps, batch, *)`` as rows."""
    return {name: value.flatten(0, 1) for name, value in u.items()}
