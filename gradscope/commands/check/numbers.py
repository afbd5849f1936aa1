"""What a case was measured to be: the numbers that a baseline keeps and a check compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHT_GRADIENTS = "log10_weight_gradient_norm"  # what the names of statistics of parameters hold


@dataclass(frozen=True)
class Statistic:
    """One gated quantity of one case, for every seed, on a scale on which every difference is in decades.

    A norm is its log10; a rate per step (slope, Lyapunov exponent, log10 of a spectral radius) is multiplied by the
    length, and so is what it makes of a gradient from the last step to the first.

    Attributes:
        values: ``(seeds, columns)``, float64; −inf is the norm 0.
        steps: The step t (1 is the first) of every column; empty for a single number per seed.
        noise_decades: The largest difference, over seeds and columns, that rounding alone was measured to make.
    """

    values: NDArray[np.float64]
    steps: tuple[int, ...]
    noise_decades: float


@dataclass(frozen=True)
class CaseNumbers:
    """Everything that one case gave.

    Attributes:
        name: Unique in a file.
        definition: What determines the numbers, in plain data that JSON can hold: the settings of the case and the
            version of the measurement. Where it differs, nothing can be compared.
        is_own: The model is a class of the user's, whose weights are code under test: they never make a case
            incomparable.
        seeds: Of weights, inputs and targets.
        definition_hash: sha256 of the definition.
        stream_hash: sha256 of the raw random numbers, of all seeds: what weights and inputs are made of.
        weights_hash: sha256 of the resulting weights, of all seeds.
        statistics: By name, such as ``"T=200 log10_norm h"``.
        noise_probe: How rounding was made to show: ``"symmetry"`` (permuted hidden units) or ``"jitter"`` (one ulp).
    """

    name: str
    definition: Mapping[str, Any]
    is_own: bool
    seeds: tuple[int, ...]
    definition_hash: str
    stream_hash: str
    weights_hash: str
    statistics: Mapping[str, Statistic]
    noise_probe: str


@dataclass(frozen=True)
class FailedCase:
    """A case that could not be measured.

    Attributes:
        reason: One sentence.
    """

    name: str
    reason: str
