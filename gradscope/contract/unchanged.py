"""A module that runs without leaving a trace: what a forward pass changes is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


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
