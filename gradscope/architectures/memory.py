"""Memory dials: a gate's bias or a matrix's scale sets the median |λ|."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradscope.contract.model import EVERY_ROW, MemoryGroups
from gradscope.errors import Unmeasurable


def logit(modulus: float) -> float:
    """The pre-activation at which a sigmoid is ``modulus``."""
    return math.log(modulus) - math.log1p(-modulus)


def scale_to_median(matrix: Tensor, modulus: float) -> None:
    """Scales a matrix in place so that the median modulus of its eigenvalues is ``modulus``.

    Of an even number the lower of the two in the middle, as :meth:`torch.Tensor.median` takes it: near 1 their mean
    would be no eigenvalue's modulus, and most of the distance to 1 would be the gap between them.

    Raises:
        Unmeasurable: The median is 0, and no scale changes that.
    """
    median = float(eigenvalue_moduli(matrix).median())
    if median == 0:
        raise Unmeasurable(
            f"Half of the recurrent matrix's eigenvalues are 0, so no scale gives them a median |λ| of {modulus:g}; "
            "start from a matrix of higher rank."
        )
    matrix.mul_(modulus / median)


def eigenvalue_moduli(matrix: Tensor) -> Tensor:
    """Moduli of all eigenvalues."""
    values: Tensor = torch.linalg.eigvals(matrix.detach().to("cpu", torch.float64))
    return values.abs()


def whole(**groups: tuple[str, ...]) -> MemoryGroups:
    """Groups of parameters that belong to one as a whole."""
    return {name: ((group, EVERY_ROW),) for group, names in groups.items() for name in names}
