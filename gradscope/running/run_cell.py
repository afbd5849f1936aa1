"""The one thing that a sweep executes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from gradscope.commands.compare.gradients import failed_gradients, measure_gradients
from gradscope.commands.sensitivity.curvatures import measure_hessian
from gradscope.commands.sensitivity.depths import measure_depth
from gradscope.commands.sensitivity.landscapes import measure_landscape
from gradscope.commands.sensitivity.scalar_laws import measure_scalar_law
from gradscope.commands.sensitivity.sensitivities import failed_sensitivity, measure_sensitivity
from gradscope.commands.spectrum.spectra import failed_spectra, measure_spectra
from gradscope.errors import GradscopeError
from gradscope.running.cell import (
    Cell,
    DepthCell,
    GradientCell,
    HessianCell,
    LandscapeCell,
    ScalarCell,
    SensitivityCell,
    SpectrumCell,
)
from gradscope.running.cell_result import CellResult, blank_tables
from gradscope.running.materials import cell_model


def _no_rows(cell: Cell, model: Any) -> list[dict[str, Any]]:
    """Of a measurement that has no place in the summary."""
    return []


_MEASUREMENTS: dict[type[Cell], tuple[Any, Any]] = {  # what gives a result, and the rows of one that failed
    GradientCell: (measure_gradients, failed_gradients),
    SpectrumCell: (measure_spectra, failed_spectra),
    SensitivityCell: (measure_sensitivity, failed_sensitivity),
    ScalarCell: (measure_scalar_law, failed_sensitivity),
    LandscapeCell: (measure_landscape, _no_rows),
    DepthCell: (measure_depth, _no_rows),
    HessianCell: (measure_hessian, _no_rows),
}


def run_cell(cell: Cell) -> CellResult:
    """Measure one cell.

    A model that cannot be measured, or that runs out of memory, gives rows with the status ``failed``; so does any
    error that a class of the user's raises. The result depends on nothing but the cell.
    """
    started = time.perf_counter()
    measure, failed_rows = _MEASUREMENTS[type(cell)]
    model = cell_model(cell) if cell.has_model else None
    try:
        result: CellResult = measure(cell, model)
    except _expected_errors(cell) as error:
        result = CellResult(blank_tables(cell.command), failed_rows(cell, model), (), _failure(cell, error))
    return replace(result, elapsed_seconds=time.perf_counter() - started)


def _expected_errors(cell: Cell) -> tuple[type[Exception], ...]:
    if ":" in cell.architecture:  # a user's class may raise anything at some length, and the sweep goes on
        return (Exception,)
    return (GradscopeError, torch.OutOfMemoryError, MemoryError)


def _failure(cell: Cell, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{cell.label}, seed {cell.seed}, could not be measured: {reason}"
