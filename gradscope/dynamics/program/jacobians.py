"""J_t of a followed step by blocks of the state, for many steps at once: its coefficients multiplied out forwards."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradscope.contract.block_matrix import BlockMatrix
from gradscope.contract.state import Block
from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.linearised import Linearised, LinearStep
from gradscope.dynamics.program.pieces import Piece
from gradscope.dynamics.program.program import Product, Program, Reduction, Region
from gradscope.dynamics.program.trace import Value
from gradscope.dynamics.segments import SegmentStates


@dataclass
class Rows:
    """Derivative of some features by pieces of the old state: matrices and diagonals, to be added.

    Attributes:
        full: ``(steps, batch, features, piece)``; steps and batch are 1 where they are the same for all.
        diagonal: ``(steps, batch, features)``, or a number.
    """

    full: dict[Piece, Tensor] = field(default_factory=dict)
    diagonal: dict[Piece, Tensor] = field(default_factory=dict)

    def add(self, rows: Rows, factor: Tensor | None = None, number: float = 1.0) -> None:
        """Adds D(factor) times some rows."""
        for piece, matrix in rows.full.items():
            if factor is None:
                term = matrix if number == 1.0 else matrix * number
                self.full[piece] = self.full[piece] + term if piece in self.full else term
            elif piece in self.full:
                self.full[piece] = torch.addcmul(self.full[piece], factor.unsqueeze(-1), matrix)
            else:
                self.full[piece] = factor.unsqueeze(-1) * matrix
        for piece, diagonal in rows.diagonal.items():
            term = diagonal * number if factor is None else factor * diagonal
            self.diagonal[piece] = self.diagonal[piece] + term if piece in self.diagonal else term

    def sliced(self, start: int, width: int) -> Rows:
        """Some consecutive features."""
        found = Rows({piece: matrix[..., start : start + width, :] for piece, matrix in self.full.items()})
        for piece, diagonal in self.diagonal.items():
            part = Piece(piece.base, piece.start + start, width)
            found.diagonal[part] = diagonal if diagonal.shape[-1] == 1 else diagonal[..., start : start + width]
        return found

    def matrices(self) -> dict[Piece, Tensor]:
        """Everything as matrices."""
        found = dict(self.full)
        for piece, diagonal in self.diagonal.items():
            matrix = torch.diag_embed(diagonal.expand(*diagonal.shape[:-1], piece.width))
            found[piece] = found[piece] + matrix if piece in found else matrix
        return found


def _joined(parts: list[Rows], widths: list[int]) -> Rows:
    """Features of several values, one after the other."""
    if len(parts) == 1:
        return parts[0]
    found: dict[Piece, Tensor] = {}
    start, total = 0, sum(widths)
    for rows, width in zip(parts, widths, strict=True):
        for piece, matrix in rows.matrices().items():
            padded = torch.nn.functional.pad(matrix, (0, 0, start, total - start - width))
            found[piece] = found[piece] + padded if piece in found else padded
        start += width
    return Rows(found)


class ProgramJacobians:
    """J_t along a segment.

    Args:
        program: The step.
        here: The segment.
    """

    def __init__(self, program: Program, here: SegmentStates) -> None:
        self._program = program
        given = Linearised(program, here, with_others=False)
        self.shape = (given.steps, given.batch)
        like = next(iter(here.after.values()))
        self._one = like.real.new_ones((1, 1, 1))
        self._rows: dict[Value, Rows] = {}
        for value in program.blocks.values():
            self._rows[value] = Rows(diagonal={Piece(value, 0, program.width(value)): self._one})
        with torch.no_grad():
            for linear in given.loop:
                self._rows[linear.step.result] = self._forwards(linear)

    def rows(self, value: Value) -> Rows:
        """Of a value, from the values that its features stand for."""
        if value in self._rows:
            return self._rows[value]
        return self._of_pieces(self._program.pieces(value))

    def _of_pieces(self, pieces: tuple[Piece, ...]) -> Rows:
        parts = []
        for piece in pieces:
            rows = self._rows[piece.base] if self._program.depends_on_state(piece.base) else Rows()
            whole = piece.width == self._program.width(piece.base)
            parts.append(rows if whole else rows.sliced(piece.start, piece.width))
        return _joined(parts, [piece.width for piece in pieces])

    def _forwards(self, linear: LinearStep) -> Rows:
        step, program = linear.step, self._program
        found = Rows()
        if isinstance(step, Region):
            shape = program.feature_shape(step.result)
            for leaf, slope in linear.slopes.items():
                if program.depends_on_state(leaf):
                    rows = self._repeated(self.rows(leaf), program.feature_shape(leaf), shape)
                    factor = None
                    if slope.tensor is not None:
                        factor = slope.whole().expand(*slope.shape[:2], *shape).reshape(*slope.shape[:2], -1)
                    found.add(rows, factor, slope.factor)
        elif isinstance(step, Product):
            start = 0
            for piece in program.pieces(step.argument):
                if program.depends_on_state(piece.base):
                    found.add(_times(step.matrix[:, start : start + piece.width], self._of_pieces((piece,))))
                start += piece.width
        elif isinstance(step, Reduction):
            shape = program.feature_shape(step.argument)
            dims = [index for index, (a, b) in enumerate(zip(shape, step.kept, strict=True)) if a != b]
            for piece, matrix in self.rows(step.argument).matrices().items() if step.factor else ():
                apart = matrix.reshape(*matrix.shape[:2], *shape, -1)
                summed = apart.sum([2 + dim for dim in dims], keepdim=True) if dims else apart
                total = summed.reshape(*matrix.shape[:2], -1, matrix.shape[-1])
                found.add(Rows({piece: total}), None, step.factor)
        elif isinstance(step, Contraction):
            for operand, other in linear.factors.items():
                found.add(self._contracted(step, operand, other))
        else:
            return self._of_pieces(program.pieces(step.result))
        return found

    def _repeated(self, rows: Rows, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Rows:
        """Rows of features that are broadcast to another shape."""
        if shape == wanted:
            return rows
        count = 1
        for size in shape:
            count *= size
        places = torch.arange(count, device=self._one.device).reshape(shape).expand(wanted).flatten()
        return Rows({piece: matrix[..., places, :] for piece, matrix in rows.matrices().items()})

    def _contracted(self, step: Contraction, operand: int, other: Tensor) -> Rows:
        mine, theirs = step.letters[operand], step.letters[1 - operand]
        shape = tuple(step.sizes[letter] for letter in mine)
        found = Rows()
        for piece, matrix in self.rows(step.operands[operand]).matrices().items():
            product = torch.einsum(
                f"...{mine}Z,...{theirs}->...{step.result_letters}Z",
                matrix.reshape(*matrix.shape[:2], *shape, -1),
                other,
            )
            found.full[piece] = product.reshape(*product.shape[:2], -1, product.shape[-1])
        return found

    def blocks(self, spec: tuple[Block, ...], whole: Tensor | None = None) -> BlockMatrix:
        """J_t, leading dimensions ``(steps, batch)``, over real numbers.

        Args:
            spec: The blocks of the state.
            whole: Where to write the blocks as one matrix, ``(steps, batch, n, n)`` in the model's dtype and device.
        """
        program = self._program
        full: dict[tuple[str, str], Tensor] = {}
        diagonal: dict[tuple[str, str], Tensor] = {}
        of = {value: name for name, value in program.blocks.items()}
        sizes = {block.name: block.size for block in spec}
        for block in spec:
            rows = self._of_pieces(program.outputs[block.name])
            for piece, values in rows.diagonal.items():
                key = block.name, of[piece.base]
                width = program.width(program.blocks[block.name])
                aligned = piece.start == 0 and piece.width == program.width(piece.base) == width
                if aligned and not program.dtype(piece.base).is_complex:
                    diagonal[key] = values.expand(*self.shape, piece.width)
                else:
                    self._put(full, key, piece, torch.diag_embed(values.expand(*values.shape[:2], piece.width)), sizes)
            for piece, matrix in rows.full.items():
                self._put(full, (block.name, of[piece.base]), piece, matrix, sizes)
        if whole is not None:
            _assemble(whole, spec, full, diagonal)
        return BlockMatrix(spec, full, diagonal, self.shape, whole)

    def diagonal(self) -> Tensor:
        """The diagonal of a J_t that has nothing else, ``(steps, batch, n)``, a complex number as one."""
        found = []
        for name, value in self._program.blocks.items():
            rows, width = self._of_pieces(self._program.outputs[name]), self._program.width(value)
            total = torch.zeros((*self.shape, width), dtype=self._program.dtype(value), device=self._one.device)
            for piece, values in rows.diagonal.items():
                total[..., piece.start : piece.start + piece.width] += values
            for piece, matrix in rows.full.items():
                across = slice(piece.start, piece.start + piece.width)
                total[..., across] += matrix[..., across, :].diagonal(dim1=-2, dim2=-1)
            found.append(total)
        return torch.cat(found, dim=-1)

    def _put(
        self,
        full: dict[tuple[str, str], Tensor],
        key: tuple[str, str],
        piece: Piece,
        matrix: Tensor,
        sizes: dict[str, int],
    ) -> None:
        """Adds a matrix to a block, by real numbers: a complex one turns and scales pairs of them."""
        before, after = piece.start, self._program.width(piece.base) - piece.start - piece.width
        if before or after:
            matrix = torch.nn.functional.pad(matrix, (before, after))
        if self._program.dtype(piece.base).is_complex:
            matrix = as_real_pairs(matrix)
        matrix = matrix.expand(*self.shape, sizes[key[0]], sizes[key[1]])
        full[key] = full[key] + matrix if key in full else matrix


def as_real_pairs(matrix: Tensor) -> Tensor:
    """A complex matrix over pairs of real and imaginary parts."""
    real, imaginary = (matrix.real, matrix.imag) if matrix.is_complex() else (matrix, torch.zeros_like(matrix))
    pairs = torch.stack([torch.stack([real, -imaginary], -1), torch.stack([imaginary, real], -1)], -3)
    return pairs.flatten(-2).flatten(-3, -2)  # (…, rows, re or im, columns, re or im)


def _assemble(
    matrix: Tensor,
    spec: tuple[Block, ...],
    full: dict[tuple[str, str], Tensor],
    diagonal: dict[tuple[str, str], Tensor],
) -> None:
    """Writes the blocks to their places in one matrix."""
    places: dict[str, slice] = {}
    start = 0
    for each in spec:
        places[each.name] = slice(start, start + each.size)
        start += each.size
    for row, rows in places.items():
        for column, columns in places.items():
            block = matrix[..., rows, columns]
            block.copy_(full[row, column]) if (row, column) in full else block.zero_()
            if (row, column) in diagonal:
                block.diagonal(dim1=-2, dim2=-1).add_(diagonal[row, column])


def _times(matrix: Tensor, rows: Rows) -> Rows:
    """A matrix times rows."""
    found = Rows({piece: matrix @ full for piece, full in rows.full.items()})
    for piece, diagonal in rows.diagonal.items():
        by_columns = matrix * diagonal.unsqueeze(-2)
        found.full[piece] = found.full[piece] + by_columns if piece in found.full else by_columns
    return found
