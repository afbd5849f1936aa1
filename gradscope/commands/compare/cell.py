"""One architecture and seed of a comparison: its gradient norms at all lengths, as rows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from gradscope.commands.compare.columns import GRADIENT_COLUMNS, TABLES
from gradscope.commands.compare.options import CompareConfiguration
from gradscope.contract.model import Model
from gradscope.errors import UnknownName
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.summary import LengthSummary, summarize
from gradscope.measurements.verdict import verdict
from gradscope.running.cell import FAILED, UNKNOWN_VERDICT, CellResult, ModelCell, Table
from gradscope.running.plan import Plan, plan_cells


@dataclass(frozen=True, kw_only=True)
class GradientCell(ModelCell):
    """Gradient norms at all lengths.

    Attributes:
        lengths: Ascending.
        component: What the summary is about; empty for the model's primary component.
        every_component: All components and every one's rows, not the summary's alone.
        every_step: Rows of every step, not of about 64 lags per length.
    """

    command = "compare"
    columns = TABLES
    lengths: tuple[int, ...]
    loss: str
    component: str
    every_component: bool
    every_step: bool

    def measure(self) -> CellResult:
        """Every component at every length."""
        model = self.build()
        results, notes = _measure(self, model)
        tables = self.blank_tables()
        summary: list[dict[str, Any]] = []
        for result in results:
            if self.every_component:
                _add_gradient_rows(tables["gradients"], self, result)
            summary += [_summary_row(self, model, row) for row in summarize(result, self.component or None)]
        return CellResult(tables, summary, notes)

    def failed_rows(self) -> list[dict[str, Any]]:
        """A row a length."""
        model = self.build()
        unmeasured: dict[str, Any] = {field.name: math.nan for field in fields(LengthSummary)}
        known = {
            "component": self.component or model.primary_component,
            "reference_lag": model.reference_lag,
            "horizon_censored": False,
            "exact_zeros": 0,
            "status": FAILED,
            "verdict": UNKNOWN_VERDICT,
        }
        return [_identity(self, model) | unmeasured | known | {"length": length} for length in self.lengths]


def plan_of(configuration: CompareConfiguration) -> Plan:
    """One cell for each architecture and seed; see :func:`~gradscope.running.plan.plan_cells`."""

    def check(cell: GradientCell, model: Model) -> list[str]:
        if cell.component and cell.component not in components_of(model):
            raise UnknownName(f"component of {cell.label}", cell.component, components_of(model))
        return []

    return plan_cells(
        configuration,
        [f"Lengths: {', '.join(map(str, configuration.lengths))}."],
        lambda common: GradientCell(
            **common,
            lengths=configuration.lengths,
            loss=configuration.loss,
            component=configuration.component or "",
            every_component=True,
            every_step=configuration.every_step,
        ),
        check,
    )


def components_of(model: Model) -> tuple[str, ...]:
    """Every component that can be asked for: the model's own, the input, and the whole state where there is one."""
    return (*dict.fromkeys((*model.components, "x")), *(["<state>"] if model.state_size else []))


def _measure(cell: GradientCell, model: Model) -> tuple[list[GradientNorms], tuple[str, ...]]:
    """One result for all lengths, or one per length where a shorter input is not the beginning of a longer one."""
    wanted = components_of(model) if cell.every_component else (cell.component or model.primary_component,)
    groups = [cell.lengths] if cell.input.choice.has_stable_prefix else [(length,) for length in cell.lengths]
    results, notes = (
        [],
        [] if len(groups) == 1 else [f"{cell.input.choice.kind}: every length has its own input and run."],
    )
    for lengths in groups:
        x, note = cell.input.draw(lengths[-1], cell.seed, dtype=cell.dtype, device=cell.device)
        # The primary component comes along: its largest entries decide where a dtype loses the gradient.
        components = list(dict.fromkeys((*wanted, model.primary_component)))
        result = gradient_norms(
            model, x, lengths, loss=cell.loss, seed=cell.seed, components=components, largest_entries=True
        )
        results.append(result)
        notes += [*([note] if note else []), *result.notes]
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
