"""Sensitivities of an architecture over its memory dial, as rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from gradscope.commands.sensitivity.power_laws import LOSS, STATE, TANGENT, Array, Flags, Series, Sweep
from gradscope.contract.model import Model
from gradscope.measurements.jacobian_spectrum import jacobian_spectrum
from gradscope.measurements.memory_sensitivity import MemorySensitivity, memory_sensitivity
from gradscope.measurements.stability import has_horizon
from gradscope.running.cell import SensitivityCell
from gradscope.running.cell_result import FAILED, SUMMARY, TABLES, UNKNOWN_VERDICT, CellResult
from gradscope.running.materials import cell_input, cell_model
from gradscope.theory import domega_exponent, state_exponent

OWN = "own"  # the parametrisation and normalisation of an architecture
DIALLED = ("magnitude", "angle")


def measure_sensitivity(cell: SensitivityCell, model: Model) -> CellResult:
    """E‖∂s_T/∂θ‖² by group of parameters at every setting of the dial, all seeds pooled.

    Without a dial once, at initialisation, where |λ| are the eigenvalues' of the state Jacobian.
    """
    moduli, largest, found = _swept(cell)
    sweep = Sweep(cell, cell.lambdas or (math.nan,), moduli, largest, cell.lengths)
    long_enough = np.array([has_horizon(*pair) for pair in zip(moduli.tolist(), cell.lengths, strict=True)])
    series = _of_architecture(cell, model, found, long_enough)
    (state,) = [one for one in series if one.quantity == STATE]
    tangents = [one for one in series if one.quantity == TANGENT]
    shown = [one for one in tangents if one.group in DIALLED] or tangents
    return CellResult(sweep.tables(series), [sweep.summary(one, state) for one in shown])


def failed_sensitivity(cell: SensitivityCell, model: Model | None) -> list[dict[str, Any]]:
    """A row without numbers."""
    row: dict[str, Any] = dict.fromkeys(TABLES[cell.command][SUMMARY], math.nan)
    known: dict[str, Any] = {
        "arch": cell.label,
        "parametrization": OWN,
        "normalization": OWN,
        "input": cell.input_label,
        "group": "",
    }
    if cell.lambdas:
        known |= {"lambda_first": cell.lambdas[0], "lambda_last": cell.lambdas[-1]}
    return [row | known | {"verdict": UNKNOWN_VERDICT, "status": FAILED}]


def _swept(cell: SensitivityCell) -> tuple[Array, Array, list[list[MemorySensitivity]]]:
    """Achieved median |λ|, largest |λ| (a dense matrix's spectral radius), and results by λ and seed."""
    achieved, largest, found = [], [], []
    for modulus, length in zip(cell.lambdas or (None,), cell.lengths, strict=True):
        results, moduli = [], []
        for seed in cell.seeds:
            mine = replace(cell, seed=seed)
            model = cell_model(mine)
            if modulus is not None:
                model.set_memory(modulus)
            x, _ = cell_input(mine, length)
            results.append(memory_sensitivity(model, x, probes=1, seed=seed))
            moduli.append(results[-1].moduli if modulus is not None else jacobian_spectrum(model, x).eigenvalues.abs())
        achieved.append(float(np.mean([float(of_seed.median()) for of_seed in moduli])))
        largest.append(float(np.mean([float(of_seed.max()) for of_seed in moduli])))
        found.append(results)
    return np.array(achieved), np.array(largest), found


def _of_architecture(
    cell: SensitivityCell, model: Model, found: list[list[MemorySensitivity]], long_enough: Flags
) -> list[Series]:
    """All quantities; a sample is one sequence of one seed, and those of one seed share their weights."""
    unknown = np.full(len(cell.lengths), math.nan)

    def series(group: str, quantity: str, of: Callable[[MemorySensitivity], Tensor]) -> Series:
        powers = np.array([np.concatenate([of(result).numpy() for result in results]) for results in found])
        blocks = len(cell.seeds) if len(cell.seeds) > 1 else powers.shape[1]
        limit = _limit(cell, model, group, quantity)
        return Series((OWN, OWN), group, quantity, powers, blocks, unknown, unknown, long_enough, limit)

    first = found[0][0]
    made = [series("state", STATE, lambda result: result.state_power)]
    made += [series(group, TANGENT, lambda r, g=group: r.dh_domega_power[g]) for group in first.dh_domega_power]  # type: ignore[misc]
    made += [series(group, LOSS, lambda r, g=group: r.loss_gradient_power[g]) for group in first.loss_gradient_power]  # type: ignore[misc]
    return made


def _limit(cell: SensitivityCell, model: Model, group: str, quantity: str) -> float:
    """The exponent that the scalar law of the architecture's units has, were their gates constant."""
    is_known = cell.lambdas and not cell.data and cell.input_kind != "constant"  # which a turning λ averages out
    if model.memory_law is None or not is_known:
        return math.nan
    parametrization, normalization = model.memory_law
    if quantity == STATE:
        return state_exponent(normalization)
    if quantity != TANGENT or group not in DIALLED:
        return math.nan
    name = "polar" if group == "angle" else parametrization
    return domega_exponent(name, normalization, attached=normalization == "coupled")
