"""Sensitivities of an architecture over its memory dial, as rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradscope.commands.sensitivity.cell import OWN, SweptCell
from gradscope.commands.sensitivity.power_laws import LOSS, STATE, TANGENT, Array, Flags, Series, Sweep
from gradscope.contract.model import Model
from gradscope.measurements.jacobian_spectrum import jacobian_spectrum
from gradscope.measurements.memory_sensitivity import MemorySensitivity, memory_sensitivity
from gradscope.measurements.stability import EXPLOSION, has_horizon
from gradscope.running.cell import CellResult, ModelCell
from gradscope.theory import domega_exponent, state_exponent

DIALLED = ("magnitude", "angle")
RADII, RADIUS_STEPS = 5, 500  # radii of J_t whose median is taken, of the second half of so many steps


@dataclass(frozen=True, kw_only=True)
class SensitivityCell(ModelCell, SweptCell):
    """Sensitivity of an architecture's state to its parameters, swept over its memory dial.

    Attributes:
        definition: Of what the numbers mean; a finished cell of an earlier one is measured anew.
    """

    definition: int = 2  # a matrix's dial is its radius, an exponent's error the scatter of draws

    def measure(self) -> CellResult:
        """E‖∂s_T/∂θ‖² by group of parameters at every setting of the dial, all seeds pooled.

        Without a dial once, at initialisation, where |λ| are the eigenvalues' of the state Jacobian.
        """
        moduli, largest, found = _swept(self)
        exploded = np.array([_explodes(results) for results in found])
        sweep = Sweep(
            self, self.lambdas or (math.nan,), moduli, largest, self.lengths, exploded, _jacobian_radius(self)
        )
        long_enough = np.array([has_horizon(*pair) for pair in zip(moduli.tolist(), self.lengths, strict=True)])
        series = _of_architecture(self, self.build(), found, long_enough)
        (state,) = [one for one in series if one.quantity == STATE]
        tangents = [one for one in series if one.quantity == TANGENT]
        shown = [one for one in tangents if one.group in DIALLED] or tangents
        return sweep.result(series, [sweep.summary(one, state) for one in shown])

    def failed_rows(self) -> list[dict[str, Any]]:
        """A row without numbers."""
        return [self.unmeasured_row()]


def _swept(cell: SensitivityCell) -> tuple[Array, Array, list[list[MemorySensitivity]]]:
    """Achieved |λ| (median, or a matrix's spectral radius), largest |λ|, and results by λ and seed."""
    achieved, largest, found = [], [], []
    for modulus, length in zip(cell.lambdas or (None,), cell.lengths, strict=True):
        results, moduli = [], []
        for seed in cell.seeds:
            mine = replace(cell, seed=seed)
            model = mine.build()
            if modulus is not None:
                model.set_memory(modulus)
            x, _ = mine.input.draw(length, seed, dtype=mine.dtype, device=mine.device)
            results.append(memory_sensitivity(model, x, probes=1, seed=seed))
            moduli.append(results[-1].moduli if modulus is not None else jacobian_spectrum(model, x).eigenvalues.abs())
        achieved.append(float(np.mean([float(of_seed.median()) for of_seed in moduli])))
        largest.append(float(np.mean([float(of_seed.max()) for of_seed in moduli])))
        found.append(results)
    return np.array(achieved), np.array(largest), found


def _jacobian_radius(cell: SensitivityCell) -> float:
    """Median spectral radius of J_t at the last λ; NaN where the dial is no matrix's, which J_t need not follow."""
    if not cell.lambdas:
        return math.nan
    model = cell.build()
    model.set_memory(cell.lambdas[-1])
    length = min(RADIUS_STEPS, cell.lengths[-1])
    x, _ = cell.input.draw(length, cell.seed, dtype=cell.dtype, device=cell.device)
    if len(model.memory_moduli(x)) != 1:
        return math.nan
    steps = np.unique(np.linspace(length / 2, length, RADII).round().astype(int)).tolist()
    return float(jacobian_spectrum(model, x, steps=steps).spectral_radius.median())


def _explodes(results: list[MemorySensitivity]) -> bool:
    """Whether E|h|² grows as no memory does over the second half of the sequences, all draws together."""
    halfway, last = (float(torch.cat(powers).mean()) for powers in zip(*map(_growth, results), strict=True))
    return 0 < EXPLOSION * halfway < last


def _growth(result: MemorySensitivity) -> tuple[Tensor, Tensor]:
    return result.state_power_halfway, result.state_power


def _of_architecture(
    cell: SensitivityCell, model: Model, found: list[list[MemorySensitivity]], long_enough: Flags
) -> list[Series]:
    """All quantities; a sample is one sequence of one seed, and those of one seed share their weights."""
    unknown = np.full(len(cell.lengths), math.nan)

    def series(group: str, quantity: str, of: Callable[[MemorySensitivity], Tensor]) -> Series:
        powers = np.array([np.concatenate([of(result).numpy() for result in results]) for results in found])
        blocks = len(cell.seeds) if len(cell.seeds) > 1 else powers.shape[1]
        limit = _limit(cell, model, group, quantity)
        draws = len(cell.seeds)
        return Series((OWN, OWN), group, quantity, powers, blocks, unknown, unknown, long_enough, limit, draws)

    first = found[0][0]
    made = [series("state", STATE, lambda result: result.state_power)]
    made += [series(group, TANGENT, lambda r, g=group: r.dh_domega_power[g]) for group in first.dh_domega_power]  # type: ignore[misc]
    made += [series(group, LOSS, lambda r, g=group: r.loss_gradient_power[g]) for group in first.loss_gradient_power]  # type: ignore[misc]
    return made


def _limit(cell: SensitivityCell, model: Model, group: str, quantity: str) -> float:
    """The exponent that the scalar law of the architecture's units has, were their gates constant."""
    chosen = cell.input.choice
    is_known = cell.lambdas and not chosen.data and chosen.kind != "constant"  # which a turning λ averages out
    if model.memory_law is None or not is_known:
        return math.nan
    parametrization, normalization = model.memory_law
    if quantity == STATE:
        return state_exponent(normalization)
    if quantity != TANGENT or group not in DIALLED:
        return math.nan
    name = "polar" if group == "angle" else parametrization
    return domega_exponent(name, normalization, attached=normalization == "coupled")
