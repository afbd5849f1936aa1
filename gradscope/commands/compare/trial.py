"""Candidates in place of an architecture where something is wrong: measured with the same seeds, until one helps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from gradscope.architectures.spec import Situation
from gradscope.commands.compare.cell import GradientCell
from gradscope.commands.compare.columns import ADVICE
from gradscope.commands.compare.options import CompareConfiguration
from gradscope.commands.compare.rows import trials_of
from gradscope.measurements.advice import Candidate, candidates
from gradscope.measurements.trial import NOT_TRIED, judged, median_kept
from gradscope.measurements.verdict import TROUBLES, over_seeds
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.cell import SUMMARY, UNKNOWN_VERDICT, CellResult, ModelCell
from gradscope.running.definitions import content_hashes
from gradscope.running.plan import Plan


@dataclass(frozen=True, kw_only=True)
class TrialCell(ModelCell):
    """What is judged of a candidate.

    Attributes:
        length: At which.
        instead_of: Label and verdict of the architectures that something is wrong with.
    """

    command = "compare"
    length: int
    loss: str
    instead_of: tuple[tuple[str, str], ...]

    def measure(self) -> CellResult:
        """A row for each architecture; a candidate that cannot be built or measured is no advice, and no failure."""
        verdict, carried = UNKNOWN_VERDICT, math.nan
        try:
            x, _ = self.input.draw(self.length, self.seed, dtype=self.dtype, device=self.device)
            judgement = judged(self.build(), x, self.loss, self.seed)
            verdict, carried = judgement.verdict, judgement.carried_decades
        except NOT_TRIED:
            pass
        found = {
            "length": self.length,
            "candidate": self.label,
            "seed": self.seed,
            "candidate_verdict": verdict,
            "carried_decades": carried,
        }
        rows = [{"arch": label, "verdict": wrong} | found for label, wrong in self.instead_of]
        return CellResult({ADVICE: pd.DataFrame(rows)})


def trials_after(
    configuration: CompareConfiguration, plan: Plan, tables: Mapping[str, pd.DataFrame]
) -> tuple[TrialCell, ...]:
    """The next candidate of every architecture that something is wrong with, for each seed; none where one helps."""
    if configuration.no_remedies:
        return ()
    first = {cell.label: cell for cell in reversed(plan.cells) if isinstance(cell, GradientCell)}
    last = tables[SUMMARY][tables[SUMMARY]["length"] == configuration.longest]
    found: dict[TrialCell, list[tuple[str, str]]] = {}  # several may have the same candidate, which is measured once
    for label, cell in reversed(first.items()):
        verdicts = [str(each) for each in last.loc[last["arch"] == label, "verdict"]]
        tried = trials_of(tables[ADVICE], label)
        if not set(verdicts) & set(TROUBLES) or any(trial.helps for trial in tried):
            continue
        for candidate in _candidates(cell)[len(tried) : len(tried) + 1]:
            found.setdefault(_trial(cell, candidate), []).append((label, over_seeds(verdicts)))
    return tuple(
        replace(trial, seed=seed, instead_of=tuple(instead_of))
        for trial, instead_of in found.items()
        for seed in configuration.seed_numbers
    )


def _candidates(cell: GradientCell) -> tuple[Candidate, ...]:
    def kept() -> float:
        x, _ = cell.input.draw(max(cell.lengths), cell.seed, dtype=cell.dtype, device=cell.device)
        return median_kept(cell.build(), x)

    situation = Situation(max(cell.lengths), cell.hidden_size, cell.model.num_layers, kept)
    choice = cell.model.architecture
    return candidates(choice.name, dict(choice.options), situation)


def _trial(cell: GradientCell, candidate: Candidate) -> TrialCell:
    choice = ArchitectureChoice(candidate.name, candidate.options, candidate.label)
    data = cell.input.choice.data
    return TrialCell(
        model=replace(cell.model, architecture=choice, checkpoint=""),
        input=cell.input,
        seed=cell.seed,
        dtype=cell.dtype,
        device=cell.device,
        content=content_hashes(Path(data) if data else None),
        length=max(cell.lengths),
        loss=cell.loss,
        instead_of=(),
    )
