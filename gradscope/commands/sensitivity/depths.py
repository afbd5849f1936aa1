"""Signal propagation of one recurrence in a deep network, as rows: every λ, layer and group, over the seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from gradscope.experiments.depth import SignalPropagation, signal_propagation
from gradscope.running.cell import DepthCell
from gradscope.running.cell_result import CellResult, append_frame, blank_tables
from gradscope.running.materials import DTYPES, cell_input


def measure_depth(cell: DepthCell, model: None) -> CellResult:
    """Mean squares of the recurrences' outputs, and of the loss's gradients, layer by layer from the bottom."""
    tables = blank_tables(cell.command)
    overflowed = []
    for modulus in cell.lambdas:
        results = [_propagation(cell, modulus, seed) for seed in cell.seeds]
        if any(result.status != "ok" for result in results):
            overflowed.append(f"{modulus:.6g}")
        append_frame(tables["depth"], _over_seeds(results), input=cell.input_label, length=cell.lengths[0])
    failure = f"{cell.label} overflowed in {cell.dtype} at λ = {', '.join(overflowed)}." if overflowed else ""
    return CellResult(tables, [], (), failure)


def _propagation(cell: DepthCell, modulus: float, seed: int) -> SignalPropagation:
    x, _ = cell_input(replace(cell, seed=seed), cell.lengths[0])
    return signal_propagation(
        cell.architecture, modulus, x, cell.depth, cell.hidden_size, seed, dtype=DTYPES[cell.dtype]
    )


def _over_seeds(results: list[SignalPropagation]) -> pd.DataFrame:
    """The rows of one seed with means over all and their standard errors."""
    frame = results[0].to_dataframe()
    by_seed = pd.concat([result.to_dataframe() for result in results])
    means: list[float] = []
    errors: list[float] = []
    for _, rows in by_seed.groupby(["group", "quantity"], sort=False):
        values = rows["measured"].to_numpy().reshape(len(results), -1)  # (seeds, layers)
        means += [float(layer.mean()) for layer in values.T]
        deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
        errors += (deviation / math.sqrt(len(values))).tolist()
    return frame.assign(measured=means, standard_error=errors)
