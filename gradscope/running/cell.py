"""One unit of work of a sweep: plain data in, tables out, independent of all other cells and of their order."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pandas as pd

from gradscope import __version__, numerics
from gradscope.contract.model import Model
from gradscope.dynamics.linearize import chosen_executor
from gradscope.running.definitions import InputDefinition, ModelDefinition

SUMMARY = "summary"  # the table with one row for each measured thing
FAILED = "failed"
UNKNOWN_VERDICT = "unknown"
NOT_MEASURED = (FAILED, "non-finite", "saturated")  # how the statuses of rows begin that are not a measurement

Columns = Mapping[str, tuple[str, ...]]  # name of a table to its columns


@dataclass(frozen=True, eq=False)
class CellResult:
    """The outcome of one cell.

    Attributes:
        tables: Name of a table to its rows, of those that were measured; the summary is one of them.
        notes: What the measurement did that its reader should know.
        failure: Why there are no numbers, one sentence; empty where there are.
        elapsed_seconds: How long it took.
    """

    tables: dict[str, pd.DataFrame]
    notes: tuple[str, ...] = ()
    failure: str = ""
    elapsed_seconds: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether there was no failure, and every row of the summary has numbers, or none to have."""
        if self.failure or not len(self.tables.get(SUMMARY, ())):
            return not self.failure
        return not any(str(status).startswith(NOT_MEASURED) for status in self.tables[SUMMARY]["status"])


@dataclass(frozen=True, kw_only=True)
class Cell(ABC):
    """Everything that determines a result, in plain data; a subclass adds the measurement.

    Attributes:
        command: The command that the cell belongs to.
        label: What files and messages call it.
        hidden_size: Width of what is measured.
        seed: Of the weights, inputs, targets and probes.
        content: Path and sha256 of each of the user's files that the result depends on.
    """

    command: ClassVar[str]
    input: InputDefinition
    seed: int
    dtype: str
    device: str
    content: tuple[tuple[str, str], ...] = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """What files and messages call it."""

    @property
    @abstractmethod
    def hidden_size(self) -> int:
        """Width of what is measured."""

    @property
    def key(self) -> str:
        """Hash of the definition, of the content of the user's files, of the versions and of the executor."""
        how = [__version__, numerics.VERSION, chosen_executor()]
        definition = json.dumps([*how, self.command, type(self).__name__, asdict(self)], sort_keys=True)
        return hashlib.sha256(definition.encode()).hexdigest()[:20]

    @property
    def is_own(self) -> bool:
        """Whether code of the user's runs, which may raise anything at some length: the sweep goes on."""
        return False

    @abstractmethod
    def measure(self) -> CellResult:
        """The result; it depends on nothing but the cell."""

    def failed_rows(self) -> list[dict[str, Any]]:
        """Rows of the summary without numbers, so that a failed cell is seen in every table and file."""
        return []


@dataclass(frozen=True, kw_only=True)
class ModelCell(Cell):
    """A measurement of an architecture."""

    model: ModelDefinition

    @property
    def label(self) -> str:
        """The architecture's."""
        return self.model.architecture.label

    @property
    def hidden_size(self) -> int:
        """The model's."""
        return self.model.hidden_size

    @property
    def is_own(self) -> bool:
        """Whether the architecture is a class of the user's."""
        return self.model.architecture.is_own

    def build(self) -> Model:
        """The model with the cell's seed, in its dtype and on its device."""
        return self.model.build(self.seed, dtype=self.dtype, device=self.device)
