"""Losses, as the cotangents ∂L/∂y that they send into the outputs. Every loss is a sum of per-sample losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradscope.dynamics.cotangents import Cotangents
from gradscope.dynamics.segments import Segment
from gradscope.errors import UnknownName, UsageError
from gradscope.measurements.loss_names import LOSSES
from gradscope.numerics.random_streams import Stream, random_stream
from gradscope.numerics.scaled import Scaled

LossFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ReorderedLoss:
    """The same loss for a model whose outputs stand in another order, targets and probes along with them.

    Attributes:
        loss: In the outputs' own order.
        order: Index of the outputs, ``(features,)``: the model gives ``y[..., order]``.
    """

    loss: Loss
    order: Tensor


Loss = str | LossFunction | ReorderedLoss


def output_cotangents(loss: Loss, outputs: Tensor, lengths: Sequence[int], seed: int) -> dict[int, Tensor]:
    """∂L/∂y of the loss at every length.

    Args:
        loss: A name from ``LOSSES``, or a function from outputs ``(batch, T, features)`` to ``(batch,)``,
            or one of them for outputs in another order.
        outputs: ``(length, batch, features)``.
        lengths: The lengths T.
        seed: Of the streams ``targets`` and ``probes``; a target does not depend on the length it is used for.

    Returns:
        Length T to ``(batch, features)`` where only the last output counts, to ``(T, batch, features)`` otherwise.

    Raises:
        UnknownName: No such loss.
        UsageError: A function that does not return one number per sample.
    """
    if isinstance(loss, ReorderedLoss):
        found = output_cotangents(loss.loss, outputs[..., loss.order.argsort()], lengths, seed)
        return {length: value[..., loss.order] for length, value in found.items()}
    if callable(loss):
        return {length: _of_function(loss, outputs[:length]) for length in lengths}
    if loss == "last":
        target = _drawn("targets", seed, outputs.shape[1:], outputs)
        return {length: outputs[length - 1] - target for length in lengths}
    if loss == "last-probe":
        probe = _drawn("probes", seed, outputs.shape[1:], outputs)
        probe = probe / torch.linalg.vector_norm(probe, dim=-1, keepdim=True)
        return dict.fromkeys(lengths, probe)
    if loss == "mean":
        error = outputs - _drawn("targets", seed, outputs.shape, outputs)
        return {length: error[:length] / length for length in lengths}
    raise UnknownName("loss", loss, LOSSES)


def log10_last_norm(cotangent: Tensor) -> Tensor:
    """log10 ‖∂L/∂y_T‖ at the last step of one length, ``(batch,)`` float64."""
    last = cotangent if cotangent.dim() == 2 else cotangent[-1]
    norm: Tensor = torch.linalg.vector_norm(last.double(), dim=-1)
    return norm.log10().cpu()


def _drawn(stream: Stream, seed: int, shape: Sequence[int], like: Tensor) -> Tensor:
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = random_stream(stream, seed).standard_normal(
        tuple(shape)
    )
    return torch.from_numpy(values).to(dtype=like.dtype, device=like.device)


def _of_function(loss: LossFunction, outputs: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = outputs.detach().transpose(0, 1).contiguous().requires_grad_()
        value = loss(leaf)
        if not isinstance(value, Tensor) or value.shape != leaf.shape[:1]:
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(
                f"A loss should return one number per sample, ({len(leaf)},), but this one returned {given}."
            )
        if not value.requires_grad:
            raise UsageError("The loss does not depend on the outputs, so every gradient is zero.")
        (grad,) = torch.autograd.grad(value.sum(), leaf)
    return grad.transpose(0, 1)


class SegmentCotangents:
    """Cuts the cotangents of several lengths into the segments of the reverse pass.

    Args:
        by_length: What :func:`output_cotangents` returns.
    """

    def __init__(self, by_length: dict[int, Tensor]) -> None:
        self._lengths = sorted(by_length, reverse=True)
        self._by_length = by_length

    def __call__(self, segment: Segment) -> Cotangents:
        """∂L/∂y for the outputs of a segment."""
        active = self._lengths[: segment.active]
        values = [self._by_length[length] for length in active]
        if values[0].dim() == 3:
            every = torch.stack([value[segment.start : segment.stop] for value in values], dim=1)
            return Cotangents(every=Scaled.of(every, 3))
        if active[-1] != segment.stop:
            return Cotangents()
        last = torch.zeros((len(active), *values[-1].shape), dtype=values[-1].dtype, device=values[-1].device)
        last[-1] = values[-1]
        return Cotangents(last=Scaled.of(last, 2))
