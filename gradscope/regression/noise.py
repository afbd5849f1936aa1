"""How much rounding alone moves a case: the same model once more, with its sums taken in another order."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gradscope.contract.model import Model
from gradscope.contract.random_streams import random_stream

Array = NDArray[np.float64]


def jitter(model: Model, seed: int) -> None:
    """Moves every entry of every parameter to a neighbouring number, up or down at random, in place."""
    random = random_stream("permutations", seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dtype == torch.float64 or parameter.is_complex():
                values = torch.view_as_real(parameter) if parameter.is_complex() else parameter
                up = torch.from_numpy(np.asarray(random.random_sample(tuple(values.shape)) < 0.5))
                values.copy_(torch.nextafter(values, torch.where(up, torch.inf, -torch.inf).to(values)))


def largest_difference(first: Array, second: Array) -> float:
    """The largest absolute difference; that of −inf and −inf, or of NaN and NaN, is 0."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        return float(np.where(same, 0.0, np.abs(first - second)).max(initial=0.0))
