"""Cases of a regression check, as ``[[case]]`` tables say them.

A case has the keys of the command line. What stands above the first ``[[case]]`` holds for all of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gradscope.commands.check.names import PROJECT_FILE
from gradscope.commands.check.settings import CASE
from gradscope.contract.option import show_value
from gradscope.errors import UnknownName, UsageError
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.defaults import CASE_INPUT_SIZE
from gradscope.running.definitions import InputDefinition, ModelDefinition
from gradscope.running.input_choice import DEFAULT_INPUT, InputChoice, agreed_size
from gradscope.running.setting import read_settings, settings_of_table
from gradscope.running.values import check_seeds, seed_numbers


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model, and how its gradients are measured.

    Attributes:
        name: Unique in its file.
        is_named: Whether the name was given.
        folder: Of the file, where relative paths of a user's classes start.
        model: What is built; a user's file has its path in front.
        lengths: Ascending.
        gate: What is compared, of ``GATES``.
        tolerance: In decades; None where none was given.
        seeds: How many.
        seed: The first.
    """

    name: str
    is_named: bool
    folder: Path
    model: ModelDefinition
    input: InputDefinition
    lengths: tuple[int, ...]
    gate: tuple[str, ...]
    tolerance: float | None
    loss: str
    seeds: int
    seed: int

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return seed_numbers(self.seed, self.seeds)

    @property
    def architecture(self) -> ArchitectureChoice:
        """The model's."""
        return self.model.architecture

    @property
    def reference(self) -> str:
        """The architecture's name, wherever the folder lies."""
        if self.architecture.own_file is None:
            return self.architecture.name
        path = Path(os.path.relpath(self.architecture.own_file, self.folder)).as_posix()
        return f"{path}:{self.architecture.name.rpartition(':')[2]}"

    def as_table(self) -> dict[str, Any]:
        """What a file would say to get this case, whatever its folder; see :func:`cases_of`."""
        options = "".join(f":{key}={show_value(value)}" for key, value in self.architecture.options)
        return {
            "name": self.name,
            "arch": f"{self.reference}{options}",
            "lengths": list(self.lengths),
            "gate": list(self.gate),
            "hidden-size": self.model.hidden_size,
            "num-layers": self.model.num_layers,
            "input": self.input.choice.label,
            "input-size": self.input.input_size,
            "batch": self.input.batch,
            "loss": self.loss,
            "seeds": self.seeds,
            "seed": self.seed,
        }


def cases_of(table: Mapping[str, Any], path: Path, folder: Path) -> tuple[Case, ...]:
    """The cases of a table, which a file at ``path`` holds; relative paths of classes start from ``folder``."""
    heading = "[[tool.gradscope.case]]" if path.name == PROJECT_FILE else "[[case]]"
    tables = table.get("case", [])
    if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        raise UsageError(f"{path}: case should be a list of tables, each below a heading {heading} of its own.")
    if not tables:
        raise UsageError(f'{path} has no case; write {heading} and below it arch = "lstm".')
    shared = {key: value for key, value in table.items() if key != "case"}
    if "name" in shared:
        raise UsageError(f"{path}: name is a case's own; write it below {heading}, not above.")
    defaults = settings_of_table(CASE, shared, f"key in {path}")
    cases: list[Case] = []
    for number, own in enumerate(tables, 1):
        try:
            name = _name(own)
            unnamed = {key: own[key] for key in own if key != "name"}
            given = defaults | settings_of_table(CASE, unnamed, "key of a case", more=("name",))
            cases += _expanded(name, given, folder)
        except UsageError as error:
            raise UsageError(f"{path}, case {number}: {error}") from None
    return _with_unique_names(cases, path)


def matches(name: str, pattern: str | None) -> bool:
    """Whether a pattern such as ``lstm*`` means a case; a name always means itself, and no pattern means all."""
    return pattern is None or name == pattern or fnmatchcase(name, pattern)


def chosen(names: Iterable[str], pattern: str | None) -> tuple[str, ...]:
    """The names that a pattern means.

    Raises:
        UnknownName: It means none of them.
    """
    known = tuple(names)
    found = tuple(name for name in known if matches(name, pattern))
    if pattern is not None and not found:
        raise UnknownName("case", pattern, known)
    return found


def _name(table: Mapping[str, Any]) -> str | None:
    if "name" not in table:
        return None
    name = table["name"]
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise UsageError(f"name should be a text on one line, but {name!r} was given.")
    return name.strip()


def _expanded(name: str | None, given: Mapping[str, Any], folder: Path) -> Iterator[Case]:
    """One case for every architecture that a table names."""
    read = read_settings(CASE, given, folder, "")
    architectures = read.pop("arch")
    if architectures is None:
        raise UsageError('arch is missing; write arch = "lstm", or my_cell.py:MyCell for a class of your own.')
    check_seeds(read["seed"], read["seeds"], "")
    asked = read.pop("input") or DEFAULT_INPUT
    drawn = InputDefinition(asked, input_features(asked, read.pop("input_size")), read.pop("batch"))
    sizes = read.pop("hidden_size"), read.pop("num_layers")
    for choice in architectures:
        if choice.own_file is not None and not choice.own_file.is_file():
            raise UsageError(f"There is no file {choice.own_file}; paths start from {folder}.")
        own = name if name and len(architectures) == 1 else f"{name}/{choice.label}" if name else choice.label
        model = ModelDefinition(choice, drawn.input_size, *sizes)
        yield Case(name=own, is_named=name is not None, folder=folder, model=model, input=drawn, **read)


def input_features(choice: InputChoice, given: int | None) -> int:
    """What the input fixes, what was given, or what cases have otherwise.

    Raises:
        UsageError: Two of them that differ.
    """
    fixed = choice.fixed_size
    conflict = f"The input '{choice.label}' has {fixed} features, but input size {given} was given."
    return agreed_size(fixed, given, CASE_INPUT_SIZE, conflict)


def _with_unique_names(cases: list[Case], path: Path) -> tuple[Case, ...]:
    """Cases without a name of their own are told apart by the settings in which they differ."""
    by_name: dict[str, list[Case]] = {}
    for case in cases:
        by_name.setdefault(case.name, []).append(case)
    unique = tuple(
        replace(case, name=_told_apart(case, by_name[case.name])) if not case.is_named else case for case in cases
    )
    for name, count in Counter(case.name for case in unique).items():
        if count > 1:
            raise UsageError(f'{path}: {count} cases are called "{name}"; give each a name = "…" of its own.')
    return unique


def _told_apart(case: Case, namesakes: list[Case]) -> str:
    mine, others = _words(case), [_words(other) for other in namesakes]
    differing = [word for key, word in mine.items() if len({other[key] for other in others}) > 1]
    return "/".join([case.name, *differing])


def _words(case: Case) -> dict[str, str]:
    return {
        "hidden_size": f"h{case.model.hidden_size}",
        "num_layers": f"l{case.model.num_layers}",
        "lengths": f"T{','.join(str(length) for length in case.lengths)}",
        "input": case.input.choice.label,
        "input_size": f"i{case.input.input_size}",
        "batch": f"b{case.input.batch}",
        "loss": case.loss,
        "seed": f"s{case.seed}",
    }
