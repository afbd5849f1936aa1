"""How much rounding alone moves a case: two probes of the same model once more, with other rounding.

Where a model declares how its hidden units may be permuted, they stand in another order: it computes the same, but for
the order of its sums. Otherwise every parameter is moved to a neighbouring number.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.contract.probe import check_modes
from gradscope.contract.symmetry import NAME, Symmetry
from gradscope.errors import UnknownName, UsageError
from gradscope.numerics.random_streams import random_stream

_AXIS = re.compile(r"\(([^()]*)\)|([^\s()+]+)")  # a group, or one name
PROBE_SHAPE = (2, 4)  # batch and length on which a declaration is tried
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Permuted:
    """A model whose units stand in another order: ``new(x[..., inputs])`` is ``old(x)[..., outputs]`` up to rounding.

    Attributes:
        model: The new model.
        inputs: Index of the inputs, ``(input_size,)``.
        outputs: Index of the outputs, ``(output_size,)``.
    """

    model: Model
    inputs: Tensor
    outputs: Tensor


def permute_units(model: Model, seed: int) -> Permuted | None:
    """A copy of a model with its units in a random order.

    Definition:
        W'[i, j] = W[p(i), q(j)] for an axis permuted by p and one permuted by q, so h'_t[i] = h_t[p(i)]: the equations
        do not change, and all that differs is the order in which products are summed.

    Args:
        model: Any model; it is left as it is.
        seed: Of the stream ``permutations``. Each axis is permuted by one cycle through all of its entries: every unit
            moves.

    Returns:
        The copy with what permutes inputs and outputs; None where the model declares no symmetry.

    Raises:
        UsageError: A declaration that leaves a parameter out, does not fit a shape or does not keep the outputs.
        Unmeasurable: Dropout or batch norm in training mode.

    Cost:
        A copy of the model and two forward passes of four steps, which show that the declaration is true.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("lstm", input_size=3, hidden_size=4)
        >>> permuted = permute_units(model, seed=0)
        >>> x = gradscope.make_inputs("white", batch=1, length=5, input_size=3)
        >>> torch.allclose(permuted.model(x[..., permuted.inputs]), model(x)[..., permuted.outputs], atol=1e-6)
        True
    """
    symmetry = model.symmetry
    if symmetry is None:
        return None
    check_modes(model)
    _check_names(model, symmetry)
    random = random_stream("permutations", seed)
    orders = {
        axis: torch.arange(size) if axis in symmetry.fixed else _cycle(size, random)
        for axis, size in symmetry.sizes.items()
    }
    new = copy.deepcopy(model)
    tensors = _tensors(new)
    with torch.no_grad():
        for name, axes in symmetry.parameters.items():
            value = tensors[name]
            for dimension, index in enumerate(_indices(type(model).__name__, name, axes, value.shape, orders)):
                value.copy_(value.index_select(dimension, index.to(value.device)))
    permuted = Permuted(new, orders[symmetry.inputs], orders[symmetry.outputs])
    _check_outputs(model, permuted, random)
    return permuted


def jitter(model: Model, seed: int) -> None:
    """Moves every entry of every parameter to a neighbouring number, up or down at random, in place.

    The neighbours are those of single precision where all parameters have such values: torch's constructors drew them
    there, and the last digit of those draws depends on the processor's instructions.
    """
    random, values = random_stream("permutations", seed), [_real(parameter) for parameter in model.parameters()]
    drawn_in = torch.float32 if all(torch.equal(value.float().double(), value) for value in values) else torch.float64
    with torch.no_grad():
        for value in values:
            up = torch.from_numpy(np.asarray(random.random_sample(tuple(value.shape)) < 0.5))
            towards = torch.where(up, torch.inf, -torch.inf).to(drawn_in)
            value.copy_(torch.nextafter(value.to(drawn_in), towards))


def largest_difference(first: Array, second: Array) -> float:
    """The largest absolute difference; that of −inf and −inf, or of NaN and NaN, is 0."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        return float(np.where(same, 0.0, np.abs(first - second)).max(initial=0.0))


def _tensors(model: Model) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _check_names(model: Model, symmetry: Symmetry) -> None:
    kind, tensors = type(model).__name__, _tensors(model)
    for name in symmetry.parameters:
        if name not in tensors:
            raise UnknownName(f"parameter or buffer of {kind}", name, tensors)
    for name, value in tensors.items():
        if value.numel() > 1 and name not in symmetry.parameters:
            raise UsageError(
                f"{kind} declares the symmetry of its units without '{name}', which has the shape "
                f"{tuple(value.shape)}; name its axes there, or set self.symmetry = None."
            )
    for axis, size in ((symmetry.inputs, model.input_size), (symmetry.outputs, model.output_size)):
        if symmetry.sizes.get(axis) != size:
            raise UsageError(
                f"{kind} declares the symmetry of its units with {axis}={symmetry.sizes.get(axis)}, but the model "
                f"has {size} of them."
            )


def _check_outputs(old: Model, permuted: Permuted, random: np.random.RandomState) -> None:
    like = next(old.parameters(), torch.zeros(())).real
    x = torch.from_numpy(random.standard_normal((*PROBE_SHAPE, old.input_size))).to(like)
    with torch.no_grad():
        expected, found = old(x)[..., permuted.outputs], permuted.model(x[..., permuted.inputs])
    if ((found - expected).abs().max() > math.sqrt(torch.finfo(like.dtype).eps) * expected.abs().max()).item():
        raise UsageError(
            f"{type(old).__name__} declares a symmetry of its units that it does not have: with its units permuted it "
            "gives other outputs; check which axes of its parameters belong together, or set self.symmetry = None."
        )


def _cycle(size: int, random: np.random.RandomState) -> Tensor:
    """A permutation that is one cycle through all entries, uniformly drawn."""
    visited = torch.from_numpy(random.permutation(size))
    order = torch.empty_like(visited)
    order[visited] = visited.roll(1)
    return order


def _indices(kind: str, name: str, axes: str, shape: Sequence[int], orders: Mapping[str, Tensor]) -> list[Tensor]:
    """The index of every dimension of one parameter."""
    groups = [(group or single).split("+") for group, single in _AXIS.findall(axes)]
    if not _AXIS.sub("", axes).strip() and len(groups) == len(shape):
        found = [
            torch.cat(_parts([part.split() for part in parts], size, orders))
            for parts, size in zip(groups, shape, strict=True)
        ]
        if [len(index) for index in found] == list(shape):
            return found
    sizes = ", ".join(f"{axis}={len(order)}" for axis, order in orders.items() if axis in NAME.findall(axes))
    raise UsageError(
        f"{kind} declares '{name}' as '{axes}'{f' with {sizes}' if sizes else ''}, which does not fit its shape "
        f"{tuple(shape)}; write one name or one group in parentheses for each dimension."
    )


def _parts(parts: Sequence[Sequence[str]], size: int, orders: Mapping[str, Tensor]) -> list[Tensor]:
    """The index of every part of one dimension; a name without a size takes what the others leave."""
    found, start = [], 0
    for names in parts:
        known = max(1, math.prod(len(orders[axis]) for axis in names if axis in orders))
        index = torch.zeros(1, dtype=torch.long)
        for axis in names:
            order = orders[axis] if axis in orders else torch.arange(size // known)
            index = (index.unsqueeze(-1) * len(order) + order).flatten()
        found.append(start + index)
        start += len(index)
    return found


def _real(parameter: Tensor) -> Tensor:
    """A view of it, without its history."""
    value = parameter.detach()
    return torch.view_as_real(value) if value.is_complex() else value
