"""One architecture and seed of a comparison: its gradient norms at all lengths, as rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gradscope.commands.compare.columns import SUMMARY_COLUMNS
from gradscope.commands.compare.options import CompareConfiguration
from gradscope.contract.component import components_to_ask_for, judged_component
from gradscope.contract.model import Model
from gradscope.errors import UnknownName
from gradscope.measurements.diagnose import diagnosis_of, probed_norms
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.judgement import NO_REASON
from gradscope.running.cell import FAILED, SUMMARY, UNKNOWN_VERDICT, CellResult, ModelCell
from gradscope.running.plan import Plan, plan_cells


@dataclass(frozen=True, kw_only=True)
class GradientCell(ModelCell):
    """Gradient norms at all lengths.

    Attributes:
        lengths: Ascending.
        component: What the summary is about; empty for the model's primary component.
        every_step: Rows of every step, not of about 64 lags per length.
    """

    command = "compare"
    lengths: tuple[int, ...]
    loss: str
    component: str
    every_step: bool

    def measure(self) -> CellResult:
        """Every component at every length."""
        model = self.build()
        tables: dict[str, list[pd.DataFrame]] = {"gradients": [], SUMMARY: []}
        notes: list[str] = []
        for norms, probed, note in self._norms(model):
            found = diagnosis_of(norms, model, self.label, self.component or None, probed)
            tables["gradients"].append(norms.to_dataframe(every_step=self.every_step))
            tables[SUMMARY].append(found.to_dataframe())
            notes += [*([note] if note else []), *norms.notes]
        if len(tables[SUMMARY]) > 1:
            notes.insert(0, f"{self.input.choice.kind}: every length has its own input and run.")
        whole = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
        named = {name: frame.assign(arch=self.label, seed=self.seed) for name, frame in whole.items()}
        return CellResult(named, tuple(dict.fromkeys(notes)))

    def _norms(self, model: Model) -> Iterator[tuple[GradientNorms, GradientNorms | None, str]]:
        """One result for all lengths, or one per length where a shorter input is not the beginning of a longer one.

        With it what the forecast needs beside it, and a note.
        """
        groups = [self.lengths] if self.input.choice.has_stable_prefix else [(length,) for length in self.lengths]
        for lengths in groups:
            x, note = self.input.draw(lengths[-1], self.seed, dtype=self.dtype, device=self.device)
            norms = gradient_norms(model, x, lengths, loss=self.loss, seed=self.seed, largest_entries=True)
            yield norms, probed_norms(model, x, lengths, self.loss, self.seed), note

    def failed_rows(self) -> list[dict[str, Any]]:
        """A row a length."""
        model = self.build()
        row: dict[str, Any] = dict.fromkeys(SUMMARY_COLUMNS, math.nan)
        row |= {
            "arch": self.label,
            "seed": self.seed,
            "parameters": model.parameters_counted,
            "parameters_stored": model.parameters_stored,
            "state_size": model.state_size,
            "component": self.component or model.primary_component,
            "reference_lag": model.reference_lag,
            "horizon_censored": False,
            "exact_zeros": 0,
            "status": FAILED,
            "verdict": UNKNOWN_VERDICT,
            "judged": judged_component(model),
            "reason": NO_REASON,
        }
        return [row | {"length": length} for length in self.lengths]


def plan_of(configuration: CompareConfiguration) -> Plan:
    """One cell for each architecture and seed; see :func:`~gradscope.running.plan.plan_cells`."""

    def check(cell: GradientCell, model: Model) -> list[str]:
        if cell.component and cell.component not in components_to_ask_for(model):
            raise UnknownName(f"component of {cell.label}", cell.component, components_to_ask_for(model))
        return []

    return plan_cells(
        configuration,
        [f"Lengths: {', '.join(map(str, configuration.lengths))}."],
        lambda common: GradientCell(
            **common,
            lengths=configuration.lengths,
            loss=configuration.loss,
            component=configuration.component or "",
            every_step=configuration.every_step,
        ),
        check,
    )
