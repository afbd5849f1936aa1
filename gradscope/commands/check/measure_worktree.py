"""What runs in the process of :mod:`gradscope.commands.check.against`: it reads and measures cases, and writes numbers.

python -m gradscope.commands.check.measure_worktree ASKED.json ANSWERED.json
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradscope.commands.check.cases import Case, cases_of
from gradscope.commands.check.measure import measure_cases
from gradscope.commands.check.measured_case import FailedCase, plain_case
from gradscope.commands.check.names import CASES_FILE
from gradscope.commands.check.worktree import is_source, own_gradscope
from gradscope.errors import UsageError
from gradscope.own.import_class import load_class

FILE = Path(CASES_FILE)  # what messages about a table call its file


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Numbers of cases, and why the others failed; or why all of this was refused.

    Args:
        asked: ``tree``, the worktree; ``repository``, whose other revision it is; ``folder``, where relative paths of
            cases start; and ``cases``, tables as in a case file; ``path``, folders with modules of the revision.
    """
    tree, repository, folder = (Path(asked[key]) for key in ("tree", "repository", "folder"))
    failed: dict[str, str] = {}
    cases: list[Case] = []
    for table in asked["cases"]:
        try:
            cases += cases_of({"case": [table]}, FILE, folder)
        except UsageError as error:
            failed[table["name"]] = str(error).removeprefix(f"{FILE}, case 1: ")
    try:
        for case in cases:
            check_loaded(case, tree, "the revision")
        measured = measure_cases(cases)
        _check_everything_loaded(tree, repository)
    except UsageError as error:
        return {"refused": str(error)}
    failed |= {found.name: found.reason for found in measured if isinstance(found, FailedCase)}
    return {
        "cases": {found.name: plain_case(found) for found in measured if not isinstance(found, FailedCase)},
        "failed": failed,
    }


def check_loaded(case: Case, tree: Path, what: str) -> None:
    """Loads the module of a user's class and raises :class:`UsageError` unless it lies in a tree, called ``what``."""
    if not case.architecture.is_own:
        return
    with contextlib.suppress(UsageError):  # what is no class here fails as a case, with its own sentence
        load_class(case.architecture.name, case.folder)
    module = case.architecture.name.rpartition(":")[0]
    loaded = sys.modules.get(module) if case.architecture.own_file is None else None
    place = getattr(loaded, "__file__", None) if loaded is not None else case.architecture.own_file
    if loaded is None and case.architecture.own_file is None:
        return
    if place is None or not is_source(Path(place).resolve(), tree):
        raise UsageError(
            f"{case.name}: the module {module} was loaded from {place or 'nowhere'}, which is not part of {what}; name "
            "its file, or put its source folder first on PYTHONPATH."
        )


def _check_everything_loaded(tree: Path, repository: Path) -> None:
    """Raises :class:`UsageError` for a module of the working copy among those of the revision."""
    is_ours = own_gradscope(tree) is not None
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if not place or (name.partition(".")[0] == "gradscope" and not is_ours):
            continue
        path = Path(place).resolve()
        if is_source(path, repository) and not path.is_relative_to(tree):
            raise UsageError(
                f"the module {name} was loaded from the working copy, {path}; import it so that the revision's own is "
                "found, without a path that is written into the code or the installation."
            )


def main(arguments: Sequence[str]) -> None:
    """Reads and writes the two files."""
    asked, answered = (Path(argument) for argument in arguments)
    question = json.loads(asked.read_text(encoding="utf-8"))
    installed = [
        index for index, entry in enumerate(sys.path) if Path(entry).name in ("site-packages", "dist-packages")
    ]
    at = min(installed, default=len(sys.path))  # behind the standard library, before what is installed
    sys.path[at:at] = question["path"]
    found = answer(question)
    answered.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
