"""The checked configuration of one comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gradscope.config.architectures import ArchitectureChoice
from gradscope.config.inputs import InputChoice
from gradscope.config.settings import COMPARE
from gradscope.config.values import LARGEST_SEED
from gradscope.errors import UnknownName, UsageError


@dataclass(frozen=True)
class CompareConfiguration:
    """Every option of ``gradscope compare`` with its value; names and meanings are the settings table's.

    Attributes:
        input: None where the input comes from ``data``, or nothing was said.
        input_size: None where nothing was said.
        seeds: How many.
        max_memory: GiB.
    """

    arch: tuple[ArchitectureChoice, ...]
    lengths: tuple[int, ...]
    relative_to: str | None
    hidden_size: int
    num_layers: int
    match: str
    checkpoint: Path | None
    input: InputChoice | None
    data: Path | None
    input_size: int | None
    batch: int
    loss: str
    component: str | None
    seeds: int
    seed: int
    device: str
    dtype: str
    threads: int | None
    max_memory: float
    clip_norm: float | None
    format: str
    out: Path | None
    every_step: bool
    resume: bool
    quiet: bool

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def chosen_input(self) -> InputChoice:
        """The synthetic input, white noise when nothing was said."""
        return self.input or InputChoice("white")

    def as_plain(self) -> dict[str, Any]:
        """Texts, numbers and lists alone, for ``run.json``; lengths are expanded."""
        plain = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return plain | {"input": None if self.data else self.chosen_input.label}


def compare_configuration(given: Mapping[str, Any], *, folder: Path, prefix: str = "--") -> CompareConfiguration:
    """The configuration that options stand for, those not given at their defaults.

    Args:
        given: Setting to value, as words of a command line or as values of a TOML file; None is not given.
        folder: Where relative paths start.
        prefix: What stands before a setting's name in messages.

    Raises:
        UsageError: A value that cannot be, or two that do not fit together.
        UnknownName: A name that is not in its table; names the nearest.
    """
    read: dict[str, Any] = {}
    for name, setting in COMPARE.items():
        value = given.get(name)
        value = setting.default if value is None else value
        shown = f"{prefix}{name.replace('_', '-')}"
        read[name] = None if value is None else setting.read(shown, value, folder)
    configuration = CompareConfiguration(**read)
    _check_together(configuration, prefix)
    return configuration


def _check_together(configuration: CompareConfiguration, prefix: str) -> None:
    labels = [choice.label for choice in configuration.arch]
    if configuration.relative_to is not None and configuration.relative_to not in labels:
        raise UnknownName(f"row for {prefix}relative-to in this comparison", configuration.relative_to, labels)
    if configuration.input is not None and configuration.data is not None:
        raise UsageError(f"{prefix}input and {prefix}data were both given; the input comes from one of them.")
    if configuration.checkpoint is not None and len(labels) > 1:
        raise UsageError(
            f"{prefix}checkpoint holds the weights of one model, but {len(labels)} architectures were given."
        )
    if configuration.resume and configuration.out is None:
        raise UsageError(f"{prefix}resume goes on from the files of an earlier run; say which with {prefix}out DIR.")
    if configuration.seed + configuration.seeds - 1 > LARGEST_SEED:
        raise UsageError(f"{prefix}seed and {prefix}seeds go beyond the largest seed, {LARGEST_SEED}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, ArchitectureChoice):
        return {"name": value.name, "options": dict(value.options), "label": value.label}
    return value.label if isinstance(value, InputChoice) else value
