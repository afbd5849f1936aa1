"""How much rounding alone moves a case: weights moved to neighbouring numbers, and the largest difference."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.numerics.random_streams import random_stream

Array = NDArray[np.float64]


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


def _real(parameter: Tensor) -> Tensor:
    """A view of it, without its history."""
    value = parameter.detach()
    return torch.view_as_real(value) if value.is_complex() else value


def largest_difference(first: Array, second: Array) -> float:
    """The largest absolute difference; that of −inf and −inf, or of NaN and NaN, is 0."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        return float(np.where(same, 0.0, np.abs(first - second)).max(initial=0.0))
