"""Random numbers that are the same on every machine, device, dtype and thread count.

numpy's ``RandomState`` has a frozen stream; every draw is float64 on the CPU, time-major, and cast afterwards, so a
prefix of a longer draw is the shorter draw. Weights, inputs, targets, probes and permutations have one independent
stream each.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Stream = Literal["weights", "inputs", "targets", "probes", "permutations"]
_KEYS: dict[Stream, int] = {"weights": 0, "inputs": 1, "targets": 2, "probes": 3, "permutations": 4}


def random_stream(stream: Stream, seed: int) -> np.random.RandomState:
    """The generator of one stream for one seed.

    Args:
        stream: What the numbers are for.
        seed: A whole number from 0 to 2**32 - 1.

    Returns:
        A fresh generator; the same arguments give the same numbers everywhere.
    """
    return np.random.RandomState([_KEYS[stream], seed])
