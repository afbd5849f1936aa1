"""Products of states with states, inputs and stacked matrices: every einsum of two operands.

The letters of an operand name the dimensions of its features; the batch, which all values with rows share, has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gradscope.dynamics.program.dependence import Dependence
from gradscope.dynamics.program.trace import NotFollowed, Value

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Contraction:
    """A product of two values summed over the letters that the result lacks.

    Attributes:
        result: The value.
        operands: The two factors.
        letters: Of their features.
        result_letters: Of the result's.
        sizes: Letter to size.
    """

    result: Value
    operands: tuple[Value, Value]
    letters: tuple[str, str]
    result_letters: str
    sizes: dict[str, int]

    def cotangent(self, of: int, bar: Tensor, other: Tensor) -> Tensor:
        """Of one operand, from the result's and the other operand.

        Args:
            of: Which operand.
            bar: ``(*, *result features)``.
            other: ``(*, *features)``; leading dimensions are broadcast.
        """
        return contracted(
            bar, self.result_letters, other.conj().resolve_conj(), self.letters[1 - of], self.letters[of], self.sizes
        )


def contraction(
    program: Dependence,
    value: Value,
    first: Value,
    second: Value,
    equation: str | None,
    permuted: Mapping[Value, tuple[Value, tuple[int, ...]]],
) -> Contraction | tuple[Value, Value, bool]:
    """A product as a contraction; or as one by a matrix: what is multiplied, the matrix, and whether it is transposed.

    Args:
        program: The program.
        value: The result.
        first: The left operand.
        second: The right one.
        equation: Of einsum; None of a matrix product.
        permuted: Views that swap dimensions: of what, and how.

    Raises:
        NotFollowed: It is neither.
    """
    for one in (first, second):
        if one.number < 0 and len(program.shape(one)) > 2 and program.shape(one)[0] == 1:
            raise NotFollowed("a product takes a matrix that was made for every sample of the batch")
    if equation is None:
        if program.has_rows(first) and len(program.shape(first)) == 2 and second.number < 0:
            return first, second, True
        a, b, result = _of_matrix_product(program, first, second)
    else:
        a, b, result = _of_einsum(program, equation, first, second, value)
    for one, letters, matrix, others in ((first, a, second, b), (second, b, first, a)):
        by_matrix = matrix.number < 0 and len(letters) == len(result) == 1 and len(others) == 2
        if program.has_rows(one) and by_matrix and set(others) == {letters, result}:
            return one, matrix, others[0] == letters
    operands, letters_of = [], []
    for one, letters in ((first, a), (second, b)):
        if one in permuted:
            one, order = permuted[one]
            letters = "".join(letters[order.index(dim)] for dim in range(len(letters)))
        if len(set(letters)) != len(letters):
            raise NotFollowed("a product takes the diagonal of an operand")
        operands.append(one)
        letters_of.append(letters)
    a, b = letters_of
    if set(a) - set(b) - set(result) or set(b) - set(a) - set(result) or set(result) - set(a) - set(b):
        raise NotFollowed("a product sums an operand alone")
    sizes: dict[str, int] = {}
    for one, letters in zip(operands, letters_of, strict=True):
        features = program.shape(one)[program.has_rows(one) :]
        for letter, size in zip(letters, features, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise NotFollowed("a product repeats an operand along a dimension")
    return Contraction(value, (operands[0], operands[1]), (a, b), result, sizes)


def _of_matrix_product(program: Dependence, first: Value, second: Value) -> tuple[str, str, str]:
    """Letters of ``first @ second``."""
    ranks = []
    for one in (first, second):
        rank = len(program.shape(one)) - program.has_rows(one)
        if rank < 2 or program.is_of_time(one):
            raise NotFollowed("a matrix product goes over the batch")
        ranks.append(rank)
    leading = _LETTERS[3 : 1 + max(ranks)]
    batch_a, batch_b = (leading[len(leading) - (rank - 2) :] for rank in ranks)
    return f"{batch_a}ab", f"{batch_b}bc", f"{leading}ac"


def _of_einsum(program: Dependence, equation: str, first: Value, second: Value, value: Value) -> tuple[str, str, str]:
    """Letters of an equation without the batch's."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    names = inputs.split(",")
    if not arrow or len(names) != 2:
        raise NotFollowed(f"einsum '{equation}' has no result, or more operands than two")
    ranks = [len(program.shape(one)) for one in (first, second)]
    more = max(rank - len(name.replace("...", "")) for name, rank in zip(names, ranks, strict=True))
    hidden = "".join(letter for letter in reversed(_LETTERS) if letter not in equation)[: max(0, more)]
    found = [
        name.replace("...", hidden[len(hidden) - (rank - len(name.replace("...", ""))) :] if "..." in name else "")
        for name, rank in zip(names, ranks, strict=True)
    ]
    result = result.replace("...", hidden)
    batch = result[:1]
    for index, one in enumerate((first, second)):
        if program.has_rows(one):
            if found[index][:1] != batch or program.shape(one)[0] != program.traced.batch:
                raise NotFollowed(f"einsum '{equation}' has the batch in other places than the first")
            found[index] = found[index][1:]
        elif program.is_of_time(one):
            raise NotFollowed(f"einsum '{equation}' takes the number of the step")
        if batch in found[index]:
            raise NotFollowed(f"einsum '{equation}' goes over the batch")
    return found[0], found[1], result[1:]


def contracted(x: Tensor, x_letters: str, y: Tensor, y_letters: str, letters: str, sizes: Mapping[str, int]) -> Tensor:
    """Σ x y over what the result lacks, by one matrix product, or by one product where nothing is summed.

    Args:
        x: ``(*, *features)``.
        x_letters: Of its features.
        y: The same; leading dimensions are broadcast.
        y_letters: Of its features.
        letters: Of the result's.
        sizes: Letter to size.

    Example:
        >>> import torch
        >>> x, y = torch.ones(5, 2, 3), torch.ones(5, 3, 4)
        >>> contracted(x, "ij", y, "jk", "ki", {"i": 2, "j": 3, "k": 4}).shape
        torch.Size([5, 4, 2])
    """
    real = [letter for letter in dict.fromkeys(x_letters + y_letters) if sizes[letter] > 1]
    both = [letter for letter in real if letter in x_letters and letter in y_letters]
    summed = [letter for letter in both if letter not in letters]
    if not summed:
        return _aligned(x, x_letters, letters) * _aligned(y, y_letters, letters)
    shared = [letter for letter in both if letter in letters]
    of_x, of_y = ([v for v in real if v in mine and v not in both] for mine in (x_letters, y_letters))
    rows = _aligned(x, x_letters, shared + of_x + summed)
    columns = _aligned(y, y_letters, shared + summed + of_y)
    last_x, last_y = len(summed), len(of_y)
    left = _flat(_flat(rows, last_x), len(of_x), before=1)
    right = _flat(_flat(columns, last_y), len(summed), before=1)
    product = left @ right
    product = product.unflatten(-1, [sizes[v] for v in of_y] or [1]).unflatten(
        -1 - max(1, len(of_y)), [sizes[v] for v in of_x] or [1]
    )
    lead = product.dim() - len(shared) - max(1, len(of_x)) - max(1, len(of_y))
    if not of_x:
        product = product.squeeze(lead + len(shared))
    if not of_y:
        product = product.squeeze(-1)
    return _aligned(product, "".join(shared + of_x + of_y), letters)


def _aligned(x: Tensor, letters: str, wanted: str | list[str]) -> Tensor:
    """Features in another order; a letter that is wanted and not there is a dimension of size 1, one too many goes."""
    lead = x.dim() - len(letters)
    kept = list(letters)
    for index in range(len(letters) - 1, -1, -1):
        if letters[index] not in wanted:
            x = x.squeeze(lead + index)
            kept.pop(index)
    order = [letter for letter in wanted if letter in kept]
    if order != kept:
        x = x.permute(*range(lead), *(lead + kept.index(letter) for letter in order))
    for index, letter in enumerate(wanted):
        if letter not in kept:
            x = x.unsqueeze(lead + index)
    return x


def _flat(x: Tensor, count: int, before: int = 0) -> Tensor:
    """Some dimensions, the last but ``before``, as one."""
    if count == 0:
        return x.unsqueeze(x.dim() - before)
    if count == 1:
        return x
    return x.flatten(x.dim() - before - count, x.dim() - before - 1)
