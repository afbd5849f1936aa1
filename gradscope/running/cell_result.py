"""What a cell gives back: rows of numbers and texts, in the tables of its command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

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
_WHERE = ("arch", "seed", "sample")
_SENSITIVE = ("arch", "parametrization", "normalization", "input")
_MEASURED = ("measured", "standard_error")
_STUDENT = ("student", "teacher", "length", "seed")
TEMPORAL_REACH = ("log10_temporal_lag_0", "log10_temporal_lag_1", "log10_temporal_last_lag")
TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "compare": {"gradients": GRADIENT_COLUMNS, "summary": SUMMARY_COLUMNS},
    "sensitivity": {
        "sensitivity": (
            *_SENSITIVE,
            "lambda_modulus",
            "achieved_lambda_modulus",
            "length",
            "group",
            "quantity",
            *_MEASURED,
            "theory_finite",
            "theory_infinite",
            "spectral_radius",
            "ratio",
        ),
        "landscape": (
            "parametrization",
            "normalization",
            "rho",
            "teacher",
            "student",
            "omega",
            "omega_teacher",
            "loss",
            "gradient",
            "curvature",
            "largest_stable_learning_rate",
        ),
        "depth": ("recurrence", "input", "lambda_modulus", "length", "layer", "group", "quantity", *_MEASURED),
        "students": (
            *_STUDENT,
            "parameters",
            "rank",
            "diagonal_share",
            "largest_eigenvalue",
            "median_recurrent_adam_learning_rate",
            "median_adam_learning_rate",
            "adam_last_loss",
        ),
        "hessian": (*_STUDENT, "index", "eigenvalue", "participation"),
        "coordinates": (*_STUDENT, "index", "group", "hessian_diagonal", "adam_learning_rate"),
        "exponents": (*_SENSITIVE, "quantity", "exponent", "standard_error", "theory", "group"),
        "summary": (
            *_SENSITIVE,
            "group",
            "lambda_first",
            "lambda_last",
            "state_power_first",
            "state_power_last",
            "dh_domega_power_first",
            "dh_domega_power_last",
            "dh_domega_power_ratio_last",
            "state_exponent",
            "state_exponent_standard_error",
            "state_exponent_theory",
            "exponent",
            "exponent_standard_error",
            "exponent_theory",
            "exponent_theory_finite",
            "verdict",
            "status",
        ),
    },
    "spectrum": {
        "eigenvalues": (*_WHERE, "step", "layer", "index", "real", "imag", "modulus", "multiplicity"),
        "singular_values": (*_WHERE, "step", "layer", "index", "singular_value", "multiplicity"),
        "period_eigenvalues": (*_WHERE, "step", "layer", "index", "period", "modulus_per_step", "angle_per_period"),
        "steps": (
            *_WHERE,
            "step",
            "spectral_radius",
            "largest_singular_value",
            "median_singular_value",
            "smallest_singular_value",
            "condition_number",
            "henrici_departure",
            "near_unit_share",
            "memory_share",
            "longest_time_constant",
        ),
        "lyapunov": (*_WHERE, "layer", "index", "exponent_nats_per_step", "standard_error"),
        "products": (
            *_WHERE,
            "step",
            "steps_back",
            "log10_largest_singular_value",
            "log10_smallest_singular_value",
            "log10_frobenius_norm",
            "stable_rank",
        ),
        "temporal": (
            *_WHERE,
            "step",
            "steps_back",
            "log10_largest_singular_value",
            "log10_smallest_singular_value",
            "log10_frobenius_norm",
        ),
        "summary": (
            "arch",
            "seed",
            "state_size",
            "spectral_radius",
            "largest_singular_value",
            "exp_lyapunov_max",
            "exp_lyapunov_median",
            "near_unit_share",
            "longest_time_constant",
            "verdict",
            "status",
            "length",
            "lyapunov_max_nats_per_step",
            "lyapunov_max_standard_error",
            "period",
            "radius_per_period",
            "condition_number",
            "henrici_departure",
            "memory_share",
            *TEMPORAL_REACH,
        ),
    },
}
SUMMARY = "summary"
REQUIRED = {
    "compare": ("gradients", SUMMARY),
    "spectrum": (SUMMARY,),
    "sensitivity": ("sensitivity", SUMMARY),
}  # tables without which a run cannot be read
FAILED = "failed"
UNKNOWN_VERDICT = "unknown"
NO_RECURRENT_STATE = "no recurrent state"
NOT_MEASURED = (FAILED, "non-finite", "underflow")  # how the statuses of rows begin that are not a measurement

Table = dict[str, list[Any]]


@dataclass(frozen=True)
class CellResult:
    """The outcome of one cell, in plain data.

    Attributes:
        tables: Name of each of the command's tables but the summary to its columns.
        summary: Rows of the summary, by column.
        notes: What the measurement did that its reader should know.
        failure: Why there are no numbers, one sentence; empty where there are.
        elapsed_seconds: How long it took.
    """

    tables: dict[str, Table]
    summary: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    failure: str = ""
    elapsed_seconds: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether there was no failure, and every row of the summary has numbers, or none to have."""
        return not self.failure and not any(str(row["status"]).startswith(NOT_MEASURED) for row in self.summary)


def append_row(table: Table, row: dict[str, Any]) -> None:
    """A row at the end; it has every column of the table."""
    for column, values in table.items():
        values.append(row[column])


def append_frame(table: Table, frame: pd.DataFrame, **same: Any) -> None:
    """The rows of a result's table at the end, with columns that have one value in all of them."""
    for column, values in table.items():
        values += [same[column]] * len(frame) if column in same else frame[column].tolist()


def blank_tables(command: str) -> dict[str, Table]:
    """The command's tables but the summary, without rows."""
    tables = {name: columns for name, columns in TABLES[command].items() if name != SUMMARY}
    return {name: {column: [] for column in columns} for name, columns in tables.items()}
