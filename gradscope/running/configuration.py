"""What the configurations of all measuring commands have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from gradscope.errors import UsageError
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.input_choice import DEFAULT_INPUT, InputChoice
from gradscope.running.plain import plain
from gradscope.running.values import check_seeds, seed_numbers


@dataclass(frozen=True, kw_only=True)
class RunConfiguration:
    """The options that every measuring command has, with their values; names and meanings are the settings table's.

    Attributes:
        command: The command.
        input: None where the input comes from ``data``, or nothing was said.
        input_size: None where nothing was said.
        seeds: How many.
        max_memory: GiB.
    """

    command: ClassVar[str]
    arch: tuple[ArchitectureChoice, ...]
    hidden_size: int
    num_layers: int
    match: str
    checkpoint: Path | None
    input: InputChoice | None
    data: Path | None
    input_size: int | None
    batch: int
    seeds: int
    seed: int
    device: str
    dtype: str
    threads: int
    max_memory: float
    format: str
    out: Path | None
    every_step: bool
    resume: bool
    quiet: bool

    @property
    def longest(self) -> int:
        """The longest sequence."""
        raise NotImplementedError

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return seed_numbers(self.seed, self.seeds)

    @property
    def chosen_input(self) -> InputChoice:
        """The data, or the synthetic input: white noise when nothing was said."""
        return InputChoice(data=str(self.data)) if self.data else self.input or DEFAULT_INPUT

    def as_plain(self) -> dict[str, Any]:
        """Texts, numbers and lists alone, for ``run.json``; ranges are expanded."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        document: dict[str, Any] = plain(named | {"input": None if self.data else self.chosen_input})
        return document

    def check_together(self, prefix: str) -> None:
        """Raises :class:`UsageError` for two options that do not fit together.

        Args:
            prefix: What stands before a setting's name in messages.
        """
        if self.input is not None and self.data is not None:
            raise UsageError(f"{prefix}input and {prefix}data were both given; the input comes from one of them.")
        if self.checkpoint is not None and len(self.arch) > 1:
            raise UsageError(
                f"{prefix}checkpoint holds the weights of one model, but {len(self.arch)} architectures were given."
            )
        if self.resume and self.out is None:
            raise UsageError(
                f"{prefix}resume goes on from the files of an earlier run; say which with {prefix}out DIR."
            )
        check_seeds(self.seed, self.seeds, prefix)
