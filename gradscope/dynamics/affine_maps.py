"""Affine maps W y + b of a model's own parameters, caught where they are called.

The share of one step in the gradient of W has rank one, ā ⊗ y with ā the cotangent of the map's value: sums and norms
over steps and samples follow from ā and y, without a derivative for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradscope.numerics.scaled import Scaled


@dataclass(frozen=True)
class Call:
    """One affine map of one call.

    Attributes:
        weight: Name of the matrix.
        bias: Name of what is added, if anything is.
        input: What was multiplied, ``(*, columns)``.
        value: W y + b, ``(*, rows)``, through which autograd goes on to the input but not to the parameters.
    """

    weight: str
    bias: str | None
    input: Tensor
    value: Tensor


@dataclass(frozen=True)
class AffineMap:
    """An affine map along a segment.

    Attributes:
        weight: Name of the matrix.
        bias: Name of what is added, if anything is.
        input: y, ``(steps, batch, columns)``.
        cotangent: ā, rows ``(steps, active, batch)``.
    """

    weight: str
    bias: str | None
    input: Tensor
    cotangent: Scaled

    def squared_norms(self, names: tuple[str, ...]) -> Tensor:
        """‖ā‖² ‖y‖² and ‖ā‖² of those of its parameters that are named, ``(steps, active, batch)`` float64."""
        a = torch.linalg.vector_norm(self.cotangent.mantissa, dim=-1, dtype=torch.float64).square()
        y = torch.linalg.vector_norm(self.input, dim=-1, dtype=torch.float64).square().unsqueeze(1)
        found: Tensor = a * (y * (self.weight in names) + (self.bias in names))
        return found


class AffineCalls(TorchFunctionMode):
    """While active, lists the calls of ``torch.nn.functional.linear`` with parameters.

    Args:
        parameters: By name.
    """

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in parameters.items()}
        self._versions: list[int] = []
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.linear:
            return func(*args, **kwargs)
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        y, weight, bias = given["input"], given["weight"], given.get("bias")
        name, bias_name = self._names.get(id(weight)), self._names.get(id(bias))
        if name is None or (bias is not None and bias_name is None):
            return func(*args, **kwargs)
        value = func(y, weight.detach(), None if bias is None else bias.detach())
        if not value.requires_grad:
            value = value.requires_grad_().clone()  # not a leaf: the caller may write to it
        self._versions += [y._version, value._version]
        self.calls.append(Call(name, bias_name, y, value))
        return value

    @property
    def are_as_recorded(self) -> bool:
        """Whether nothing was written to in place afterwards, and every parameter occurs once."""
        names = [name for call in self.calls for name in (call.weight, call.bias) if name is not None]
        now = [tensor._version for call in self.calls for tensor in (call.input, call.value)]
        return len(set(names)) == len(names) and now == self._versions
