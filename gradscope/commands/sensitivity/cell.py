"""What the cells of a run of ``gradscope sensitivity`` have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gradscope.commands.sensitivity.columns import TABLES
from gradscope.running.cell import FAILED, SUMMARY, UNKNOWN_VERDICT, Cell

OWN = "own"  # the parametrisation and normalisation of an architecture


@dataclass(frozen=True, kw_only=True)
class SweptCell(Cell):
    """Something whose memory is swept.

    Attributes:
        lambdas: Moduli of λ, ascending.
        lengths: Steps for each of them.
        seeds: Of weights, inputs and probes; all are pooled.
    """

    command = "sensitivity"
    lambdas: tuple[float, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]

    def unmeasured_row(self) -> dict[str, Any]:
        """A row of the summary without numbers."""
        row: dict[str, Any] = dict.fromkeys(TABLES[SUMMARY], math.nan)
        known: dict[str, Any] = {
            "arch": self.label,
            "parametrization": OWN,
            "normalization": OWN,
            "input": self.input.choice.label,
            "group": "",
        }
        if self.lambdas:
            known |= {"lambda_first": self.lambdas[0], "lambda_last": self.lambdas[-1]}
        return row | known | {"verdict": UNKNOWN_VERDICT, "status": FAILED}


@dataclass(frozen=True, kw_only=True)
class StudyCell(SweptCell):
    """A study that brings its own model.

    Attributes:
        name: What files and messages call it.
        width: Of its model.
    """

    name: str
    width: int

    @property
    def label(self) -> str:
        """The study's name."""
        return self.name

    @property
    def hidden_size(self) -> int:
        """The width."""
        return self.width
