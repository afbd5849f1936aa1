"""What the configurations of all measuring commands have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from gradscope.errors import UsageError
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.defaults import INPUT_KIND
from gradscope.running.input_choice import InputChoice
from gradscope.running.values import LARGEST_SEED


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
    threads: int | None
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
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def chosen_input(self) -> InputChoice:
        """The data, or the synthetic input: white noise when nothing was said."""
        return InputChoice(data=str(self.data)) if self.data else self.input or InputChoice(INPUT_KIND)

    def as_plain(self) -> dict[str, Any]:
        """Texts, numbers and lists alone, for ``run.json``; ranges are expanded."""
        plain = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return plain | {"input": None if self.data else self.chosen_input.label}

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
        if self.seed + self.seeds - 1 > LARGEST_SEED:
            raise UsageError(f"{prefix}seed and {prefix}seeds go beyond the largest seed, {LARGEST_SEED}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.as_plain() if hasattr(value, "as_plain") else value
