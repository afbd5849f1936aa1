"""What the values of a traced step depend on, and their shapes.

A value depends on the state, on what the step consumes alone, on the number of the step alone, or on nothing: a
constant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch

from gradscope.dynamics.program.trace import Instruction, NotFollowed, Traced, Value


class Dependence:
    """The values that a new state is computed from.

    Args:
        traced: What the step does.

    Attributes:
        constants: Constant to its numbers, without gradient.
        blocks: Block of the state to the value that stands for the old one.
        mirrors: A value σ(x) to one that is σ(−x), where there are both.
        of_rows: Numbers of the values that have a row for each sample.
        of_state: Numbers of the values that depend on the state.
        uses: How often a value is read, by instructions and as a new state.
    """

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self._features: dict[Value, int] = {}
        self.constants = {value: constant.detach() for value, constant in traced.constants.items()}
        self.blocks = {name: value for (kind, name), value in traced.inputs.items() if kind == "s"}
        self._used = self._reached_from_outputs()
        self.of_state = self._closure({value.number for value in self.blocks.values()})
        consumed = {value.number for (kind, _), value in traced.inputs.items() if kind == "u"}
        self.of_rows = self._closure(consumed | self.of_state)
        self.uses = Counter(value for _, instruction in self.instructions() for value in instruction.reads)
        self.uses.update(traced.outputs.values())
        self.mirrors = self._mirrored_values()

    def instruction(self, value: Value) -> Instruction | None:
        """What computes a value; None of an input or a constant."""
        return self.traced.instructions[value.number] if value.number >= 0 else None

    def instructions(self) -> Iterator[tuple[int, Instruction]]:
        """Every instruction that the new state depends on with its number, without the inputs."""
        for number, instruction in enumerate(self.traced.instructions):
            if instruction is not None and number in self._used:
                yield number, instruction

    def depends_on_state(self, value: Value) -> bool:
        """Whether a value depends on the state that the step starts from."""
        return value.number in self.of_state

    def has_rows(self, value: Value) -> bool:
        """Whether a value has a row for each sample."""
        return value.number in self.of_rows

    def is_of_time(self, value: Value) -> bool:
        """Whether a value follows from the number of the step alone."""
        return value.number >= 0 and value.number not in self.of_rows

    def needs_gradient(self, value: Value) -> bool:
        """Whether a value is a constant that parameters are behind."""
        return value in self.traced.trained

    def takes_cotangents(self, value: Value) -> bool:
        """Whether a gradient with respect to a value is asked for anywhere."""
        kind = self.dtype(value)
        return (self.has_rows(value) and (kind.is_floating_point or kind.is_complex)) or self.needs_gradient(value)

    def shape(self, value: Value) -> tuple[int, ...]:
        """With the traced batch."""
        return self.traced.shapes[value] if value.number >= 0 else tuple(self.constants[value].shape)

    def dtype(self, value: Value) -> torch.dtype:
        """Of a value."""
        return self.traced.dtypes[value] if value.number >= 0 else self.constants[value].dtype

    def feature_shape(self, value: Value) -> tuple[int, ...]:
        """Without the batch."""
        shape = self.shape(value)
        if not shape or shape[0] != self.traced.batch:
            raise NotFollowed(f"a value of the state has the shape {tuple(shape)}, which does not begin with the batch")
        return shape[1:]

    def features(self, value: Value) -> int:
        """Dimensions of the features of what an instruction gives."""
        found = self._features.get(value)
        if found is None:
            instruction = self.instruction(value)
            first = value if instruction is None or instruction.results is None else Value(value.number, 0)
            found = self._features[value] = len(self.shape(first)) - self.has_rows(value)
        return found

    def width(self, value: Value) -> int:
        """Features of a value."""
        width = 1
        for size in self.feature_shape(value):
            width *= size
        return width

    def _closure(self, numbers: set[int]) -> set[int]:
        """Some values and all that depend on them."""
        found = set(numbers)
        for number, instruction in self.instructions():
            if any(value.number in found for value in instruction.reads):
                found.add(number)
        return found

    def _reached_from_outputs(self) -> set[int]:
        found: set[int] = set()
        waiting = list(self.traced.outputs.values())
        while waiting:
            value = waiting.pop()
            instruction = self.instruction(value)
            if value.number not in found:
                found.add(value.number)
                waiting += instruction.reads if instruction is not None else ()
        return found

    def _mirrored_values(self) -> dict[Value, Value]:
        """Pairs of σ(x) and σ(−x)."""
        of: dict[Value, Value] = {}  # argument to σ of it
        minus: dict[Value, Value] = {}  # a value to what it is minus of
        for number, instruction in self.instructions():
            if instruction.base_name == "sigmoid" and not instruction.kwargs:
                of[instruction.args[0]] = Value(number)
            elif instruction.base_name in ("neg", "negative"):
                minus[Value(number)] = instruction.args[0]
        pairs = [(of[taken], of[x]) for taken, x in minus.items() if taken in of and x in of]
        return dict([*pairs, *((second, first) for first, second in pairs)])
