"""The shape of J_t that a program gives it: diagonal, A_t ⊗ I of a matrix state, parts that never meet, or dense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.pieces import Piece
from gradscope.dynamics.program.program import Product, Program, Reduction, Region, Step
from gradscope.dynamics.program.trace import Value
from gradscope.dynamics.program.transition import is_kronecker
from gradscope.dynamics.segments import Segment
from gradscope.dynamics.trajectory import Trajectory

BLOCK_STEPS = 64
SUMS = frozenset(["add", "__radd__", "sub", "subtract", "rsub", "__rsub__", "where"])
# Functions that are linear in the arguments at these places, in one of them or, for sums, in several.
LINEAR_IN = dict.fromkeys((*SUMS, "mul", "__rmul__", "multiply"), (0, 1)) | {"where": (1, 2), "addcmul": (0, 1, 2)}
_SAME = "div divide true_divide neg negative clone contiguous expand expand_as broadcast_to"
LINEAR_IN |= dict.fromkeys(_SAME.split(), (0,))
LARGEST_PATTERN = 4096  # numbers of state up to which it is looked at which of them see each other


@dataclass(frozen=True)
class Structure:
    """What J_t is by construction.

    Attributes:
        kind: ``diagonal``, ``matrix state``, ``parts`` or ``dense``.
        parts: Of a J_t of several diagonal blocks, the positions of each in the state, as the program counts them: a
            complex number as one.
    """

    kind: str
    parts: tuple[tuple[int, ...], ...] = ()


def structure(program: Program, trajectory: Trajectory) -> Structure:
    """The shape of J_t at every step.

    Args:
        program: The step.
        trajectory: Where what the program says of a matrix state is confirmed, step by step.
    """
    shapes = [program.feature_shape(value) for value in program.blocks.values()]
    if [len(shape) for shape in shapes] == [2] and is_linear(program) and _is_kronecker(program, trajectory):
        return Structure("matrix state")
    if sum(program.width(value) for value in program.blocks.values()) > LARGEST_PATTERN:
        return Structure("dense")
    seen = pattern(program)
    if not bool((seen & ~torch.eye(len(seen), dtype=torch.bool)).any()):
        return Structure("diagonal")
    parts = _parts(seen)
    return Structure("parts", parts) if len(parts) > 1 else Structure("dense")


def _is_kronecker(program: Program, trajectory: Trajectory) -> bool:
    starts = range(0, trajectory.length, BLOCK_STEPS)
    return all(
        is_kronecker(program, trajectory.segment(Segment(start, min(start + BLOCK_STEPS, trajectory.length), 1)))
        for start in starts
    )


def is_linear(program: Program) -> bool:
    """Whether the new state is a linear function of the old one, whatever that is, and a constant."""
    for step in program.steps:
        if not program.in_loop(step):
            continue
        if isinstance(step, Contraction) and all(program.depends_on_state(operand) for operand in step.operands):
            return False
        if isinstance(step, Reduction) and not step.factor:
            return False
        if isinstance(step, Region) and not all(_keeps_linear(program, number) for number in step.order):
            return False
    return True


def _keeps_linear(program: Program, number: int) -> bool:
    instruction = program.instruction(Value(number))
    assert instruction is not None
    of_state = [
        place
        for place, given in enumerate(instruction.args)
        if given in instruction.reads and isinstance(given, Value) and program.depends_on_state(given)
    ]
    allowed = LINEAR_IN.get(instruction.base_name)
    if allowed is None or not set(of_state) <= set(allowed):
        return False
    return len(of_state) == 1 or instruction.base_name in SUMS


def pattern(program: Program) -> Tensor:
    """Which numbers of the new state depend on which of the old one, ``(n, n)`` of truth values."""
    starts: dict[Value, int] = {}
    total = 0
    for value in program.blocks.values():
        starts[value] = total
        total += program.width(value)
    seen: dict[Value, Tensor] = {}
    for value, start in starts.items():
        seen[value] = torch.eye(total, dtype=torch.bool)[start : start + program.width(value)]

    def of_pieces(pieces: tuple[Piece, ...]) -> Tensor:
        return torch.cat(
            [
                seen[piece.base][piece.start : piece.start + piece.width]
                if program.depends_on_state(piece.base)
                else torch.zeros((piece.width, total), dtype=torch.bool)
                for piece in pieces
            ]
        )

    for step in program.steps:
        if program.in_loop(step):
            seen[step.result] = _through(program, step, of_pieces, total)
    return torch.cat([of_pieces(program.outputs[name]) for name in program.blocks])


def _through(program: Program, step: Step, of_pieces: Callable[[tuple[Piece, ...]], Tensor], total: int) -> Tensor:
    found = torch.zeros((program.width(step.result), total), dtype=torch.bool)
    if isinstance(step, Region):
        shape = program.feature_shape(step.result)
        for leaf in step.leaves:
            if program.depends_on_state(leaf):
                rows = of_pieces(program.pieces(leaf)).reshape(*program.feature_shape(leaf), total)
                found |= rows.expand(*shape, total).reshape(-1, total)
    elif isinstance(step, Product):
        start = 0
        for piece in program.pieces(step.argument):
            if program.depends_on_state(piece.base):
                by = (step.matrix[:, start : start + piece.width] != 0).float().cpu()
                found |= by @ of_pieces((piece,)).float() > 0
            start += piece.width
    elif isinstance(step, Reduction):
        rows = of_pieces(program.pieces(step.argument)).reshape(*program.feature_shape(step.argument), total)
        dims = [index for index, size in enumerate(step.kept) if size != rows.shape[index]]
        found |= (rows.float().sum(dims) if dims else rows.float()).reshape(-1, total) > 0
    elif isinstance(step, Contraction):
        for operand, letters in enumerate(step.letters):
            if program.depends_on_state(step.operands[operand]):
                mine = of_pieces(program.pieces(step.operands[operand])).float()
                theirs = step.letters[1 - operand]
                other = torch.ones([step.sizes[letter] for letter in theirs])
                mine = mine.unflatten(0, [step.sizes[letter] for letter in letters] or [1])
                seen = torch.einsum(f"{letters}Z,{theirs}->{step.result_letters}Z", mine, other)
                found |= seen.reshape(-1, total) > 0
    else:
        return of_pieces(program.pieces(step.result))
    return found


def _parts(seen: Tensor) -> tuple[tuple[int, ...], ...]:
    """Connected components of numbers that see each other; those that see none are one part."""
    label = torch.arange(len(seen))
    linked = seen | seen.T
    while True:
        lowest = torch.where(linked, label, len(seen)).amin(1).minimum(label)
        if torch.equal(lowest, label):
            break
        label = lowest
    parts = [tuple((label == one).nonzero().flatten().tolist()) for one in label.unique()]
    alone = tuple(part[0] for part in parts if len(part) == 1)
    return (*(part for part in parts if len(part) > 1), *((alone,) if alone else ()))
