"""The operations that loops over time consist of: each writes into its last operand, and nothing is allocated.

An operation is a function with its operands at every step, views of buffers that hold all steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Operation = tuple[Callable[..., Any], list[tuple[Any, ...]]]


def by_step(*operands: Tensor) -> list[tuple[Tensor, ...]]:
    """The operands of every step."""
    return list(zip(*(operand.unbind(0) for operand in operands), strict=True))


def product(derivative: Tensor, cotangent: Tensor, out: Tensor) -> Tensor:
    """derivative ⊙ cotangent."""
    return torch.mul(derivative, cotangent, out=out)


def accumulate_product(derivative: Tensor, cotangent: Tensor, out: Tensor) -> Tensor:
    """The same added to what is there."""
    return out.addcmul_(derivative, cotangent)


def add_product(base: Tensor, derivative: Tensor, cotangent: Tensor, out: Tensor) -> Tensor:
    """base + derivative ⊙ cotangent."""
    return torch.addcmul(base, derivative, cotangent, out=out)


def matrix_product(a_bar: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """ā W, the cotangents of several samples as rows."""
    return torch.mm(a_bar, weight, out=out)


def accumulate_matrix_product(a_bar: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """The same added to what is there."""
    return out.addmm_(a_bar, weight)


def add_matrix_product(base: Tensor, a_bar: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """base + ā W."""
    return torch.addmm(base, a_bar, weight, out=out)
