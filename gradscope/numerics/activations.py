"""σ and tanh whose derivatives stay exact where the functions saturate.

1 − tanh² and σ(1 − σ) are computed from rounded values and become 0 at |x| ≈ 9 (float32) or 19 (float64);
σ'(x) = σ(x) σ(−x) and sech² x = 4 σ(2x) σ(−2x) keep their relative precision until an exponential underflows.
Where a derivative is asked for, tanh x is 2 σ(2x) − 1: within two units in the last place of 1, made from the number
that the derivative needs anyway, and four times as fast as ``torch.tanh`` on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Sigmoid(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        return torch.mul(cotangents[0], y * torch.sigmoid(-x))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        return torch.mul(tangents[0], y * torch.sigmoid(-x))


class _Tanh(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        half = torch.sigmoid(2 * x)
        return 2 * half - 1, half

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])
        ctx.save_for_forward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        x, half = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is asked for, and the kept number has none
            half = torch.sigmoid(2 * x)
        return torch.mul(cotangents[0], 4 * half * torch.sigmoid(-2 * x))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> tuple[Tensor, None]:
        x, _ = ctx.saved_tensors
        return tangents[0] * (4 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)), None


def _is_symbol(x: Tensor) -> bool:
    """Whether a tensor's class writes down what is done with it, and needs no derivative."""
    return type(x) is not Tensor and "__torch_function__" in vars(type(x))


def sigmoid(x: Tensor) -> Tensor:
    """σ(x) = 1/(1 + e^−x), with σ'(x) = σ(x) σ(−x) exact in relative terms."""
    if torch.is_grad_enabled() and not _is_symbol(x):
        return _Sigmoid.apply(x)  # type: ignore[no-any-return, no-untyped-call]
    return torch.sigmoid(x)  # no derivative is asked for, or of a symbol that knows it; a custom function costs 20 µs


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, with tanh'(x) = sech²(x) exact in relative terms."""
    if _is_symbol(x):  # a symbol: the same numbers as where a derivative is asked for
        return 2 * torch.sigmoid(2 * x) - 1
    if torch.is_grad_enabled():
        return _Tanh.apply(x)[0]  # type: ignore[no-any-return, no-untyped-call]
    return torch.tanh(x)
