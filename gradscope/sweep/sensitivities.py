"""Sensitivities of one cell, as rows: an architecture's over its memory dial, and the scalar law's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.inputs.driven import driven_input
from gradscope.inputs.windows import standardised
from gradscope.measurements.exponents import Exponent, fit_exponent
from gradscope.measurements.jacobian_spectrum import jacobian_spectrum
from gradscope.measurements.memory_sensitivity import MemorySensitivity, memory_sensitivity
from gradscope.measurements.scalar_law import ScalarLaw, scalar_law, scalar_law_of_data
from gradscope.stability import curse
from gradscope.sweep.cell import ScalarCell, SensitivityCell
from gradscope.sweep.materials import cell_input, cell_model, data_of
from gradscope.sweep.result import FAILED, SUMMARY, TABLES, UNKNOWN_VERDICT, CellResult, Table, append_row, blank_tables
from gradscope.theory import (
    PARAMETRIZATIONS,
    Autocorrelation,
    d2omega_exponent,
    d2omega_power,
    domega_exponent,
    domega_power,
    gamma,
    gamma_slope,
    moments,
    omega_factors,
    state_exponent,
)

Array = NDArray[np.float64]
STATE, TANGENT, SECOND, LOSS = "state_power", "dh_domega_power", "d2h_domega2_power", "loss_gradient_power"
HORIZON = 8.41  # −T ln|λ|² from which on the last step's E|h'|² is within 1 % of the infinite horizon's
NO_DIAL = "no memory dial"
OWN = "own"  # the parametrisation and normalisation of an architecture


@dataclass(frozen=True)
class _Series:
    """Squares of one quantity at every λ.

    Attributes:
        powers: ``(lambdas, samples)``.
        finite: Theory at the length that was run, ``(lambdas,)``; NaN where there is none.
        infinite: Theory of the infinite horizon.
        exponent: Its limit's exponent in 1 − |λ|.
    """

    names: tuple[str, str]
    group: str
    quantity: str
    powers: Array
    finite: Array
    infinite: Array
    exponent: float


def measure_sensitivity(cell: SensitivityCell, model: Model) -> CellResult:
    """E‖∂s_T/∂θ‖² by group of parameters at every setting of the dial, all seeds pooled.

    Without a dial once, at initialisation, where |λ| are the eigenvalues' of the state Jacobian.
    """
    achieved, radius, found = _swept(cell)
    series = _of_architecture(cell, found)
    tables, exponents = _tables(cell, series, achieved, radius)
    groups = [s for s in series if s.quantity == TANGENT and s.group in ("magnitude", "angle")]
    groups = groups or [s for s in series if s.quantity == TANGENT]
    rows = [_summary(cell, series, one, achieved, exponents) for one in groups]
    return CellResult(tables, rows)


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


def _of_architecture(cell: SensitivityCell, found: list[list[MemorySensitivity]]) -> list[_Series]:
    """All quantities; a sample is one sequence of one seed."""
    unknown = np.full(len(cell.lengths), math.nan)

    def series(group: str, quantity: str, of: Callable[[MemorySensitivity], Tensor]) -> _Series:
        powers = np.array([np.concatenate([of(result).numpy() for result in results]) for results in found])
        return _Series((OWN, OWN), group, quantity, powers, unknown, unknown, math.nan)

    first = found[0][0]
    made = [series("state", STATE, lambda result: result.state_power)]
    made += [series(group, TANGENT, lambda r, g=group: r.dh_domega_power[g]) for group in first.dh_domega_power]  # type: ignore[misc]
    made += [series(group, LOSS, lambda r, g=group: r.loss_gradient_power[g]) for group in first.loss_gradient_power]  # type: ignore[misc]
    return made


def measure_scalar_law(cell: ScalarCell, model: None) -> CellResult:
    """The recursion run once for all λ; each parametrisation and normalisation is a factor of its samples."""
    law = _law(cell)
    rows: list[dict[str, Any]] = []
    all_series: list[_Series] = []
    for parametrization in cell.parametrizations:
        for normalization in cell.normalizations:
            all_series += _of_scalar(cell, law, parametrization, normalization)
    achieved = np.array(cell.lambdas)
    tables, exponents = _tables(cell, all_series, achieved, achieved, length=law.length)
    for one in all_series:
        if one.quantity == TANGENT:
            mine = [s for s in all_series if s.names == one.names]
            rows.append(_summary(cell, mine, one, achieved, exponents, length=law.length))
    return CellResult(tables, rows)


def _law(cell: ScalarCell) -> ScalarLaw:
    length = max(cell.lengths)
    if cell.data:
        x, _ = standardised(data_of(Path(cell.data)))
        return scalar_law_of_data(cell.lambdas, x, length=length, samples=cell.samples)
    options = {name: float(value) for name, value in cell.input_options}
    driver = driven_input(cell.input_kind, **options)
    return scalar_law(cell.lambdas, driver, length=length, samples=cell.samples, seed=cell.seed)


def _of_scalar(cell: ScalarCell, law: ScalarLaw, parametrization: str, normalization: str) -> list[_Series]:
    process = law.process
    how, names = PARAMETRIZATIONS[parametrization], (parametrization, normalization)
    group = "angle" if how.is_angle else "magnitude"
    states, tangents, theories = [], [], []
    for index, value in enumerate(cell.lambdas):
        scale = gamma(normalization, value, process)
        slope = gamma_slope(normalization, value, process).real if cell.attached and not how.is_angle else 0.0
        states.append(np.abs(scale * law.state[index]) ** 2)
        tangents.append(how.factor(value) ** 2 * np.abs(scale * law.tangent[index] + slope * law.state[index]) ** 2)
        horizons = (law.length, None)
        theories.append(
            [scale**2 * moments(value, process, length).state for length in horizons]
            + [
                domega_power(value, parametrization, normalization, process, length, attached=cell.attached)
                for length in horizons
            ]
        )
    theory = np.array(theories)
    limits = _limits(cell, process, *names)
    found = [
        _Series(names, "state", STATE, np.array(states), theory[:, 0], theory[:, 1], limits[STATE]),
        _Series(names, group, TANGENT, np.array(tangents), theory[:, 2], theory[:, 3], limits[TANGENT]),
    ]
    if cell.second:
        powers = np.array([_second_power(law, index, *names) for index in range(len(cell.lambdas))])
        finite, infinite = (
            np.array([d2omega_power(value, *names, process, length) for value in cell.lambdas])
            for length in (law.length, None)
        )
        found.append(_Series(names, group, SECOND, powers, finite, infinite, limits[SECOND]))
    return found


def _limits(cell: ScalarCell, process: Autocorrelation, parametrization: str, normalization: str) -> dict[str, float]:
    """Exponents as |λ| → 1; unknown for measured R(Δ), whose far end is not known."""
    if process.values:
        return dict.fromkeys((STATE, TANGENT, SECOND), math.nan)
    names, is_constant = (parametrization, normalization), process.is_constant
    return {
        STATE: state_exponent(normalization, is_constant=is_constant),
        TANGENT: domega_exponent(*names, is_constant=is_constant, attached=cell.attached),
        SECOND: d2omega_exponent(*names, is_constant=is_constant),
    }


def _second_power(law: ScalarLaw, index: int, parametrization: str, normalization: str) -> Array:
    """|γ (λ_ω² d²s/dλ² + λ_ωω ds/dλ)|² of every sample."""
    value = complex(law.lambdas[index])
    squared_slope, bend = omega_factors(parametrization, value)
    second = squared_slope * law.second_tangent[index] + bend * law.tangent[index]
    powers: Array = np.abs(gamma(normalization, value, law.process) * second) ** 2
    return powers


def _tables(
    cell: SensitivityCell, series: list[_Series], achieved: Array, largest: Array, length: int = 0
) -> tuple[dict[str, Table], dict[tuple[Any, ...], Exponent]]:
    """The two tables, and the fitted exponent of every series."""
    tables = blank_tables(cell.command)
    exponents: dict[tuple[Any, ...], Exponent] = {}
    for one in series:
        fitted = exponents[one.names, one.group, one.quantity] = fit_exponent(1 - achieved, one.powers)
        identity = {
            "arch": cell.label,
            "parametrization": one.names[0],
            "normalization": one.names[1],
            "input": cell.input_label,
            "group": one.group,
            "quantity": one.quantity,
        }
        errors = {"exponent": fitted.exponent, "standard_error": fitted.standard_error, "theory": one.exponent}
        append_row(tables["exponents"], identity | errors)
        count = one.powers.shape[1]
        for index, modulus in enumerate(cell.lambdas or (math.nan,)):
            numbers = {
                "lambda_modulus": modulus,
                "achieved_lambda_modulus": float(achieved[index]),
                "length": length or cell.lengths[index],
                "measured": float(one.powers[index].mean()),
                "standard_error": float(one.powers[index].std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan,
                "theory_finite": float(one.finite[index]),
                "theory_infinite": float(one.infinite[index]),
                "spectral_radius": float(largest[index]),
            }
            append_row(tables["sensitivity"], identity | numbers)
    return tables, exponents


def _summary(
    cell: SensitivityCell,
    series: list[_Series],
    one: _Series,
    achieved: Array,
    exponents: dict[tuple[Any, ...], Exponent],
    length: int = 0,
) -> dict[str, Any]:
    (state,) = [s for s in series if s.quantity == STATE]
    fitted = exponents[one.names, one.group, one.quantity]
    horizon = -2 * (length or cell.lengths[-1]) * math.log(achieved[-1]) if 0 < achieved[-1] < 1 else 0.0
    return {
        "arch": cell.label,
        "parametrization": one.names[0],
        "normalization": one.names[1],
        "input": cell.input_label,
        "group": one.group,
        "lambda_first": cell.lambdas[0] if cell.lambdas else math.nan,
        "lambda_last": cell.lambdas[-1] if cell.lambdas else math.nan,
        **_ends("state_power", state if cell.lambdas else None),
        **_ends("dh_domega_power", one if cell.lambdas else None),
        "state_exponent": exponents[state.names, state.group, STATE].exponent,
        "state_exponent_theory": state.exponent,
        "exponent": fitted.exponent,
        "exponent_standard_error": fitted.standard_error,
        "exponent_theory": one.exponent,
        "verdict": curse(fitted.exponent),
        "status": _status(cell, horizon),
    }


def _ends(name: str, series: _Series | None) -> dict[str, float]:
    """The first and the last mean; NaN without a sweep."""
    means = [math.nan, math.nan] if series is None else [float(series.powers[at].mean()) for at in (0, -1)]
    return {f"{name}_first": means[0], f"{name}_last": means[1]}


def _status(cell: SensitivityCell, horizon: float) -> str:
    if not cell.lambdas:
        return NO_DIAL
    return "ok" if horizon >= HORIZON else "horizon too short"
