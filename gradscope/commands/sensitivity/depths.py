"""Signal propagation of one recurrence in a deep network, as rows: every λ, layer and group, over the seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from gradscope.commands.sensitivity.cell import StudyCell
from gradscope.experiments.depth import SignalPropagation, signal_propagation
from gradscope.running.cell import CellResult, append_row


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
        powers = {("state", "state_power"): [result.state_power for result in results]}
        for group in results[0].gradient_power:
            powers[group, "loss_gradient_power"] = [result.gradient_power[group] for result in results]
        for (group, quantity), by_seed in powers.items():
            values = torch.stack(by_seed).numpy()
            error = (
                values.std(axis=0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.full(cell.depth, np.nan)
            )
            for layer in range(cell.depth):
                row = {
                    "recurrence": cell.recurrence,
                    "input": cell.input.choice.label,
                    "lambda_modulus": modulus,
                    "length": cell.lengths[0],
                    "layer": layer,
                    "group": group,
                    "quantity": quantity,
                    "measured": float(values[:, layer].mean()),
                    "standard_error": float(error[layer]),
                }
                append_row(tables["depth"], row)
    failure = f"{cell.label} overflowed in {cell.dtype} at λ = {', '.join(overflowed)}." if overflowed else ""
    return CellResult(tables, [], (), failure)


def _propagation(cell: DepthCell, modulus: float, seed: int) -> SignalPropagation:
    x, _ = cell.input.draw(cell.lengths[0], seed, dtype=cell.dtype, device=cell.device)
    return signal_propagation(cell.recurrence, modulus, x, cell.depth, cell.width, seed, dtype=x.dtype)
