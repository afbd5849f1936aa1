"""The same cases with the code of another revision, measured in this job and environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import gradscope
from gradscope.commands.check.case_file import read_cases
from gradscope.commands.check.cases import Case
from gradscope.commands.check.measure_worktree import check_loaded
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase, read_case
from gradscope.commands.check.worktree import SOURCE_FOLDERS, is_source, own_gradscope, repository_of, worktree
from gradscope.errors import UsageError

# What runs in the other revision's process; a gradscope of its own may still have it in its earlier place.
_MEASURING, _EARLIER = "gradscope.commands.check.measure_worktree", "gradscope.regression.measure_worktree"


def measure_at(
    revision: str, case_file: Path, folder: Path, names: Collection[str] | None = None
) -> tuple[MeasuredCase | FailedCase, ...]:
    """The numbers of a file's cases with the code of another revision.

    A worktree of the revision is measured in a process of its own, which starts in the folder's counterpart, with the
    worktree first on its path. The cases are those of the file as it is now; a case whose class the revision does not
    have is a failed one. gradscope itself is the installed one, unless the revision holds a gradscope of its own.

    Args:
        revision: A branch, tag or commit.
        case_file: The file with the cases.
        folder: The current folder.
        names: Of the cases to measure; all by default.

    Raises:
        UsageError: No repository, no such revision, or code that was loaded from elsewhere than the worktree.
    """
    cases = [case for case in read_cases(folder, case_file).cases if names is None or case.name in names]
    home = (folder / case_file).resolve().parent
    repository = repository_of(home)
    for case in cases:
        _check_inside(case, repository)
    with worktree(repository, revision) as tree, tempfile.TemporaryDirectory(prefix="gradscope-against-") as exchange:
        counterpart = tree / home.relative_to(repository)
        start = _counterpart(folder.resolve(), repository, tree)
        sources = [start, counterpart, *(tree / part for part in SOURCE_FOLDERS), *_mapped(sys.path, repository, tree)]
        asked, answered = Path(exchange) / "asked.json", Path(exchange) / "answered.json"
        asked.write_text(
            json.dumps(
                {
                    "tree": str(tree),
                    "repository": str(repository),
                    "folder": str(counterpart),
                    "path": list(dict.fromkeys(map(str, sources))),
                    "cases": [case.as_table() for case in cases],
                }
            ),
            encoding="utf-8",
        )
        answer = _answer(revision, start, tree, repository, asked, answered)
    return tuple(_read(case.name, answer, revision, tree) for case in cases)


def check_working_copy(cases: Iterable[Case], case_file: Path) -> None:
    """What is compared with another revision is the repository's own code, not a copy that is installed somewhere.

    Raises:
        UsageError: A user's class was loaded from elsewhere, or there is no repository.
    """
    repository = repository_of(case_file.resolve().parent)
    for case in cases:
        check_loaded(case, repository, "the working copy")


def _check_inside(case: Case, repository: Path) -> None:
    file = case.architecture.own_file
    if file is not None and not file.resolve().is_relative_to(repository):
        raise UsageError(
            f"{case.name}: {file} lies outside the repository {repository}, so there is no other revision of "
            "it; compare with a baseline instead."
        )


def _counterpart(folder: Path, repository: Path, tree: Path) -> Path:
    """The same folder in the worktree, or its top where there is none."""
    if folder.is_relative_to(repository) and (tree / folder.relative_to(repository)).is_dir():
        return tree / folder.relative_to(repository)
    return tree


def _answer(revision: str, start: Path, tree: Path, repository: Path, asked: Path, answered: Path) -> dict[str, Any]:
    own = own_gradscope(tree)
    entry = _MEASURING if own is None else next((m for m in (_MEASURING, _EARLIER) if _holds(own, m)), None)
    if entry is None:
        raise UsageError(
            f"The gradscope at {revision} has no regression checks yet, so its architectures cannot be measured; "
            "compare with a later revision, or with a baseline."
        )
    given = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    inside = list(_mapped(map(str, given), repository, tree))
    path = [own.parent] if own is not None else []
    path += [*inside, *(entry for entry in given if not is_source(entry.resolve(), repository))]
    if own is None:
        path += _installed()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, path)))}
    command = [sys.executable, "-P", "-m", entry, str(asked), str(answered)]
    done = subprocess.run(command, cwd=start, env=environment, capture_output=True, text=True, check=False)
    if not answered.exists():
        said = done.stderr.strip().splitlines()
        raise UsageError(
            f"The code at {revision} could not be measured: the process ended with code {done.returncode}"
            f"{': ' + said[-1] if said else ''}."
        )
    answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    if "refused" in answer:
        raise UsageError(f"--against {revision} would not compare two revisions: {answer['refused']}")
    return answer


def _holds(package: Path, module: str) -> bool:
    return (package.parent / f"{module.replace('.', '/')}.py").is_file()


def _mapped(path: Iterable[str], repository: Path, tree: Path) -> Iterator[Path]:
    """Of a path to modules, the repository's own folders in their other revision."""
    for entry in filter(None, path):
        place = Path(entry).resolve()
        if is_source(place, repository):
            yield tree / place.relative_to(repository)


def _installed() -> list[Path]:
    """Where this gradscope lies, unless every process of this environment finds it anyway."""
    home = Path(gradscope.__file__).resolve().parents[1]
    return [] if {"site-packages", "dist-packages"} & set(home.parts) else [home]


def _read(name: str, answer: dict[str, Any], revision: str, tree: Path) -> MeasuredCase | FailedCase:
    if name in answer["cases"]:
        return read_case(name, answer["cases"][name], revision)
    reason: str = answer["failed"][name]
    return FailedCase(name, reason.replace(f"{tree}/", f"{revision}:").replace(str(tree), revision))
