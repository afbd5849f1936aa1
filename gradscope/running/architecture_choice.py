"""Which architectures: ``lstm:forget_bias=1``, sweeps ``sc-lstm-p:L=10|20``, groups, classes of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.spec import Family
from gradscope.contract.option import OptionValue, show_value, split_option
from gradscope.errors import UnknownName, UsageError
from gradscope.own.reference import names_file

FAMILIES: tuple[str, ...] = get_args(Family)
GROUPS = ("all", *FAMILIES)


@dataclass(frozen=True)
class ArchitectureChoice:
    """One row of a comparison.

    Attributes:
        name: A name of the catalogue, or ``file.py:ClassName`` or ``package.module:ClassName``.
        options: Those that were given; values are typed for the catalogue's architectures, texts for one's own.
        label: What tables, files and pictures call it.
    """

    name: str
    options: tuple[tuple[str, OptionValue], ...]
    label: str

    @property
    def is_own(self) -> bool:
        """Whether it is a class of the user's."""
        return ":" in self.name

    @property
    def own_file(self) -> Path | None:
        """The file that the user's class is in; None for the catalogue's, and for a class of an importable module."""
        place = self.name.rpartition(":")[0]
        return Path(place) if names_file(place) else None

    def as_plain(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {"name": self.name, "options": dict(self.options), "label": self.label}


def parse_architectures(text: str, folder: Path) -> tuple[ArchitectureChoice, ...]:
    """The architectures that a text stands for, in its order.

    Args:
        text: Comma-separated items ``name[:option=value]*``. A value ``10|20|50`` is a sweep, several sweeps multiply;
            ``label=`` renames; ``all`` and the names of families stand for their members.
        folder: Where relative paths of files start.

    Raises:
        UnknownName: No such architecture, group or option; names the nearest.
        UsageError: An item that cannot be read, a value that an option cannot take, or one label for two rows.

    Example:
        >>> [choice.label for choice in parse_architectures("rnn,lstm:forget_bias=0|1", Path())]
        ['rnn', 'lstm:forget_bias=0', 'lstm:forget_bias=1']
    """
    choices = tuple(choice for item in text.split(",") for choice in _parse_item(item.strip(), text, folder))
    labels: set[str] = set()
    for choice in choices:
        if choice.label in labels:
            raise UsageError(
                f"'{choice.label}' names two rows of the comparison; list it once, or tell them apart with :label=NAME."
            )
        labels.add(choice.label)
    return choices


def _parse_item(item: str, text: str, folder: Path) -> Iterator[ArchitectureChoice]:
    if not item:
        raise UsageError(f"An architecture is missing in '{text}'; write names with commas between them.")
    name, *rest = item.split(":")
    if name in GROUPS:
        yield from _group(name, rest, item)
        return
    shown = name
    if name not in ARCHITECTURES and ((rest and "=" not in rest[0]) or _looks_like_own(name)):
        name, shown, rest = _own_class(name, rest, folder)
    elif name not in ARCHITECTURES:
        raise UnknownName("architecture", name, [*ARCHITECTURES, *GROUPS])
    yield from _sweep(name, shown, _split_options(shown, rest))


def _group(name: str, rest: list[str], item: str) -> Iterator[ArchitectureChoice]:
    if rest:
        raise UsageError(f"The group '{name}' takes no options, but '{item}' was given; name its members instead.")
    for member, spec in ARCHITECTURES.items():
        if name in ("all", spec.family):
            yield ArchitectureChoice(member, (), member)


def _looks_like_own(name: str) -> bool:
    return names_file(name) or "." in name


def _own_class(place: str, rest: list[str], folder: Path) -> tuple[str, str, list[str]]:
    """The full reference, a short one to show, and what follows; files are found from ``folder``."""
    if not rest or "=" in rest[0] or not rest[0]:
        raise UsageError(f"'{place}' needs the name of a class after it: {place}:ClassName.")
    if names_file(place):
        path = folder / Path(place).expanduser()
        return f"{path}:{rest[0]}", f"{path.name}:{rest[0]}", rest[1:]
    return f"{place}:{rest[0]}", f"{place}:{rest[0]}", rest[1:]


def _split_options(shown: str, parts: list[str]) -> dict[str, list[str]]:
    """Option name to the one or more values given for it."""
    options: dict[str, list[str]] = {}
    for part in parts:
        name, values = split_option(shown, part)
        key = name.strip()
        if key in options:
            raise UsageError(f"{shown}: option {key} is given twice; a sweep is written {key}=A|B.")
        options[key] = [value.strip() for value in values.split("|")]
    return options


def _sweep(name: str, shown: str, options: dict[str, list[str]]) -> Iterator[ArchitectureChoice]:
    """One row for every combination of the options' values."""
    label, *more = options.pop("label", [""])
    if more:
        raise UsageError(f"{shown}: label takes one name, but {label}|{'|'.join(more)} was given.")
    swept = [key for key, values in options.items() if len(values) > 1]
    for values in itertools.product(*options.values()):
        given = _typed(name, dict(zip(options, values, strict=True)))
        in_label = [key for key in given if not label or key in swept]
        tail = "".join(f":{key}={show_value(given[key])}" for key in in_label)
        yield ArchitectureChoice(name, tuple(given.items()), f"{label or shown}{tail}")


def _typed(name: str, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    if name not in ARCHITECTURES:
        return dict(given)
    values = ARCHITECTURES[name].parse_options(name, given)
    return {key: values[key] for key in given}
