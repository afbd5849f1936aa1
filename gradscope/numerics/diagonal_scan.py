"""``h_t = a_t ⊙ h_{t−1} + b_t`` over a whole sequence, differentiable: one multiply-add a step in either direction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _DiagonalScan(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return _scan(a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, Tensor]:
        """g_t = ∂L/∂h_t + conj(a_{t+1}) g_{t+1};  ∂L/∂b_t = g_t;  ∂L/∂a_t = g_t conj(h_{t−1})."""
        a, h = ctx.saved_tensors
        kept = torch.cat([a[1:], torch.zeros_like(a[:1])]).flip(0).conj()
        g = _scan(kept.resolve_conj(), cotangents[0].flip(0)).flip(0)
        return torch.cat([torch.zeros_like(g[:1]), g[1:] * h[:-1].conj()]), g


def diagonal_scan(a: Tensor, b: Tensor) -> Tensor:
    """All states from h_0 = 0.

    Args:
        a: Real or complex, ``(length, …)``.
        b: The same shape and dtype.

    Returns:
        h_1, …, h_T, ``(length, …)``; differentiable once.

    Example:
        >>> diagonal_scan(torch.full((3,), 0.5), torch.ones(3)).tolist()
        [1.0, 1.5, 1.75]
    """
    states: Tensor = _DiagonalScan.apply(a, b)  # type: ignore[no-untyped-call]
    return states


def _scan(a: Tensor, b: Tensor) -> Tensor:
    states = torch.empty_like(b, memory_format=torch.contiguous_format)
    before = torch.zeros_like(states[0])
    for a_t, b_t, now in zip(a.unbind(0), b.unbind(0), states.unbind(0), strict=True):
        before = torch.addcmul(b_t, a_t, before, out=now)
    return states
