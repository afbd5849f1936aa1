"""Sums and orders of logarithms that may be −inf, for an exact zero, or NaN."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SQUARED = 2 * math.log(10)


def log10_root_sum_square(logs: Tensor, dim: int = 0) -> Tensor:
    """log10 √Σ 10^(2 l) of log10 norms along a dimension, which goes.

    Example:
        >>> round(float(log10_root_sum_square(torch.tensor([1.0, 1.0]))), 6)  # log10 √200
        1.150515
    """
    return torch.logsumexp(logs * _SQUARED, dim) / _SQUARED


def descending_order(logs: Tensor) -> Tensor:
    """Indices that sort the last dimension, the largest first, −inf after every number and NaN last; stable.

    Example:
        >>> descending_order(torch.tensor([math.nan, 1.0, -math.inf, 2.0])).tolist()
        [3, 1, 2, 0]
    """
    placed = logs.nan_to_num(nan=-math.inf, neginf=torch.finfo(logs.dtype).min)
    return placed.argsort(dim=-1, descending=True, stable=True)
