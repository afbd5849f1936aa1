"""One architecture and seed of a run of spectra: its measurements, as rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from torch import Tensor

from gradscope.commands.spectrum.columns import NO_RECURRENT_STATE, TABLES, TEMPORAL_REACH
from gradscope.commands.spectrum.options import PRODUCT_LAGS, SpectrumConfiguration
from gradscope.contract.combinators import Stack
from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.sequence import SequenceModel
from gradscope.dynamics.state_jacobians import largest_matrix
from gradscope.errors import UsageError
from gradscope.measurements.conditions import linearize
from gradscope.measurements.jacobian_products import products_of
from gradscope.measurements.jacobian_spectrum import JacobianSpectrum, SpectrumTable, spectrum_of
from gradscope.measurements.lyapunov_exponents import LyapunovExponents, error_of_mean, exponents_of, growth_per_step
from gradscope.measurements.stability import stability
from gradscope.measurements.temporal_jacobian import TemporalJacobian, temporal_jacobian
from gradscope.measurements.trial import judged
from gradscope.running.cell import FAILED, SUMMARY, UNKNOWN_VERDICT, CellResult, ModelCell
from gradscope.running.plan import Plan, check_memory, plan_cells

NOT_JUDGED = "none"
MATRICES = 6  # dense Jacobians that are at hand at a time: the step's, its product, the inverse, and their copies


@dataclass(frozen=True, kw_only=True)
class SpectrumCell(ModelCell):
    """Spectra of the state Jacobian along a trajectory.

    Attributes:
        steps: At which J_t is decomposed.
        exponents: How many leading Lyapunov exponents of each layer; 0 for all.
        leading: How many leading eigenvalues; 0 for all of them up to a state of 512 numbers.
        temporal: The temporal Jacobian too, which a model without a recurrent state gets in any case.
        products: Norms of the products ∂s_T/∂s_t.
        every_step: Products at every lag, not at some log-spaced ones.
    """

    command = "spectrum"
    length: int
    steps: tuple[int, ...]
    exponents: int
    warm_up: int
    leading: int
    temporal: bool
    products: bool
    every_step: bool

    def measure(self) -> CellResult:
        """Eigenvalues, singular values, Lyapunov exponents, products, and the temporal Jacobian."""
        return _measured(self, self.build())

    def failed_rows(self) -> list[dict[str, Any]]:
        """A row without numbers."""
        return [_unmeasured(self, self.build()) | {"status": FAILED, "verdict": UNKNOWN_VERDICT}]


def plan_of(configuration: SpectrumConfiguration) -> Plan:
    """One cell for each architecture and seed; see :func:`~gradscope.running.plan.plan_cells`."""

    def check(cell: SpectrumCell, model: Model) -> list[str]:
        if not model.state_size:
            return []
        if cell.warm_up >= cell.length:
            raise UsageError(
                f"--warm-up takes {cell.warm_up} of {cell.length} steps, which leaves nothing to measure; take a "
                "smaller one, or a longer --length."
            )
        smallest = min(layer.state_size for layer in _layers(model))
        if cell.exponents > smallest:
            raise UsageError(
                f"--lyapunov asks for {cell.exponents} exponents, but the state of {cell.label} has {smallest} numbers"
                f"{' in a layer' if isinstance(model, Stack) else ''}; ask for fewer, or for all."
            )
        if cell.leading > model.state_size:
            raise UsageError(
                f"--leading asks for {cell.leading} values, but the state of {cell.label} has {model.state_size} "
                "numbers."
            )
        needed = 8 * MATRICES * cell.input.batch * _dense_size(model) ** 2
        where = f"for the dense Jacobian of a state of {model.state_size:,} numbers"
        advice = "take a smaller --hidden-size or --batch, or allow more"
        return check_memory(cell.label, needed, configuration.max_memory, where, advice)

    return plan_cells(
        configuration,
        [f"Steps: {', '.join(map(str, configuration.steps.of_length(configuration.length)))}."],
        lambda common: SpectrumCell(
            **common,
            length=configuration.length,
            steps=configuration.steps.of_length(configuration.length),
            exponents=configuration.lyapunov,
            warm_up=configuration.warm_up,
            leading=configuration.leading or 0,
            temporal=configuration.temporal,
            products=not configuration.no_products,
            every_step=configuration.every_step,
        ),
        check,
    )


def _layers(model: Model) -> list[Model]:
    return list(model.layers) if isinstance(model, Stack) else [model]


def _dense_size(model: Model) -> int:
    """Rows of the largest matrix that is formed."""
    return largest_matrix(model) if isinstance(model, Recurrence) else model.state_size


def _measured(cell: SpectrumCell, model: Model) -> CellResult:
    """Eigenvalues, singular values, Lyapunov exponents, products, and the temporal Jacobian."""
    x, about_input = cell.input.draw(cell.length, cell.seed, dtype=cell.dtype, device=cell.device)
    notes = (about_input,) if about_input else ()
    identity: dict[str, Any] = {"arch": cell.label, "seed": cell.seed}
    tables: dict[str, pd.DataFrame] = {}
    reach: dict[str, Any] = {}
    if cell.temporal or isinstance(model, SequenceModel):
        temporal = temporal_jacobian(model, x)
        tables["temporal"] = temporal.to_dataframe().assign(**identity)
        reach = _temporal_reach(temporal)
    if isinstance(model, SequenceModel):
        row = _unmeasured(cell, model) | {"status": NO_RECURRENT_STATE, "verdict": "none"} | reach
        note = (
            f"{cell.label} has no recurrent state, so there is no state Jacobian; its counterpart is the temporal "
            "Jacobian ∂y_T/∂x_t, which was measured instead."
        )
        return CellResult(tables | {SUMMARY: pd.DataFrame([row])}, (*notes, note))
    linearization = linearize(model, x)
    spectrum = spectrum_of(linearization, cell.steps, cell.leading or None)
    exponents = exponents_of(linearization, cell.exponents or None, cell.warm_up)
    for name in get_args(SpectrumTable):
        tables[name] = spectrum.to_dataframe(name).assign(**identity)
    tables["lyapunov"] = exponents.to_dataframe().assign(**identity)
    if cell.products and not any(part.is_too_large for part in linearization.coupled):
        products = products_of(linearization, _lags(cell))
        tables["products"] = products.to_dataframe().assign(**identity)
    judgement = judged(model, x, "last", cell.seed)
    reach |= {"carried_decades": judgement.carried_decades, "gradient_verdict": judgement.verdict}
    tables[SUMMARY] = pd.DataFrame([_summary_row(cell, spectrum, exponents) | reach])
    return CellResult(tables, (*notes, *spectrum.notes))


def _unmeasured(cell: SpectrumCell, model: Model) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TABLES[SUMMARY], math.nan) | {"gradient_verdict": NOT_JUDGED}
    known = {"arch": cell.label, "seed": cell.seed, "state_size": model.state_size, "length": cell.length, "period": 1}
    return row | known


def _lags(cell: SpectrumCell) -> list[int]:
    """About as many as are asked for: small ones that round to the same number count once."""
    if cell.every_step or cell.length <= PRODUCT_LAGS:
        return list(range(1, cell.length + 1))
    return sorted({round(lag) for lag in np.geomspace(1, cell.length, PRODUCT_LAGS)})


def _summary_row(cell: SpectrumCell, spectrum: JacobianSpectrum, exponents: LyapunovExponents) -> dict[str, Any]:
    """Medians over steps and samples; the largest exponent is the samples' mean with their standard error."""
    largest = exponents.exponents_nats_per_step[:, 0]
    exponent = float(largest.mean())
    error = error_of_mean(largest, exponents.standard_error[:, 0])
    middle = _middle(exponents.exponents_nats_per_step)
    periods = list(spectrum.periods.values())
    return {
        "arch": cell.label,
        "seed": cell.seed,
        "state_size": spectrum.state_size,
        "spectral_radius": _median(spectrum.spectral_radius),
        "largest_singular_value": _median(spectrum.largest_singular_value),
        "exp_lyapunov_max": growth_per_step(exponent),
        "exp_lyapunov_median": growth_per_step(middle) if exponents.is_complete else math.nan,
        **dict.fromkeys(TEMPORAL_REACH, math.nan),
        "near_unit_share": _median(spectrum.near_unit_share),
        "longest_time_constant": _median(spectrum.longest_time_constant),
        "verdict": stability(exponent, error, cell.length),
        "status": _status(spectrum, exponents),
        "length": cell.length,
        "lyapunov_max_nats_per_step": exponent,
        "lyapunov_max_standard_error": error,
        "period": max((period.period for period in periods), default=1),
        "radius_per_period": max((_median(p.spectral_radius_per_step) for p in periods), default=math.nan),
        "condition_number": _median(spectrum.condition_number),
        "henrici_departure": _median(spectrum.henrici_departure),
        "memory_share": _median(spectrum.memory_share),
    }


def _median(values: Tensor) -> float:
    return float(values.flatten().quantile(0.5))


def _middle(exponents: Tensor) -> float:
    """Median over all samples and directions; NaN counts as smaller than every number, −inf too."""
    ordered = exponents.flatten().nan_to_num(nan=-math.inf, neginf=-1e308).sort(descending=True).values.tolist()
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    if -math.inf in (low, high):
        return math.nan
    return -math.inf if -1e308 in (low, high) else (low + high) / 2


def _temporal_reach(temporal: TemporalJacobian) -> dict[str, float]:
    """log10 of the largest singular value of ∂y_T/∂x_t at lags 0, 1 and T − 1, means over the samples."""
    largest = temporal.log10_singular_values[..., 0].mean(0)
    return dict(zip(TEMPORAL_REACH, (float(largest[lag]) for lag in (0, min(1, len(largest) - 1), -1)), strict=True))


def _status(spectrum: JacobianSpectrum, exponents: LyapunovExponents) -> str:
    if spectrum.overflow_step is not None:
        return f"non-finite from step {spectrum.overflow_step}"
    return "ok" if bool(exponents.converged[:, 0].all()) else "not converged"
