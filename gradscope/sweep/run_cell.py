"""The one thing that a sweep executes."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, fields
from typing import Any

import torch

from gradscope.contract.model import Model
from gradscope.diagnosis import verdict
from gradscope.errors import GradscopeError
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.results import GradientNorms
from gradscope.measurements.summary import LengthSummary, summarize
from gradscope.report.frames import gradient_frame
from gradscope.sweep.cell import Cell
from gradscope.sweep.materials import cell_input, cell_model, has_stable_prefix
from gradscope.sweep.result import FAILED, GRADIENT_COLUMNS, UNKNOWN_VERDICT, CellResult


def run_cell(cell: Cell) -> CellResult:
    """Measure one cell.

    A model that cannot be measured, or that runs out of memory, gives rows with the status ``failed``; so does any
    error that a class of the user's raises. The result depends on nothing but the cell.
    """
    started = time.perf_counter()
    model = cell_model(cell)
    try:
        results, notes = _measure(cell, model)
    except _expected_errors(cell) as error:
        return _failure(cell, model, error, time.perf_counter() - started)
    gradients: dict[str, list[Any]] = {column: [] for column in GRADIENT_COLUMNS}
    summary: list[dict[str, Any]] = []
    for result in results:
        if cell.every_component:
            _add_gradient_rows(gradients, cell, result)
        summary += [_summary_row(cell, model, row) for row in summarize(result, cell.component or None)]
    return CellResult(gradients, summary, notes, elapsed_seconds=time.perf_counter() - started)


def components_of(model: Model) -> tuple[str, ...]:
    """Every component that can be asked for: the model's own, the input, and the whole state where there is one."""
    return (*dict.fromkeys((*model.components, "x")), *(["<state>"] if model.state_size else []))


def _measure(cell: Cell, model: Model) -> tuple[list[GradientNorms], tuple[str, ...]]:
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


def _expected_errors(cell: Cell) -> tuple[type[Exception], ...]:
    if ":" in cell.architecture:  # a user's class may raise anything at some length, and the sweep goes on
        return (Exception,)
    return (GradscopeError, torch.OutOfMemoryError, MemoryError)


def _add_gradient_rows(gradients: dict[str, list[Any]], cell: Cell, result: GradientNorms) -> None:
    frame = gradient_frame(result, every_step=cell.every_step)
    gradients["arch"] += [cell.label] * len(frame)
    gradients["seed"] += [cell.seed] * len(frame)
    for column in GRADIENT_COLUMNS[2:]:
        gradients[column] += frame[column].tolist()


def _summary_row(cell: Cell, model: Model, row: LengthSummary) -> dict[str, Any]:
    return _identity(cell, model) | asdict(row) | {"verdict": verdict(row)}


def _identity(cell: Cell, model: Model) -> dict[str, Any]:
    return {
        "arch": cell.label,
        "seed": cell.seed,
        "parameters": model.parameters_counted,
        "parameters_stored": model.parameters_stored,
        "state_size": model.state_size,
    }


def _failure(cell: Cell, model: Model, error: Exception, elapsed_seconds: float) -> CellResult:
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
    rows = [_identity(cell, model) | unmeasured | known | {"length": length} for length in cell.lengths]
    reason = " ".join(str(error).split()) or type(error).__name__
    failure = f"{cell.label}, seed {cell.seed}, could not be measured: {reason}"
    return CellResult({column: [] for column in GRADIENT_COLUMNS}, rows, (), failure, elapsed_seconds)
