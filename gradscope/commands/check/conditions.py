"""The conditions of a regression measurement: one thread of the CPU, gradients on, torch's usual default dtype."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reference_conditions() -> Iterator[None]:
    """Whatever the process is set to, everything inside runs on one thread, and so in one order; all is put back.

    Constructors of a user's modules draw in the default dtype, so that is part of the conditions.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
