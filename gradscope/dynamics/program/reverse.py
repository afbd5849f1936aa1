"""The loop over time of a followed step, from the last one to the first.

What it consists of are a product by a diagonal for each place that a region reads from, and the products by matrices.
Every value that has cotangents of its own has a buffer for all steps, ``(steps, active, batch, *)``; a chunk of it is a
view of the buffer. Vectors share one memory, the *tape*: neighbours in it are multiplied in one call.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from gradscope.contract.state import State
from gradscope.dynamics.in_place import (
    Operation,
    accumulate_matrix_product,
    accumulate_product,
    add_matrix_product,
    add_product,
    by_step,
    matrix_product,
    product,
)
from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.linearised import Linearised, LinearStep
from gradscope.dynamics.program.pieces import Piece, flat
from gradscope.dynamics.program.program import Product, Program, Reduction, Region
from gradscope.dynamics.program.slopes import Slope
from gradscope.dynamics.program.trace import NotFollowed, Value

Load = tuple[int, list[Value | int], Tensor]  # number of the step, leaves or operand, and where their numbers go


class ReverseLoop:
    """The loop over time, compiled once for a number of active lengths and used for one segment after another.

    Args:
        program: The step.
        given: The first segment's coefficients; later ones have the same pattern.
        like: Values of a state, ``(steps, batch, *)``.
        active: Number of active lengths.

    Attributes:
        delta: Adjoint of every block at every step, ``(steps + 1, active, batch, *)``.
        bars: Cotangent of every value that has one, ``(steps, active, batch, *)``.
        totals: Block to what stands in for its adjoint where other blocks are computed from it.
        operations: Of one step from the last to the first, each with its operands at every step.
    """

    def __init__(self, program: Program, given: Linearised, like: Tensor, active: int) -> None:
        self._program, self.active, self.steps, self._batch = program, active, len(like), like.shape[1]
        self._device = like.device
        inner = [
            linear.step.result
            for linear in given.loop
            if program.pieces(linear.step.result)[0].base == linear.step.result
        ]
        memory = self._allocated([*program.blocks.values(), *inner])
        self.delta = {name: memory[value] for name, value in program.blocks.items()}
        self.bars = {value: buffer[:-1] for value, buffer in memory.items()}
        self._offsets: dict[Value, int]
        self._loads: list[Load] = []
        self._written: dict[Value, set[tuple[int, int]]] = {}
        self._waiting: dict[Piece, Tensor] = {}  # what is to be copied to a piece, unless something is added to it
        self.totals: State = {}
        self.operations = list(self._compiled(given.loop))
        self.load(given)

    def _allocated(self, values: list[Value]) -> dict[Value, Tensor]:
        """Zeros for every value, of one more step than there are; vectors side by side."""
        rows = (self.steps + 1, self.active, self._batch)
        kind = self._program.dtype
        vectors = [v for v in values if len(self._program.feature_shape(v)) == 1 and kind(v) == kind(values[0])]
        widths = [self._program.width(v) for v in vectors]
        tape = torch.zeros((*rows, sum(widths)), dtype=kind(values[0]), device=self._device)
        self._offsets = dict(zip(vectors, [sum(widths[:k]) for k in range(len(widths))], strict=True))
        self._tape = tape[:-1]
        memory = dict(zip(vectors, tape.split(widths, dim=-1), strict=True))
        for value in values:
            if value not in memory:
                shape = (*rows, *self._program.feature_shape(value))
                memory[value] = torch.zeros(shape, dtype=kind(value), device=self._device)
        return memory

    def load(self, given: Linearised) -> None:
        """Copies the coefficients of a segment to where the loop reads them."""
        for index, leaves, buffer in self._loads:
            linear = given.loop[index]
            for position, leaf in enumerate(leaves):
                if isinstance(leaf, int):
                    buffer[: given.steps] = linear.factors[leaf]
                else:
                    linear.slopes[leaf].write_to(buffer[: given.steps, :, position])

    def _compiled(self, loop: list[LinearStep]) -> Iterator[Operation]:
        program = self._program
        for name, pieces in program.outputs.items():
            start = 0
            for piece in pieces:
                after = flat(self.delta[name][1:])[..., start : start + piece.width]
                start += piece.width
                if not program.depends_on_state(piece.base):
                    continue
                whole = piece.width == program.width(piece.base) and len(pieces) == 1
                if whole and piece.base not in program.blocks.values():
                    self.totals.setdefault(name, self.bars[piece.base])
                    after = self.delta[name][1:].view(self.bars[piece.base].shape)
                yield from self._add(after, piece)
        for index in range(len(loop) - 1, -1, -1):
            linear = loop[index]
            if linear.step.result in self.bars:
                yield from self._begun(linear.step.result)
                yield from self._through(index, linear)
        yield from self._settled()
        for value in program.blocks.values():
            for start, width in self._gaps(Piece(value, 0, program.width(value))):
                yield _zero, by_step(self._target(Piece(value, start, width), (width,)))

    def _begun(self, result: Value) -> Iterator[Operation]:
        """The cotangent of a value, once everything that reads it has been gone through."""
        source = self._waiting.pop(Piece(result, 0, self._program.width(result)), None)
        if source is not None:
            # no other value reads it: the new block's adjoint, say, is its cotangent
            bar = source if source.shape == self.bars[result].shape else source.reshape(self.bars[result].shape)
            for name, kept in self.totals.items():
                if kept is self.bars[result]:
                    self.totals[name] = bar
            self.bars[result] = bar
            return
        yield from self._settled(result)
        for start, width in self._gaps(Piece(result, 0, self._program.width(result))):
            yield _zero, by_step(self._target(Piece(result, start, width), (width,)))

    def _through(self, index: int, linear: LinearStep) -> Iterator[Operation]:
        step, program = linear.step, self._program
        bar = self.bars[step.result]
        if isinstance(step, Region):
            yield from self._through_region(index, linear, bar)
        elif isinstance(step, Product):
            start = 0
            for piece in program.pieces(step.argument):
                if program.depends_on_state(piece.base):
                    matrix = step.matrix[:, start : start + piece.width].conj().resolve_conj().contiguous()
                    yield from self._through_matrix(bar, piece, matrix)
                start += piece.width
        elif isinstance(step, Contraction):
            for operand in linear.factors:
                if program.depends_on_state(step.operands[operand]):
                    yield from self._through_contraction(index, linear, operand, bar)
        elif isinstance(step, Reduction) and step.factor:
            spread = bar.reshape(*bar.shape[:3], *step.kept).expand(
                *bar.shape[:3], *program.feature_shape(step.argument)
            )
            start = 0
            for piece in program.pieces(step.argument):
                part = (
                    spread
                    if piece.width == program.width(step.argument)
                    else flat(spread)[..., start : start + piece.width]
                )
                start += piece.width
                yield from self._add(part, piece, step.factor)

    def _through_region(self, index: int, linear: LinearStep, bar: Tensor) -> Iterator[Operation]:
        program = self._program
        shape, places = tuple(bar.shape[3:]), []
        for leaf, slope in linear.slopes.items():
            if not program.depends_on_state(leaf):
                continue
            pieces = program.pieces(leaf)
            same = program.feature_shape(leaf) == shape
            if same and slope.tensor is None:
                start = 0
                for piece in pieces:
                    part = bar if len(pieces) == 1 else flat(bar)[..., start : start + piece.width]
                    start += piece.width
                    yield from self._add(part, piece, slope.factor)
            elif same and len(pieces) == 1 and len(shape) == 1 and pieces[0].base in self._offsets:
                places.append((pieces[0], leaf))
            elif same and len(pieces) == 1:
                yield from self._product(self._coefficient(index, leaf, slope), bar, pieces[0], shape)
            elif same:
                yield from self._through_joined(index, leaf, slope, bar)
            else:
                yield from self._through_broadcast(index, leaf, slope, bar)
        for run_ in self._runs(places):
            yield from self._through_neighbours(index, run_, bar)

    def _through_joined(self, index: int, leaf: Value, slope: Slope, bar: Tensor) -> Iterator[Operation]:
        """A leaf whose features are those of several values."""
        assert slope.tensor is not None
        shape = self._program.feature_shape(leaf)
        factor = flat(self._buffer(index, [leaf], shape).squeeze(2).unsqueeze(1))
        start = 0
        for piece in self._program.pieces(leaf):
            here = slice(start, start + piece.width)
            start += piece.width
            yield from self._product(factor[..., here], flat(bar)[..., here], piece, (piece.width,))

    def _through_broadcast(self, index: int, leaf: Value, slope: Slope, bar: Tensor) -> Iterator[Operation]:
        """A leaf that stands for several entries of the result has the sum of their cotangents."""
        shape = self._program.feature_shape(leaf)
        factor = None if slope.tensor is None else self._coefficient(index, leaf, slope)
        pieces = self._program.pieces(leaf)
        target = self._target(pieces[0], shape) if len(pieces) == 1 else bar.new_zeros((*bar.shape[:3], *shape))
        known = False
        if len(pieces) == 1:
            known = yield from self._ready(pieces[0])
        operands = [target] if factor is None else [target, factor]
        constant = slope.factor if factor is None else 1.0

        def summed(bar: Tensor, out: Tensor, factor: Tensor | None = None) -> None:
            total = summed_to(bar, factor, shape, 2)
            total = total if constant == 1.0 else total * constant
            out.add_(total) if known else out.copy_(total)

        yield summed, by_step(bar, *operands)
        start = 0
        for piece in pieces if len(pieces) > 1 else ():
            yield from self._add(flat(target)[..., start : start + piece.width], piece)
            start += piece.width

    def _through_neighbours(self, index: int, places: list[tuple[Piece, Value]], bar: Tensor) -> Iterator[Operation]:
        """Leaves side by side in the tape, each of the result's width."""
        width, leaves = bar.shape[-1], [leaf for _, leaf in places]
        factor = self._buffer(index, list(leaves), (width,)).unsqueeze(1)
        first = self._offset(places[0][0])
        target = self._tape[..., first : first + len(places) * width].unflatten(-1, (-1, width))
        if len(places) == 1:
            yield from self._product(factor.squeeze(3), bar, places[0][0], (width,))
            return
        known = []
        for piece, _ in places:
            known.append((yield from self._ready(piece)))
        operation = accumulate_product if known[0] else product
        yield operation, by_step(factor, bar.unsqueeze(-2), target)

    def _product(self, factor: Tensor, bar: Tensor, piece: Piece, shape: tuple[int, ...]) -> Iterator[Operation]:
        if not self._program.depends_on_state(piece.base):
            return
        target = self._target(piece, shape)
        base = self._waiting.pop(piece, None)
        if base is not None:
            yield add_product, by_step(base.reshape(target.shape), factor, bar, target)
            return
        known = yield from self._ready(piece)
        yield accumulate_product if known else product, by_step(factor, bar, target)

    def _coefficient(self, index: int, leaf: Value, slope: Slope) -> Tensor:
        """Where a slope is loaded, ``(steps, 1, batch, *)``, in the shape that it has."""
        return self._buffer(index, [leaf], slope.shape[2:]).squeeze(2).unsqueeze(1)

    def _buffer(self, index: int, leaves: list[Value | int], shape: tuple[int, ...]) -> Tensor:
        dtype = self._program.dtype(leaves[0]) if isinstance(leaves[0], Value) else torch.get_default_dtype()
        buffer = torch.zeros((self.steps, self._batch, len(leaves), *shape), dtype=dtype, device=self._device)
        self._loads.append((index, leaves, buffer))
        return buffer

    def _through_contraction(self, index: int, linear: LinearStep, operand: int, bar: Tensor) -> Iterator[Operation]:
        step = linear.step
        assert isinstance(step, Contraction)
        (piece, *more), value = self._program.pieces(step.operands[operand]), linear.factors[operand]
        if more:
            raise NotFollowed("a product reads features that are not side by side")
        if self._program.has_rows(step.operands[1 - operand]):
            loaded = torch.zeros((self.steps, *value.shape[1:]), dtype=value.dtype, device=self._device)
            self._loads.append((index, [operand], loaded))
            other = loaded.unsqueeze(1)
        else:
            other = value.expand(self.steps, 1, 1, *value.shape)
        target = self._target(piece, self._program.feature_shape(step.operands[operand]))
        outer = self._outer(step, operand, bar, other)
        if outer is not None:
            yield from self._product(outer[1], outer[0], piece, tuple(target.shape[3:]))
            return
        known = yield from self._ready(piece)

        def pulled(bar: Tensor, other: Tensor, out: Tensor) -> None:
            found = step.cotangent(operand, bar, other)
            out.add_(found) if known else out.copy_(found)

        yield pulled, by_step(bar, other, target)

    def _outer(self, step: Contraction, operand: int, bar: Tensor, other: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cotangent and factor of a product that sums over nothing, as they stand beside each other; None otherwise."""
        wanted = step.letters[operand]
        shared = set(step.result_letters) & set(step.letters[1 - operand])
        if other.is_complex() or any(step.sizes[letter] > 1 for letter in shared - set(wanted)):
            return None
        return (
            _placed(bar, step.result_letters, wanted),
            _placed(other, step.letters[1 - operand], wanted),
        )

    def _runs(self, places: list[tuple[Piece, Value]]) -> list[list[tuple[Piece, Value]]]:
        """Places side by side that are all written already, or all not."""
        runs: list[list[tuple[Piece, Value]]] = []
        for piece, leaf in sorted(places, key=lambda place: self._offset(place[0])):
            if runs and piece not in self._waiting:
                before = runs[-1][-1][0]
                beside = self._offset(before) + before.width == self._offset(piece) and before not in self._waiting
                if beside and self._stands(before) == self._stands(piece):
                    runs[-1].append((piece, leaf))
                    continue
            runs.append([(piece, leaf)])
        return runs

    def _offset(self, piece: Piece) -> int:
        return self._offsets[piece.base] + piece.start

    def _through_matrix(self, bar: Tensor, piece: Piece, matrix: Tensor) -> Iterator[Operation]:
        target = self._target(piece, (piece.width,))
        rows = [(b.flatten(0, 1), t.flatten(0, 1)) for b, t in by_step(bar, target)]
        if rows[0][1].data_ptr() != target[0].data_ptr():
            raise NotFollowed("a product reads a part of a state of several dimensions")
        base = self._waiting.pop(piece, None)
        if base is not None:
            yield (
                add_matrix_product,
                [(s.flatten(0, 1), b, matrix, t) for s, (b, t) in zip(base.unbind(0), rows, strict=True)],
            )
            return
        known = yield from self._ready(piece)
        operation = accumulate_matrix_product if known else matrix_product
        yield operation, [(b, matrix, t) for b, t in rows]

    def _add(self, source: Tensor, piece: Piece, factor: float = 1.0) -> Iterator[Operation]:
        """A cotangent that is passed on as it is; the first one waits for what is added to it."""
        if not self._program.depends_on_state(piece.base):
            return
        target = self._target(piece, tuple(source.shape[3:]))
        base = self._waiting.pop(piece, None)
        if base is not None:
            yield _scaled_sum, [(*each, factor) for each in by_step(base.reshape(target.shape), source, target)]
            return
        if (yield from self._ready(piece)):
            yield _accumulate, [(*each, factor) for each in by_step(source, target)]
        elif factor == 1.0:
            self._waiting[piece] = source
        else:
            yield _scaled, [(*each, factor) for each in by_step(source, target)]

    def _settled(self, base: Value | None = None) -> Iterator[Operation]:
        """Copies what still waits, to one value or to all."""
        for piece in [p for p in self._waiting if base is None or p.base == base]:
            source = self._waiting.pop(piece)
            yield _copy, by_step(source, self._target(piece, tuple(source.shape[3:])))

    def _target(self, piece: Piece, shape: tuple[int, ...]) -> Tensor:
        bar = self.bars[piece.base]
        if piece.width == self._program.width(piece.base):
            return bar if bar.shape[3:] == shape else bar.reshape(*bar.shape[:3], *shape)
        part = flat(bar)[..., piece.start : piece.start + piece.width]
        return part if len(shape) == 1 else part.reshape(*part.shape[:3], *shape)

    def _gaps(self, piece: Piece) -> list[tuple[int, int]]:
        """The features of a place to which nothing is written yet, by their first and how many they are."""
        gaps, end = [], piece.start
        stop = piece.start + piece.width
        for start, width in sorted(self._written.get(piece.base, set())):
            if start >= stop:
                break
            if start > end:
                gaps.append((end, start - end))
            end = max(end, start + width)
        return [*gaps, (end, stop - end)] if end < stop else gaps

    def _stands(self, piece: Piece) -> bool:
        """Whether something is written to a place already, be it to a part of it."""
        return self._gaps(piece) != [(piece.start, piece.width)]

    def _ready(self, piece: Piece) -> Generator[Operation, None, bool]:
        """Whether something stands at a place, to which more can be added; from now on it does."""
        yield from self._settled(piece.base)
        gaps = self._gaps(piece)
        self._written.setdefault(piece.base, set()).add((piece.start, piece.width))
        if gaps == [(piece.start, piece.width)]:
            return False
        for start, width in gaps:
            yield _zero, by_step(self._target(Piece(piece.base, start, width), (width,)))
        return True


def summed_to(bar: Tensor, factor: Tensor | None, shape: tuple[int, ...], lead: int) -> Tensor:
    """factor ⊙ bar summed to a smaller shape of features that is broadcast to the bar's.

    A factor that is the same along what is kept makes it one matrix product.

    Args:
        bar: ``(*, *features)``.
        factor: Broadcast to it.
        shape: Of the features wanted.
        lead: Dimensions before the features.
    """
    full = tuple(bar.shape[lead:])
    wanted = (1,) * (len(full) - len(shape)) + shape
    dims = [lead + index for index, (a, b) in enumerate(zip(full, wanted, strict=True)) if a != b]
    if factor is not None and len(full) == 2 and len(dims) == 1:
        if dims[0] == lead and factor.shape[-1] == 1:
            return (factor.mT @ bar).reshape(*bar.shape[:lead], *shape)
        if dims[0] == lead + 1 and factor.shape[-2] == 1:
            return (bar @ factor.mT).reshape(*bar.shape[:lead], *shape)
    product = bar if factor is None else bar * factor
    return (product.sum(dims, keepdim=True) if dims else product).reshape(*bar.shape[:lead], *shape)


def _placed(x: Tensor, letters: str, wanted: str) -> Tensor:
    """Features in the order of other letters, of size 1 where they are not among them."""
    lead = x.dim() - len(letters)
    order = [letters.index(letter) for letter in wanted if letter in letters]
    gone = [index for index in range(len(letters)) if letters[index] not in wanted]
    x = x.permute(*range(lead), *(lead + index for index in order), *(lead + index for index in gone))
    x = x.flatten(lead + len(order)).squeeze(-1) if gone else x
    for position, letter in enumerate(wanted):
        if letter not in letters:
            x = x.unsqueeze(lead + position)
    return x


def _copy(source: Tensor, out: Tensor) -> None:
    out.copy_(source)


def _scaled(source: Tensor, out: Tensor, factor: float) -> None:
    torch.mul(source, factor, out=out)


def _scaled_sum(base: Tensor, source: Tensor, out: Tensor, factor: float) -> None:
    torch.add(base, source, alpha=factor, out=out)


def _accumulate(source: Tensor, out: Tensor, factor: float = 1.0) -> None:
    out.add_(source, alpha=factor)


def _zero(out: Tensor) -> Tensor:
    return out.zero_()
