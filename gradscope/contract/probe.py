"""Probes a model before it is measured: its answers must be repeatable, sample by sample, and causal.

The model is afterwards as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from gradscope.contract.model import Model
from gradscope.errors import Unmeasurable

PROBE_STEPS = 8  # that are enough to see whether a model is causal
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}


def check_modes(model: nn.Module) -> None:
    """Raises :class:`Unmeasurable` for dropout or batch norm in training mode, naming the module."""
    for name, module in model.named_modules():
        if not module.training:
            continue
        where = f"'{name}' ({type(module).__name__})" if name else type(module).__name__
        inner = isinstance(module, nn.RNNBase) and module.dropout > 0 and module.num_layers > 1
        if inner or (isinstance(module, _DropoutNd) and module.p > 0):
            raise Unmeasurable(
                f"The model has dropout in training mode, {where}, so it answers the same input differently each time; "
                "call model.eval() or set its dropout to 0 before measuring."
            )
        if isinstance(module, _BatchNorm):
            raise Unmeasurable(
                f"The model has batch norm in training mode, {where}, so a sample's gradient depends on the others; "
                "call model.eval() before measuring."
            )


def check_answers(model: Model, x: Tensor) -> None:
    """Raises :class:`Unmeasurable` for a model that cannot be measured; leaves it as it was.

    Args:
        model: The model.
        x: Inputs ``(batch, length, input_size)``; a few samples and steps will do. Of a single sample a second one is
            made, for it takes two to see that they do not mix.
    """
    x = x if len(x) > 1 else torch.cat([x, _another(x)])
    changed = torch.cat([x[:, :-1], _another(x[:, -1:])], dim=1)
    with torch.no_grad(), unchanged(model):
        y = model(x)
        again = model(x)
        alone = torch.cat([model(x[:1]), model(x[1:2])])
        later = model(changed)
    if not _same(y, again):
        raise Unmeasurable(
            "The model gives two answers to the same input (dropout or another draw inside); call model.eval() first."
        )
    if not _same(y[:2], alone):
        raise Unmeasurable(
            "A sample's answer depends on the rest of the batch: batch norm in training mode does that (call "
            "model.eval() first), and so does a module that takes (length, batch, features) (build it with "
            "batch_first=True)."
        )
    if not _same(y[:, :-1], later[:, :-1]):
        raise Unmeasurable(
            "The model is not causal: its last input changes earlier outputs, so a gradient has no direction in time; "
            "mask the future or use one direction only."
        )


def _another(x: Tensor) -> Tensor:
    """Inputs that differ by more than a shift and a scale, which a layer norm would take away."""
    features = x.shape[-1]
    return torch.arange(1, features + 1, dtype=x.dtype, device=x.device) / features - x


def _same(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    tolerance = TOLERANCE.get(first.dtype, 1e-4)
    scale = float(first.abs().max()) if first.numel() else 0.0
    return bool(torch.allclose(first, second, rtol=tolerance, atol=tolerance * max(scale, 1e-30), equal_nan=True))


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Buffers (running means of batch norm, counters) and torch's random generators are afterwards as before.

    Args:
        module: What runs inside, any number of times.
    """
    kept = [
        (inner, name, buffer, buffer.detach().clone())
        for inner in module.modules()
        for name, buffer in inner.named_buffers(recurse=False)
    ]
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            with torch.no_grad():
                for inner, name, buffer, value in kept:
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)
                    if getattr(inner, name, None) is not buffer:
                        setattr(inner, name, buffer)
