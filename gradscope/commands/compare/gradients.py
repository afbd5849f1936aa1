"""Gradient norms of one cell, as rows."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any

from gradscope.contract.model import Model
from gradscope.measurements.diagnosis import verdict
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.summary import LengthSummary, summarize
from gradscope.running.cell import GradientCell
from gradscope.running.cell_result import FAILED, GRADIENT_COLUMNS, UNKNOWN_VERDICT, CellResult, Table, blank_tables
from gradscope.running.materials import cell_input, has_stable_prefix


def measure_gradients(cell: GradientCell, model: Model) -> CellResult:
    """Every component at every length."""
    results, notes = _measure(cell, model)
    tables = blank_tables(cell.command)
    summary: list[dict[str, Any]] = []
    for result in results:
        if cell.every_component:
            _add_gradient_rows(tables["gradients"], cell, result)
        summary += [_summary_row(cell, model, row) for row in summarize(result, cell.component or None)]
    return CellResult(tables, summary, notes)


def failed_gradients(cell: GradientCell, model: Model) -> list[dict[str, Any]]:
    """Rows without numbers, so that a failed cell is seen in every table and file."""
    unmeasured: dict[str, Any] = {field.name: math.nan for field in fields(LengthSummary)}
    known = {
        "component": cell.component or model.primary_component,
        "reference_lag": model.reference_lag,
        "horizon_censored": False,
        "exact_zeros": 0,
        "status": FAILED,
        "verdict": UNKNOWN_VERDICT,
    }
    return [_identity(cell, model) | unmeasured | known | {"length": length} for length in cell.lengths]


def components_of(model: Model) -> tuple[str, ...]:
    """Every component that can be asked for: the model's own, the input, and the whole state where there is one."""
    return (*dict.fromkeys((*model.components, "x")), *(["<state>"] if model.state_size else []))


def _measure(cell: GradientCell, model: Model) -> tuple[list[GradientNorms], tuple[str, ...]]:
    """One result for all lengths, or one per length where a shorter input is not the beginning of a longer one."""
    wanted = components_of(model) if cell.every_component else (cell.component or model.primary_component,)
    groups = [cell.lengths] if has_stable_prefix(cell) else [(length,) for length in cell.lengths]
    results, notes = [], [] if len(groups) == 1 else [f"{cell.input_kind}: every length has its own input and run."]
    for lengths in groups:
        x, input_notes = cell_input(cell, lengths[-1])
        # The primary component comes along: its largest entries decide where a dtype loses the gradient.
        components = list(dict.fromkeys((*wanted, model.primary_component)))
        result = gradient_norms(
            model, x, lengths, loss=cell.loss, seed=cell.seed, components=components, largest_entries=True
        )
        results.append(result)
        notes += [*input_notes, *result.notes]
    return results, tuple(dict.fromkeys(notes))


def _add_gradient_rows(gradients: Table, cell: GradientCell, result: GradientNorms) -> None:
    frame = result.to_dataframe(every_step=cell.every_step)
    gradients["arch"] += [cell.label] * len(frame)
    gradients["seed"] += [cell.seed] * len(frame)
    for column in GRADIENT_COLUMNS[2:]:
        gradients[column] += frame[column].tolist()


def _summary_row(cell: GradientCell, model: Model, row: LengthSummary) -> dict[str, Any]:
    return _identity(cell, model) | asdict(row) | {"verdict": verdict(row)}


def _identity(cell: GradientCell, model: Model) -> dict[str, Any]:
    return {
        "arch": cell.label,
        "seed": cell.seed,
        "parameters": model.parameters_counted,
        "parameters_stored": model.parameters_stored,
        "state_size": model.state_size,
    }
