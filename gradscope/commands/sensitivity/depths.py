"""Signal propagation of one recurrence in a deep network, as rows: every λ, layer and group, over the seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.experiments.depth import SignalPropagation, signal_propagation
from gradscope.running.cell import CellResult, append_frame


@dataclass(frozen=True, kw_only=True)
class DepthCell(StudyCell):
    """Signal propagation through ``depth`` residual blocks of one width; the recurrence is a table's.

    Attributes:
        recurrence: Its name there.
        depth: Blocks.
    """

    recurrence: str
    depth: int

    def measure(self) -> CellResult:
        """Layer by layer, at every λ."""
        return _measured(self)


def _measured(cell: DepthCell) -> CellResult:
    """Mean squares of the recurrences' outputs, and of the loss's gradients, layer by layer from the bottom."""
    tables = cell.blank_tables()
    overflowed = []
    for modulus in cell.lambdas:
        results = [_propagation(cell, modulus, seed) for seed in cell.seeds]
        if any(result.status != "ok" for result in results):
            overflowed.append(f"{modulus:.6g}")
        append_frame(tables["depth"], _over_seeds(results), input=cell.input.choice.label, length=cell.lengths[0])
    failure = f"{cell.label} overflowed in {cell.dtype} at λ = {', '.join(overflowed)}." if overflowed else ""
    return CellResult(tables, [], (), failure)


def _propagation(cell: DepthCell, modulus: float, seed: int) -> SignalPropagation:
    x, _ = cell.input.draw(cell.lengths[0], seed, dtype=cell.dtype, device=cell.device)
    return signal_propagation(cell.recurrence, modulus, x, cell.depth, cell.width, seed, dtype=x.dtype)


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
