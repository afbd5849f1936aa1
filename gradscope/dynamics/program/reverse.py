"""The loop over time of a followed step, from the last one to the first.

What it consists of are a product by a diagonal for each place that a region reads from, and the products by matrices.
Every value that has cotangents of its own has a buffer for all steps, ``(steps, active, batch, width)``; a chunk of it
is a view of the buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.contract.state import State
from gradscope.dynamics.in_place import (
    Operation,
    accumulate_matrix_product,
    accumulate_product,
    by_step,
    matrix_product,
    product,
)
from gradscope.dynamics.program.program import Piece, Product, Program, Reduction, Region
from gradscope.dynamics.program.trace import NotFollowed, Value


@dataclass(frozen=True)
class RegionDerivatives:
    """One region: each leaf with its diagonal derivative, ``(steps, batch, width)``; what is zero is left out."""

    region: Region
    by_leaf: dict[Value, Tensor]


class ReverseLoop:
    """The loop over time, compiled once for a number of active lengths and used for one segment after another.

    Args:
        program: The step.
        given: The first segment's diagonals; later ones have the same pattern.
        like: Values of a state, ``(steps, batch, *)``.
        active: Number of active lengths.

    Attributes:
        delta: Adjoint of every block at every step, ``(steps + 1, active, batch, width)``.
        totals: Block to what stands in for its adjoint where other blocks are computed from it.
    """

    def __init__(self, program: Program, given: list[RegionDerivatives], like: Tensor, active: int) -> None:
        self._program, self.active, self.steps = program, active, len(like)
        self._like, self._batch = like, like.shape[1]
        self.delta = {name: self._buffer(program.width(value), 1) for name, value in program.blocks.items()}
        self._bars: dict[Value, Tensor] = {value: self.delta[name][:-1] for name, value in program.blocks.items()}
        for step in program.steps:
            self._bars[step.result] = self._buffer(program.width(step.result))
        self._loads: list[tuple[int, list[Value], Tensor]] = []
        self._written: dict[Value, set[tuple[int, int]]] = {}
        self.totals: State = {}
        self.operations = list(self._compiled(given))
        self.load(given)

    def _buffer(self, width: int, more: int = 0) -> Tensor:
        return self._like.new_zeros((self.steps + more, self.active, self._batch, width))

    def load(self, given: list[RegionDerivatives]) -> None:
        """Copies the diagonals of a segment to where the loop reads them."""
        for index, leaves, buffer in self._loads:
            parts = [given[index].by_leaf[leaf] for leaf in leaves]
            torch.stack(parts, dim=2, out=buffer[: len(parts[0])])

    def _compiled(self, given: list[RegionDerivatives]) -> Iterator[Operation]:
        """The operations of one step from the last to the first, each with its operands at every step."""
        program = self._program
        sources: dict[Value, list[Tensor]] = {}  # the new blocks' adjoints that reach a value directly
        for name, pieces in program.outputs.items():
            start = 0
            for piece in pieces:
                after = self.delta[name][1:, ..., start : start + piece.width]
                whole = piece.start == 0 and piece.width == program.width(piece.base)
                if whole and piece.base not in program.blocks.values() and len(pieces) == 1:
                    sources.setdefault(piece.base, []).append(after)
                    self.totals.setdefault(name, self._bars[piece.base])
                else:
                    yield self._add(after, piece)
                start += piece.width
        yield from self._backwards(given, sources)
        for value in program.blocks.values():
            if not self._written.get(value):
                yield _zero, by_step(self._bars[value])

    def _backwards(self, given: list[RegionDerivatives], sources: dict[Value, list[Tensor]]) -> Iterator[Operation]:
        index = len(given)
        for step in reversed(self._program.steps):
            bar = self._bars[step.result]
            direct = sources.get(step.result, [])
            written = self._written.get(step.result)
            if direct and not written:
                # no other value reads it: the new block's adjoint is its cotangent
                bar, rest = direct[0], direct[1:]
                self._share(step.result, bar)
            else:
                rest = direct
            for more in rest:
                yield self._add(more, Piece(step.result, 0, bar.shape[-1]))
            if not direct and not written:
                yield _zero, by_step(bar)
            if isinstance(step, Region):
                index -= 1
                yield from self._through_region(index, given[index], bar)
            elif isinstance(step, Product):
                for piece, matrix in zip(step.argument, step.matrices, strict=True):
                    yield self._through_matrix(bar, piece, matrix)
            elif isinstance(step, Reduction):
                start = 0
                for piece in step.argument:
                    yield self._add(bar.expand(*bar.shape[:-1], piece.width), piece, step.factor)
                    start += piece.width

    def _share(self, value: Value, bar: Tensor) -> None:
        for name, kept in self.totals.items():
            if kept is self._bars[value]:
                self.totals[name] = bar
        self._bars[value] = bar

    def _through_region(self, index: int, given: RegionDerivatives, bar: Tensor) -> Iterator[Operation]:
        width = bar.shape[-1]
        places: list[tuple[Piece, Value]] = []
        for leaf in given.by_leaf:
            pieces = self._program.pieces(leaf)
            if len(pieces) == 1 and pieces[0].width == width:
                places.append((pieces[0], leaf))
            else:
                yield from self._through_parts(index, given, leaf, bar)
        for run_ in self._runs(places):
            first, last = run_[0][0], run_[-1][0]
            leaves = [leaf for _, leaf in run_]
            buffer = self._like.new_zeros((self.steps, self._batch, len(leaves), width))
            self._loads.append((index, leaves, buffer))
            whole = Piece(first.base, first.start, last.start + width - first.start)
            target = self._bars[whole.base][..., whole.start : whole.start + whole.width].unflatten(-1, (-1, width))
            noted = [self._note(piece) for piece, _ in run_]
            known = all(noted)
            factor = buffer.unsqueeze(1)
            operation = accumulate_product if known else product
            yield operation, by_step(factor, bar.unsqueeze(-2), target)

    def _through_parts(self, index: int, given: RegionDerivatives, leaf: Value, bar: Tensor) -> Iterator[Operation]:
        """Of a leaf that is joined from several pieces, or one number for all features."""
        width = bar.shape[-1]
        buffer = self._like.new_zeros((self.steps, self._batch, 1, width))
        self._loads.append((index, [leaf], buffer))
        factor, start, pieces = buffer.squeeze(2).unsqueeze(1), 0, self._program.pieces(leaf)
        is_one_number = sum(piece.width for piece in pieces) == 1
        for piece in pieces:
            target = self._target(piece)
            known = self._note(piece)
            if is_one_number and width != 1:
                yield _accumulate_dot if known else _dot, by_step(factor, bar, target)
                continue
            here = slice(start, start + piece.width)
            start += piece.width
            operation = accumulate_product if known else product
            yield operation, by_step(factor[..., here], bar[..., here], target)

    def _runs(self, places: list[tuple[Piece, Value]]) -> list[list[tuple[Piece, Value]]]:
        """Places side by side that are all written already, or all not."""
        runs: list[list[tuple[Piece, Value]]] = []
        places = sorted(places, key=lambda place: (place[0].base.number, place[0].base.item or 0, place[0].start))
        for piece, leaf in places:
            if runs:
                before = runs[-1][-1][0]
                beside = before.base == piece.base and before.start + before.width == piece.start
                if beside and self._is_written(before) == self._is_written(piece):
                    runs[-1].append((piece, leaf))
                    continue
            runs.append([(piece, leaf)])
        return runs

    def _through_matrix(self, bar: Tensor, piece: Piece, matrix: Tensor) -> Operation:
        target = self._target(piece)
        known = self._note(piece)
        rows = [(b.flatten(0, 1), t.flatten(0, 1)) for b, t in zip(bar.unbind(0), target.unbind(0), strict=True)]
        if rows[0][1].data_ptr() != target[0].data_ptr():  # a part of the features has no rows of its own
            return _matrix_product_into, [(b.flatten(0, 1), matrix, t, known) for b, t in by_step(bar, target)]
        operation = accumulate_matrix_product if known else matrix_product
        return operation, [(b, matrix, t) for b, t in rows]

    def _add(self, source: Tensor, piece: Piece, factor: float = 1.0) -> Operation:
        target = self._target(piece)
        if self._note(piece):
            return _accumulate, [(s, t, factor) for s, t in by_step(source, target)]
        return _copy, [(s, t, factor) for s, t in by_step(source, target)]

    def _target(self, piece: Piece) -> Tensor:
        return self._bars[piece.base][..., piece.start : piece.start + piece.width]

    def _is_written(self, piece: Piece) -> bool:
        return (piece.start, piece.width) in self._written.get(piece.base, set())

    def _note(self, piece: Piece) -> bool:
        """Whether something stands there already; from now on it does.

        Raises:
            NotFollowed: Something stands in a part of it.
        """
        known = self._written.setdefault(piece.base, set())
        if (piece.start, piece.width) in known:
            return True
        inside = {(a, w) for a, w in known if piece.start <= a and a + w <= piece.start + piece.width}
        if inside and sum(w for _, w in inside) == piece.width:
            return True
        if any(a < piece.start + piece.width and piece.start < a + w for a, w in known):
            covers = any(a <= piece.start and piece.start + piece.width <= a + w for a, w in known)
            if covers:
                return True
            raise NotFollowed("it reads parts of a value that overlap")
        known.add((piece.start, piece.width))
        return False


def _dot(derivative: Tensor, cotangent: Tensor, out: Tensor) -> None:
    out.copy_((derivative * cotangent).sum(-1, keepdim=True))


def _accumulate_dot(derivative: Tensor, cotangent: Tensor, out: Tensor) -> None:
    out.add_((derivative * cotangent).sum(-1, keepdim=True))


def _copy(source: Tensor, out: Tensor, factor: float) -> None:
    out.copy_(source)
    if factor != 1.0:
        out.mul_(factor)


def _accumulate(source: Tensor, out: Tensor, factor: float) -> None:
    out.add_(source, alpha=factor)


def _zero(out: Tensor) -> Tensor:
    return out.zero_()


def _matrix_product_into(bar: Tensor, matrix: Tensor, out: Tensor, known: bool) -> None:
    value = (bar @ matrix).view(out.shape)
    out.add_(value) if known else out.copy_(value)
