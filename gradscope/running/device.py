"""Where to measure."""

from __future__ import annotations

import torch

from gradscope.errors import UsageError


def resolve_device(asked: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is cuda where there is one.

    Raises:
        UsageError: cuda was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if asked == "auto":
        return "cuda" if available else "cpu"
    if asked == "cuda" and not available:
        raise UsageError("--device cuda was asked for, but torch finds no CUDA device here; use cpu or auto.")
    return asked
