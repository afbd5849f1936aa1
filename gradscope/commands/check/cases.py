"""Cases of a regression check: ``[[case]]`` tables in ``gradscope.toml``, or in ``pyproject.toml``.

A case has the keys of the command line. What stands above the first ``[[case]]`` holds for all of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradscope.contract.option import show_value
from gradscope.errors import UnknownName, UsageError
from gradscope.inputs.catalogue import INPUTS
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.configuration import read_settings
from gradscope.running.input_choice import InputChoice
from gradscope.running.settings import CASE, shown_name
from gradscope.running.toml_file import toml_document
from gradscope.running.values import LARGEST_SEED

CASES_FILE, PROJECT_FILE = "gradscope.toml", "pyproject.toml"
DEFAULT_INPUT_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model, and how its gradients are measured.

    Attributes:
        name: Unique in its file.
        is_named: Whether the name was given.
        folder: Of the file, where relative paths of a user's classes start.
        architecture: What is built; a user's file has its path in front.
        lengths: Ascending.
        gate: What is compared, of ``GATES``.
        tolerance: In decades; None where none was given.
        seeds: How many.
        seed: The first.
    """

    name: str
    is_named: bool
    folder: Path
    architecture: ArchitectureChoice
    lengths: tuple[int, ...]
    gate: tuple[str, ...]
    tolerance: float | None
    hidden_size: int
    num_layers: int
    input: InputChoice
    input_size: int
    batch: int
    loss: str
    seeds: int
    seed: int

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def is_own(self) -> bool:
        """Whether the model is a class of the user's."""
        return ":" in self.architecture.name

    @property
    def own_file(self) -> Path | None:
        """The file that the user's class is in; None for the catalogue's, and for a class of an importable module."""
        place = self.architecture.name.rpartition(":")[0]
        return Path(place) if place.endswith(".py") or "/" in place else None

    @property
    def reference(self) -> str:
        """The architecture's name, wherever the folder lies."""
        if self.own_file is None:
            return self.architecture.name
        path = Path(os.path.relpath(self.own_file, self.folder)).as_posix()
        return f"{path}:{self.architecture.name.rpartition(':')[2]}"

    def as_table(self) -> dict[str, Any]:
        """What a file would say to get this case, whatever its folder; see :func:`cases_of`."""
        options = "".join(f":{key}={show_value(value)}" for key, value in self.architecture.options)
        return {
            "name": self.name,
            "arch": f"{self.reference}{options}",
            "lengths": list(self.lengths),
            "gate": list(self.gate),
            "hidden-size": self.hidden_size,
            "num-layers": self.num_layers,
            "input": self.input.label,
            "input-size": self.input_size,
            "batch": self.batch,
            "loss": self.loss,
            "seeds": self.seeds,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class CaseFile:
    """What a file says is to be measured."""

    path: Path
    cases: tuple[Case, ...]


def read_cases(folder: Path, file: Path | None = None) -> CaseFile:
    """The cases of a project.

    Args:
        folder: Where ``gradscope.toml`` is looked for, and then ``pyproject.toml`` with a table ``[tool.gradscope]``.
        file: The file to read instead, relative to ``folder``; of one called ``pyproject.toml``, its table.

    Raises:
        UsageError: No such file, no TOML, no case, two cases of one name, or a value that cannot be.
        UnknownName: A key that there is not; names the nearest.
    """
    path = folder / file.expanduser() if file is not None else _found(folder)
    table = toml_document(path)
    if path.name == PROJECT_FILE:
        table = _project_table(table)
        if not table:
            raise UsageError(f"{path} has no table [tool.gradscope]; write cases below [[tool.gradscope.case]].")
    return CaseFile(path, cases_of(table, path, path.parent))


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
    defaults = _settings(shared, f"key in {path}")
    cases: list[Case] = []
    for number, own in enumerate(tables, 1):
        try:
            name = _name(own)
            given = defaults | _settings({key: own[key] for key in own if key != "name"}, "key of a case", "name")
            cases += _expanded(name, given, folder)
        except UsageError as error:
            raise UsageError(f"{path}, case {number}: {error}") from None
    return _with_unique_names(cases, path)


def _found(folder: Path) -> Path:
    if (folder / CASES_FILE).exists():
        return folder / CASES_FILE
    project = folder / PROJECT_FILE
    if project.exists() and _project_table(toml_document(project)):
        return project
    raise UsageError(
        f"There is no {CASES_FILE} in {folder}, nor a {PROJECT_FILE} with [tool.gradscope]; gradscope check --init "
        "writes a file to start from."
    )


def _project_table(document: Mapping[str, Any]) -> dict[str, Any]:
    tools = document.get("tool", {})
    table = tools.get("gradscope", {}) if isinstance(tools, dict) else {}
    return table if isinstance(table, dict) else {}


def _settings(table: Mapping[str, Any], kind: str, *more: str) -> dict[str, Any]:
    """Setting to value; keys have dashes or underscores."""
    names = {shown_name(name): name for name in CASE}
    given: dict[str, Any] = {}
    for key, value in table.items():
        name = names.get(key.replace("_", "-"))
        if name is None:
            raise UnknownName(kind, key, [*names, *more])
        if name in given:
            raise UsageError(f"{key} is given twice, with a dash and with an underscore.")
        given[name] = value
    return given


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
    if read["seed"] + read["seeds"] - 1 > LARGEST_SEED:
        raise UsageError(f"seed and seeds go beyond the largest seed, {LARGEST_SEED}.")
    read["input"] = read["input"] or InputChoice("white")
    read["input_size"] = input_features(read["input"], read["input_size"])
    for choice in architectures:
        own = name if name and len(architectures) == 1 else f"{name}/{choice.label}" if name else choice.label
        case = Case(name=own, is_named=name is not None, folder=folder, architecture=choice, **read)
        if case.own_file is not None and not case.own_file.is_file():
            raise UsageError(f"There is no file {case.own_file}; paths start from {folder}.")
        yield case


def input_features(choice: InputChoice, given: int | None) -> int:
    """What was given, what the input fixes, or 16.

    Raises:
        UsageError: Two of them that differ.
    """
    implied = INPUTS[choice.kind].implied_input_size(dict(choice.options))
    if implied is not None and given not in (None, implied):
        raise UsageError(f"The input '{choice.label}' has {implied} features, but input size {given} was given.")
    return implied or given or DEFAULT_INPUT_SIZE


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
    words = {
        "hidden_size": f"h{case.hidden_size}",
        "num_layers": f"l{case.num_layers}",
        "lengths": f"T{','.join(str(length) for length in case.lengths)}",
        "input": case.input.label,
        "input_size": f"i{case.input_size}",
        "batch": f"b{case.batch}",
        "loss": case.loss,
        "seed": f"s{case.seed}",
    }
    differing = [word for key, word in words.items() if len({getattr(other, key) for other in namesakes}) > 1]
    return "/".join([case.name, *differing])
