"""Gradient norms, their slope and weight gradients of one model, as numbers in decades."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradscope.commands.check.numbers import WEIGHT_GRADIENTS
from gradscope.contract.model import Model
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.losses import Loss
from gradscope.numerics.decay import decades_per_step

KNOTS = 16  # steps of each length at which a norm is kept
SHORTEST_SLOPE = 3  # a slope over lags from 1 on needs two of them
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """One quantity of one seed.

    Attributes:
        values: ``(columns,)``, in decades.
        steps: The step of every column; empty for a single number.
    """

    values: Array
    steps: tuple[int, ...] = ()


def knots(length: int) -> tuple[int, ...]:
    """About 16 steps, log-spaced in steps back from the last one; the first and the last are among them.

    Example:
        >>> knots(200)
        (1, 61, 102, 132, 152, 167, 177, 184, 189, 193, 195, 197, 198, 199, 200)
    """
    back = {round(step) for step in np.geomspace(1, length, KNOTS)}
    return tuple(sorted(length + 1 - step for step in back))


def gradient_statistics(
    model: Model, x: Tensor, lengths: tuple[int, ...], longest: int, gate: tuple[str, ...], loss: Loss, seed: int
) -> dict[str, Numbers]:
    """What the gate asks for of gradients, slopes and weight gradients.

    Args:
        model: The model.
        x: Inputs, as long as the last of the lengths.
        lengths: Those that share this input.
        longest: Weight gradients belong to this length alone.
        gate: Which quantities.
        loss: The loss.
        seed: Of targets and probes.
    """
    if not {"gradients", "slope", "weights"} & set(gate):
        return {}
    components = tuple(dict.fromkeys((*model.components, model.primary_component)))
    weights = "weights" in gate and longest in lengths
    result = gradient_norms(model, x, lengths, loss, seed, components, weight_gradients=weights)
    found: dict[str, Numbers] = {}
    for length, name, by_step in _profiles(result, components):
        if "gradients" in gate:
            steps = knots(length)
            found[f"T={length} log10_norm {name}"] = Numbers(by_step[np.array(steps) - 1], steps)
        if "slope" in gate and length >= SHORTEST_SLOPE:
            found[f"T={length} slope {name}"] = Numbers(np.array([_slope(by_step) * length]))
    if weights:
        for name, norms in result.log10_weight_gradient_norm.items():
            value = mean_of_samples(norms[lengths.index(longest)].numpy())
            found[f"T={longest} {WEIGHT_GRADIENTS} {name}"] = Numbers(value.reshape(1))
        for name, parameter in model.named_parameters():
            if name not in result.log10_weight_gradient_norm or not parameter.requires_grad:  # not reached, or frozen
                found[f"T={longest} {WEIGHT_GRADIENTS} {name}"] = Numbers(np.array([-math.inf]))
    return found


def mean_of_samples(log10_norm: Array) -> Array:
    """Mean of the samples' log10 norms, exact zeros left out; −inf where all of them are zero.

    A change of any sample by d decades moves it by d / batch. In a root mean square it would be lost beside a sample
    that is larger by a few decades, and in a median altogether.

    Args:
        log10_norm: ``(batch, *)``.
    """
    is_zero = np.isneginf(log10_norm)
    count = (~is_zero).sum(axis=0)
    total = np.where(is_zero, 0.0, log10_norm).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), -math.inf))


def _profiles(result: GradientNorms, components: tuple[str, ...]) -> Iterator[tuple[int, str, Array]]:
    """Length, component, and log10 norms ``(length,)``."""
    for index, length in enumerate(result.lengths):
        for name in components:
            yield length, name, mean_of_samples(result.log10_norm[name][index, :, :length].numpy())


def _slope(by_step: Array) -> float:
    """Decades per step back; −inf where fewer than two norms are above zero."""
    if np.isnan(by_step).any():
        return math.nan
    slope = decades_per_step(by_step[::-1])
    return -math.inf if math.isnan(slope) else slope
