"""Reproducible inputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gradscope.contract.option import OptionValue, parse_options
from gradscope.errors import UnknownName, UsageError
from gradscope.homes import load
from gradscope.inputs.catalogue import INPUTS
from gradscope.numerics.random_streams import random_stream


def make_inputs(
    kind: str,
    *,
    batch: int,
    length: int,
    input_size: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    **options: OptionValue,
) -> Tensor:
    """A batch of input sequences, the same on every machine, device, dtype and thread count.

    Args:
        kind: ``"white"``, ``"ar1"``, ``"constant"``, ``"wiki-like"``, ``"adding"`` or ``"copy"``.
        batch: Number of sequences.
        length: Steps of each.
        input_size: Features; adding and copy fix it.
        seed: Of the ``inputs`` stream.
        dtype: Drawn in float64, then cast.
        device: Drawn on the CPU, then moved.
        options: The kind's own, such as ``rho=0.9``.

    Returns:
        ``(batch, length, input_size)``. Of all but adding and copy, the beginning of a longer draw is the shorter draw.

    Raises:
        UnknownName: No such kind or option.
        UsageError: A size that is not positive or that the kind does not have, or an option of a kind without any.

    Example:
        >>> make_inputs("white", batch=2, length=5, input_size=3).shape
        torch.Size([2, 5, 3])
    """
    if kind not in INPUTS:
        raise UnknownName("input kind", kind, INPUTS)
    for name, size in {"batch": batch, "length": length, "input_size": input_size}.items():
        if size < 1:
            raise UsageError(f"{name} should be at least 1, but {size} was given.")
    spec = INPUTS[kind]
    values = parse_options(kind, spec.options, options)
    fixed = spec.implied_input_size(values)
    if fixed is not None and fixed != input_size:
        raise UsageError(f"The input '{kind}' has {fixed} features, but input_size={input_size} was given.")
    x = load(spec.home)(random_stream("inputs", seed), length, batch, input_size, **values)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2))).to(dtype=dtype, device=device)
