"""What a cell gives back: rows of numbers and texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GRADIENT_COLUMNS = (
    "arch",
    "seed",
    "length",
    "layer",
    "component",
    "step",
    "steps_back",
    "log10_norm",
    "log10_norm_median",
)
SUMMARY_COLUMNS = (
    "arch",
    "seed",
    "length",
    "parameters",
    "state_size",
    "component",
    "log10_norm_step_1",
    "log10_norm_step_T",
    "decades_per_step",
    "horizon_steps",
    "horizon_censored",
    "log10_recurrent_weight_gradient_norm",
    "weight_gradient_horizon_steps",
    "float32_lost_steps_back",
    "float16_lost_steps_back",
    "float32_absorbed_steps_back",
    "bfloat16_absorbed_steps_back",
    "verdict",
    "status",
    "reference_lag",
    "log10_relative_norm",
    "log10_drop_lag_0_to_1",
    "parameters_stored",
    "exact_zeros",
)
FAILED = "failed"
UNKNOWN_VERDICT = "unknown"
NOT_MEASURED = (FAILED, "non-finite", "underflow")  # statuses of rows whose numbers are not a measurement


@dataclass(frozen=True)
class CellResult:
    """The outcome of one cell, in plain data.

    Attributes:
        gradients: Column of ``gradients.csv`` to its values.
        summary: One row of ``summary.csv`` per length, by column.
        notes: What the measurement did that its reader should know.
        failure: Why there are no numbers, one sentence; empty where there are.
        elapsed_seconds: How long it took.
    """

    gradients: dict[str, list[Any]]
    summary: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    failure: str = ""
    elapsed_seconds: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether every length has numbers."""
        return all(row["status"] not in NOT_MEASURED for row in self.summary)
