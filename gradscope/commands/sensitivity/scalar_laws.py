"""The scalar law as rows: the recursion run once for all λ; each parametrisation is a factor of its samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.commands.sensitivity.power_laws import SECOND, STATE, TANGENT, Array, Series, Sweep
from gradscope.experiments.scalar_law import Complex, ScalarLaw, scalar_law, scalar_law_of_data
from gradscope.inputs.processes import driven_input
from gradscope.inputs.windows import standardised
from gradscope.running.cell import CellResult
from gradscope.running.definitions import data_of
from gradscope.theory import (
    PARAMETRIZATIONS,
    d2omega_exponent,
    d2omega_power,
    domega_exponent,
    domega_power,
    gamma,
    gamma_slope,
    moments,
    omega_factors,
    state_exponent,
    stationarity_problem,
)

FROM_THE_LIMIT = 0.01  # of the infinite horizon's power, where a length is long enough
ROUNDING = 64 * float(np.finfo(float).eps)  # of two terms that cancel: what is left is no number


@dataclass(frozen=True, kw_only=True)
class ScalarCell(StudyCell):
    """The scalar law for all parametrisations and normalisations, all λ on the same inputs of the longest length.

    Attributes:
        samples: Independent sequences.
        attached: Whether dh/dω goes through γ.
        second: The second derivative too.
        definition: Of what the numbers mean; a finished cell of an earlier one is measured anew.
    """

    samples: int
    parametrizations: tuple[str, ...]
    normalizations: tuple[str, ...]
    attached: bool
    second: bool
    definition: int = 2  # local slopes that disagree have no exponent

    def measure(self) -> CellResult:
        """Every parametrisation with every normalisation, beside theory."""
        data = self.input.choice.data
        x = standardised(data_of(Path(data)))[0] if data else None
        law = _law(self) if x is None else _law_of_data(self, x)
        moduli = np.array(self.lambdas)
        bounded = np.zeros(len(moduli), dtype=bool)
        sweep = Sweep(self, self.lambdas, moduli, moduli, [law.length] * len(moduli), bounded)
        series: list[Series] = []
        rows: list[dict[str, Any]] = []
        for parametrization in self.parametrizations:
            for normalization in self.normalizations:
                found = _Law(self, law, parametrization, normalization).series()
                state, tangent, *_ = found
                series += found
                rows.append(sweep.summary(tangent, state))
        problem = None if x is None else stationarity_problem(x)
        notes = (f"{data}: {problem} Theory takes stationary data for granted.",) if problem else ()
        return sweep.result(series, rows, notes)

    def failed_rows(self) -> list[dict[str, Any]]:
        """A row without numbers."""
        return [self.unmeasured_row()]


def _law(cell: ScalarCell) -> ScalarLaw:
    options = {name: float(value) for name, value in cell.input.choice.options}
    driver = driven_input(cell.input.choice.kind, **options)
    return scalar_law(cell.lambdas, driver, length=max(cell.lengths), samples=cell.samples, seed=cell.seed)


def _law_of_data(cell: ScalarCell, x: Array) -> ScalarLaw:
    return scalar_law_of_data(cell.lambdas, x, length=max(cell.lengths), samples=cell.samples)


class _Law:
    """One parametrisation with one normalisation.

    Args:
        cell: What is asked for.
        law: The samples.
        parametrization: λ(ω).
        normalization: γ(λ).
    """

    def __init__(self, cell: ScalarCell, law: ScalarLaw, parametrization: str, normalization: str) -> None:
        self._cell, self._law, self._names = cell, law, (parametrization, normalization)
        self._how = PARAMETRIZATIONS[parametrization]
        self._gammas = [gamma(normalization, value, law.process) for value in cell.lambdas]

    def series(self) -> list[Series]:
        """State, tangent and, where it was asked for, second derivative."""
        cell, process, names = self._cell, self._law.process, self._names
        is_constant, attached = process.is_constant, cell.attached
        horizons = (self._law.length, None)

        def theory(power: Any, **options: Any) -> list[Array]:
            return [np.array([power(value, T, **options) for value in cell.lambdas]) for T in horizons]

        states = theory(lambda value, T: gamma(names[1], value, process) ** 2 * moments(value, process, T).state)
        tangents = theory(lambda value, T: domega_power(value, *names, process, T, attached=attached))
        found = [
            self._one(STATE, self._states(), states, state_exponent(names[1], is_constant=is_constant)),
            self._one(
                TANGENT, self._tangents(), tangents, domega_exponent(*names, is_constant=is_constant, attached=attached)
            ),
        ]
        if cell.second:
            seconds = theory(lambda value, T: d2omega_power(value, *names, process, T))
            found.append(self._one(SECOND, self._seconds(), seconds, d2omega_exponent(*names, is_constant=is_constant)))
        return found

    def _one(self, quantity: str, values: Complex, theory: list[Array], limit: float) -> Series:
        group = "angle" if self._how.is_angle else "magnitude"
        finite, infinite = theory
        powers = np.abs(values) ** 2
        return Series(
            names=self._names,
            group="state" if quantity == STATE else group,
            quantity=quantity,
            powers=powers.reshape(*powers.shape[:1], -1, self._law.features).mean(axis=-1),
            blocks=self._law.blocks,
            finite=finite,
            infinite=infinite,
            long_enough=np.abs(finite - infinite) <= FROM_THE_LIMIT * infinite,
            # of measured R(Δ) the far end is not known, and with it the limit
            limit=math.nan if self._law.process.values else limit,
        )

    def _states(self) -> Complex:
        return np.array([scale * state for scale, state in zip(self._gammas, self._law.state, strict=True)])

    def _tangents(self) -> Complex:
        """dh/dω = λ_ω γ ds/dλ + γ_ω s, but for a sign or a turn."""
        found = []
        for index, value in enumerate(self._cell.lambdas):
            through = self._gammas[index] * self._law.tangent[index]
            if self._cell.attached and not self._how.is_angle:
                along = gamma_slope(self._names[1], value, self._law.process).real * self._law.state[index]
                is_rounding = np.abs(through + along) < ROUNDING * np.abs(through)
                through = np.where(is_rounding, 0, through + along)
            found.append(self._how.factor(value) * through)
        return np.array(found)

    def _seconds(self) -> Complex:
        """d²h/dω² = γ (λ_ω² d²s/dλ² + λ_ωω ds/dλ)."""
        found = []
        for index, value in enumerate(self._cell.lambdas):
            squared_slope, bend = omega_factors(self._names[0], value)
            second = squared_slope * self._law.second_tangent[index] + bend * self._law.tangent[index]
            found.append(self._gammas[index] * second)
        return np.array(found)
