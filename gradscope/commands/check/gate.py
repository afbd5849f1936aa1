"""What a gate asks for, of one model and one seed, in decades.

Gradient norms, their slope and weight gradients; Lyapunov exponent, spectral radius and sensitivity exponents.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradscope.architectures.memory_dials import by_the_median
from gradscope.commands.check.statistic import (
    EXPONENT,
    NORM,
    RADIUS,
    SENSITIVITY,
    SLOPE,
    WEIGHT_GRADIENT_NORM,
    StatisticName,
)
from gradscope.contract.memory_dial import plain_moduli
from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.jacobian_spectrum import jacobian_spectrum
from gradscope.measurements.losses import Loss
from gradscope.measurements.lyapunov_exponents import WARM_UP, lyapunov_exponents
from gradscope.measurements.memory_sensitivity import memory_sensitivity
from gradscope.numerics.fits import decades_per_step, fit_exponent

KNOTS = 16  # steps of each length at which a norm is kept
SHORTEST_SLOPE = 3  # a slope over lags from 1 on needs two of them
MODULI = (0.9, 0.95, 0.98)  # |λ| of a sensitivity exponent
TIME_CONSTANTS = 10  # steps of a sensitivity, in units of 1/(1 − λ)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class SeedValues:
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
) -> dict[StatisticName, SeedValues]:
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
    found: dict[StatisticName, SeedValues] = {}
    for length, component, by_step in _profiles(result, components):
        if "gradients" in gate:
            steps = knots(length)
            found[StatisticName(NORM, length, component)] = SeedValues(by_step[np.array(steps) - 1], steps)
        if "slope" in gate and length >= SHORTEST_SLOPE:
            found[StatisticName(SLOPE, length, component)] = SeedValues(np.array([_slope(by_step) * length]))
    if weights:
        for name, norms in result.log10_weight_gradient_norm.items():
            value = mean_of_samples(norms[lengths.index(longest)].numpy())
            found[StatisticName(WEIGHT_GRADIENT_NORM, longest, name)] = SeedValues(value.reshape(1))
        for name, parameter in model.named_parameters():
            if name not in result.log10_weight_gradient_norm or not parameter.requires_grad:  # not reached, or frozen
                found[StatisticName(WEIGHT_GRADIENT_NORM, longest, name)] = SeedValues(np.array([-math.inf]))
    return found


def recurrence_statistics(
    model: Model, inputs: Callable[[int], Tensor], length: int, gate: tuple[str, ...], seed: int
) -> dict[StatisticName, SeedValues]:
    """What the gate asks for of exponent, radius and sensitivity.

    Args:
        model: The model.
        inputs: Length to inputs ``(batch, length, input_size)``.
        length: Steps of exponent and radius.
        gate: Which quantities.
        seed: Of the probes.

    Raises:
        UsageError: The model has no recurrent state, or no memory dial where a sensitivity is asked for.
    """
    asked = [name for name in ("exponent", "radius", "sensitivity") if name in gate]
    if asked and not model.state_size:
        raise UsageError(
            f"{model.called} has no recurrent state, so no {' and no '.join(asked)}; take that out of its gate."
        )
    found: dict[StatisticName, SeedValues] = {}
    if "exponent" in gate:
        exponents = lyapunov_exponents(model, inputs(length), 1, warm_up=min(WARM_UP, length // 4))
        largest = float(exponents.exponents_nats_per_step[:, 0].mean())
        found[StatisticName(EXPONENT, length)] = SeedValues(np.array([largest * length / math.log(10)]))
    if "radius" in gate:
        radius = float(jacobian_spectrum(model, inputs(length)).spectral_radius.flatten().quantile(0.5))
        with np.errstate(divide="ignore"):
            found[StatisticName(RADIUS, length)] = SeedValues(np.array([np.log10(radius) * length]))
    if "sensitivity" in gate:
        found |= _sensitivity(model, inputs, seed)
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


def _sensitivity(model: Model, inputs: Callable[[int], Tensor], seed: int) -> dict[StatisticName, SeedValues]:
    """Exponent of E‖∂s_T/∂θ‖² in 1 − |λ| for every group of parameters."""
    if not model.has_memory_dial:
        raise UsageError(f"{model.called} has no memory dial, so no sensitivity over λ; take that out of its gate.")
    achieved, powers = [], []
    for modulus in MODULI:
        dialled, x = copy.deepcopy(model), inputs(round(TIME_CONSTANTS / (1 - modulus)))
        with torch.no_grad():
            dial = by_the_median(dialled.required_dial)
            dial.turn(modulus)
            achieved.append(1 - float(plain_moduli(dial, x).median()))
        powers.append(memory_sensitivity(dialled, x, probes=1, seed=seed).dh_domega_power)
    found: dict[StatisticName, SeedValues] = {}
    for group in powers[0]:
        by_modulus = np.array([power[group].numpy() for power in powers])
        with np.errstate(invalid="ignore"):  # powers beyond float64 are left out of the fit
            exponent = fit_exponent(np.array(achieved), by_modulus).exponent
        found[StatisticName(SENSITIVITY, of=group)] = SeedValues(np.array([exponent]))
    return found
