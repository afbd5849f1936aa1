"""Lyapunov exponent, spectral radius and sensitivity exponents of one model, as numbers in decades."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from gradscope.commands.check.statistics import Numbers
from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.measurements.jacobian_spectrum import jacobian_spectrum
from gradscope.measurements.lyapunov_exponents import WARM_UP, lyapunov_exponents
from gradscope.measurements.memory_sensitivity import memory_sensitivity
from gradscope.numerics.power_law import fit_exponent

MODULI = (0.9, 0.95, 0.98)
TIME_CONSTANTS = 10  # steps of a sensitivity, in units of 1/(1 − λ)


def recurrence_statistics(
    model: Model, inputs: Callable[[int], Tensor], length: int, gate: tuple[str, ...], seed: int
) -> dict[str, Numbers]:
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
    found: dict[str, Numbers] = {}
    if "exponent" in gate:
        exponents = lyapunov_exponents(model, inputs(length), 1, warm_up=min(WARM_UP, length // 4))
        largest = float(exponents.exponents_nats_per_step[:, 0].mean())
        found[f"T={length} lyapunov_exponent"] = Numbers(np.array([largest * length / math.log(10)]))
    if "radius" in gate:
        radius = float(jacobian_spectrum(model, inputs(length)).spectral_radius.flatten().quantile(0.5))
        with np.errstate(divide="ignore"):
            found[f"T={length} spectral_radius"] = Numbers(np.array([np.log10(radius) * length]))
    if "sensitivity" in gate:
        found |= _sensitivity(model, inputs, seed)
    return found


def _sensitivity(model: Model, inputs: Callable[[int], Tensor], seed: int) -> dict[str, Numbers]:
    """Exponent of E‖∂s_T/∂θ‖² in 1 − |λ| for every group of parameters."""
    if not model.has_memory_dial:
        raise UsageError(f"{model.called} has no memory dial, so no sensitivity over λ; take that out of its gate.")
    achieved, powers = [], []
    for modulus in MODULI:
        dialled = copy.deepcopy(model)
        dialled.set_memory(modulus)
        result = memory_sensitivity(dialled, inputs(round(TIME_CONSTANTS / (1 - modulus))), probes=1, seed=seed)
        achieved.append(1 - result.achieved_lambda_modulus)
        powers.append(result.dh_domega_power)
    found: dict[str, Numbers] = {}
    for group in powers[0]:
        by_modulus = np.array([power[group].numpy() for power in powers])
        with np.errstate(invalid="ignore"):  # powers beyond float64 are left out of the fit
            exponent = fit_exponent(np.array(achieved), by_modulus).exponent
        found[f"sensitivity_exponent {group}"] = Numbers(np.array([exponent]))
    return found
