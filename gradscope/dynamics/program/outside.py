"""What lies outside the loop: cotangents of what the steps consume, and of parameters, for all steps at once.

The loop has found the cotangents of all values that depend on the state. From there on nothing is recurrent: the same
rules are applied to whole segments, through what was hoisted out of the loop as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.linearised import Linearised
from gradscope.dynamics.program.pieces import Piece, flat
from gradscope.dynamics.program.program import Product, Program, Reduction, Region, Shift, Step
from gradscope.dynamics.program.reverse import summed_to
from gradscope.dynamics.program.slopes import Slopes
from gradscope.dynamics.program.trace import Value


@dataclass(frozen=True)
class Share:
    """What the steps contribute to the gradient of a constant: ā as it is, or ā ⊗ y.

    Attributes:
        constant: Of the program.
        cotangent: ā, ``(steps, active, batch, *)``.
        multiplied: y, ``(steps, batch, columns)``.
        transposed: y ⊗ ā in place of ā ⊗ y.
    """

    constant: Value
    cotangent: Tensor
    multiplied: Tensor | None = None
    transposed: bool = False

    def summed(self, alignment: Tensor) -> Tensor:
        """Over the steps, each times its power of two, ``(active, batch, *constant shape)``."""
        bar = self.cotangent * alignment.reshape(*alignment.shape, *[1] * (self.cotangent.dim() - 3))
        if self.multiplied is None:
            return bar.sum(0)
        bar, y = (
            bar.movedim(0, 2),
            self.multiplied.movedim(0, 1),
        )  # (active, batch, steps, rows), (batch, steps, columns)
        return y.mT.conj() @ bar if self.transposed else bar.mT @ y.conj()


class Outside:
    """Cotangents for all steps of a segment at once.

    Args:
        program: The step.
        given: The segment's coefficients, with those of others than the state.
        after: Cotangents of the new state of every step, ``(steps, active, batch, *)``.
        bars: Cotangents of all values in the loop, where it has found them; without them every step is gone through by
            itself, as if it were the only one.

    Attributes:
        bars: Cotangents of what the steps start from: the old state's blocks, where the loop has not found them, and
            what the steps consume.
        prepared: ∂L/∂u_t through the steps.
        shares: Of the constants that parameters are behind.
    """

    def __init__(
        self, program: Program, given: Linearised, after: State, bars: Mapping[Value, Tensor] | None = None
    ) -> None:
        self._program, self._given, self._in_loop = program, given, bars
        self.bars: dict[Value, Tensor] = {}
        self._own: set[Value] = set()  # whose cotangents stand in memory of their own, and may be written to
        self.shares: list[Share] = []
        for name, pieces in program.outputs.items():
            self._spread(after[name], pieces)
        for linear in reversed(given.loop):
            bar = self._of_loop(linear.step.result)
            if bar is not None:
                self._through(linear.step, bar, linear.slopes, linear.factors)
        for step in reversed(program.steps if given.with_others else ()):
            found = None if program.in_loop(step) else self.bars.get(step.result)
            if found is not None:
                slopes = given.slopes(step) if isinstance(step, Region) else {}
                factors = given.factors(step) if isinstance(step, Contraction) else {}
                self._through(step, found, slopes, factors)
        inputs = {value: name for (kind, name), value in program.traced.inputs.items() if kind == "u"}
        self.prepared: Prepared = {inputs[v]: bar for v, bar in self.bars.items() if v in inputs}

    def _of_loop(self, result: Value) -> Tensor | None:
        """The cotangent of a value in the loop, or of one that shares others'; None where nothing reaches it."""
        steps, known = self._given.steps, self.bars if self._in_loop is None else self._in_loop
        if result in known:
            return known[result][:steps]
        pieces = self._program.pieces(result)
        if not all(piece.base in known for piece in pieces) or pieces[0].base == result:
            return None
        parts = [flat(known[piece.base][:steps])[..., piece.start : piece.start + piece.width] for piece in pieces]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        return joined.reshape(*joined.shape[:3], *self._program.feature_shape(result))

    def _is_asked_for(self, value: Value) -> bool:
        """Whether a cotangent is to be found here: the loop has found those of what depends on the state."""
        return self._in_loop is None or not self._program.depends_on_state(value)

    def _through(self, step: Step, bar: Tensor, slopes: Slopes, factors: Mapping[int, Tensor]) -> None:
        program = self._program
        if isinstance(step, Region):
            for leaf, slope in slopes.items():
                if self._is_asked_for(leaf):
                    product = slope.product
                    factor = None if product is None else product.unsqueeze(1).conj()
                    term = self._summed(bar, factor, program.feature_shape(leaf) if program.has_rows(leaf) else leaf)
                    self._add(leaf, term if slope.factor == 1.0 else term * slope.factor)
        elif isinstance(step, Shift) and self._given.with_others:
            shape = program.feature_shape(step.added) if program.has_rows(step.added) else step.added
            self._add(step.added, self._summed(bar, None, shape) * step.sign)
        elif isinstance(step, Product):
            self._through_product(step, bar)
        elif isinstance(step, Contraction):
            for operand, other in factors.items():
                if self._is_asked_for(step.operands[operand]):
                    rows = program.has_rows(step.operands[1 - operand])
                    self._add(
                        step.operands[operand], step.cotangent(operand, bar, other.unsqueeze(1) if rows else other)
                    )
        elif isinstance(step, Reduction) and step.factor:
            spread = bar.reshape(*bar.shape[:3], *step.kept) * step.factor
            self._spread(
                spread.expand(*bar.shape[:3], *program.feature_shape(step.argument)), program.pieces(step.argument)
            )

    def _through_product(self, step: Product, bar: Tensor) -> None:
        program = self._program
        if self._given.with_others and step.bias is not None and program.needs_gradient(step.bias):
            self._add(step.bias, self._summed(bar, None, step.bias))
        if self._given.with_others and program.needs_gradient(step.source):
            y = self._given.by_step(self._given.values[step.argument])
            self.shares.append(Share(step.source, bar, y, step.transposed))
        start = 0
        for piece in program.pieces(step.argument):
            if self._is_asked_for(piece.base):
                matrix = step.matrix[:, start : start + piece.width].conj().to(bar.dtype)
                self._spread(bar @ matrix, (piece,))
            start += piece.width

    def _summed(self, bar: Tensor, factor: Tensor | None, like: Value | tuple[int, ...]) -> Tensor:
        """factor ⊙ bar, summed over the features along which a leaf was repeated."""
        shape = tuple(self._program.constants[like].shape) if isinstance(like, Value) else like
        if isinstance(like, Value) and len(shape) == bar.dim() - 2:  # a row that stands for the whole batch
            return self._summed_features(bar, factor, shape[1:]).unsqueeze(3)
        return self._summed_features(bar, factor, shape)

    def _summed_features(self, bar: Tensor, factor: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        if tuple(bar.shape[3:]) == shape:
            return bar if factor is None else bar * factor
        return summed_to(bar, factor, shape, 3)

    def _add(self, value: Value, term: Tensor) -> None:
        if value.number < 0:
            self._share(value, term)
        else:
            self._spread(term, self._program.pieces(value))

    def _share(self, constant: Value, term: Tensor) -> None:
        if self._program.needs_gradient(constant):
            is_real = not self._program.dtype(constant).is_complex
            self.shares.append(Share(constant, term.real if is_real and term.is_complex() else term))

    def _spread(self, term: Tensor, pieces: tuple[Piece, ...]) -> None:
        """Adds a cotangent to the values that its features stand for, those in the loop left out."""
        start, laid_flat = 0, flat(term)
        for piece in pieces:
            part = laid_flat[..., start : start + piece.width]
            start += piece.width
            if piece.base.number < 0 or not self._program.takes_cotangents(piece.base):
                if self._given.with_others and self._program.needs_gradient(piece.base):
                    like = self._program.constants[piece.base]
                    self._share(piece.base, part.reshape(*part.shape[:3], *like.shape))
                continue
            if not self._is_asked_for(piece.base):
                continue
            if part.is_complex() and not self._program.dtype(piece.base).is_complex:
                part = part.real
            shape = self._program.feature_shape(piece.base)
            known = self.bars.get(piece.base)
            if piece.width == self._program.width(piece.base):
                part = part.reshape(*part.shape[:3], *shape)
                if piece.base in self._own:
                    self.bars[piece.base] += part
                else:
                    self.bars[piece.base] = part if known is None else known + part
                    self._own |= set() if known is None else {piece.base}
                continue
            if piece.base not in self._own:
                fresh = part.new_zeros((*part.shape[:3], *shape))
                self.bars[piece.base] = fresh if known is None else fresh + known
                self._own.add(piece.base)
            flat(self.bars[piece.base])[..., piece.start : piece.start + piece.width] += part


def parameter_of(constant: Tensor, names: Mapping[int, str]) -> tuple[str, bool] | None:
    """The parameter that a constant is, and whether it is its transpose; None of one that is computed from parameters.

    Args:
        constant: With autograd's graph.
        names: Identity of a parameter to its name.
    """
    if id(constant) in names:
        return names[id(constant)], False
    way = constant.grad_fn
    if way is None or type(way).__name__ not in ("TBackward0", "TransposeBackward0", "PermuteBackward0"):
        return None
    variable = getattr(way.next_functions[0][0], "variable", None)
    if constant.dim() != 2 or not isinstance(variable, nn.Parameter) or id(variable) not in names:
        return None
    return names[id(variable)], constant.shape == variable.mT.shape and constant.stride() == variable.mT.stride()
