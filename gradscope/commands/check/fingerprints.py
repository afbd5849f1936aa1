"""Hashes that tell a change of the measurement, of the random numbers and of the weights apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.numerics.random_streams import Stream, random_stream

PROBE_VERSION = 1  # of the statistics' definitions: numbers of different versions are not compared
DRAWS = 1024
STREAMS: tuple[Stream, ...] = ("weights", "inputs", "targets", "probes")


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Of plain data, whatever the order of its keys."""
    return _sha256([json.dumps(definition, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()])


def stream_hash(seeds: Iterable[int], *, is_own: bool) -> str:
    """Of the first uniform numbers of every stream and seed: what weights, inputs and targets are made of.

    They are multiples of 2⁻⁵³ and the same on every machine, which functions of them such as a normal number are only
    up to rounding.

    Args:
        seeds: The seeds.
        is_own: Constructors of a user's modules draw from torch's generator, so that is hashed as well.
    """
    pieces = []
    for seed in seeds:
        pieces += [random_stream(stream, seed).random_sample(DRAWS).tobytes() for stream in STREAMS]
        if is_own:
            generator = torch.Generator().manual_seed(seed)
            pieces.append(torch.rand(DRAWS, generator=generator, dtype=torch.float64).numpy().tobytes())
    return _sha256(pieces)


def weights_hash(pieces: Iterable[bytes]) -> str:
    """Of :func:`weight_bytes` of every seed's model."""
    return _sha256(pieces)


def weight_bytes(model: Model) -> bytes:
    """Names, shapes and values of all parameters and buffers, in the order of their names.

    Values are taken in single precision: initialisations through exp or log may differ in the last digit of a double
    from one machine to the next.
    """
    pieces = []
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, Tensor):
            real = torch.view_as_real(value) if value.is_complex() else value
            numbers = np.ascontiguousarray(real.detach().cpu().to(torch.float32).numpy(), dtype="<f4")
            pieces.append(f"{name} {tuple(real.shape)} ".encode() + numbers.tobytes())
    return b"".join(pieces)


def _sha256(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"
