"""The file with a project's cases: ``gradscope.toml``, or the table ``[tool.gradscope]`` of ``pyproject.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradscope.commands.check.cases import Case, cases_of
from gradscope.commands.check.names import CASES_FILE, PROJECT_FILE
from gradscope.errors import UsageError
from gradscope.running.setting import toml_document

STARTER = """\
# Cases of `gradscope baseline record` and `gradscope check`: do gradients still travel back through time as they did?
#
#     gradscope baseline record               measures the cases and writes gradscope-baseline.json; commit both files
#     gradscope check                         measures again and compares: exit code 1 where gradients have changed
#     gradscope check --against origin/main   compares with the code of another revision; needs no baseline
#
# Every key is an option of `gradscope compare` of the same name. What stands here, above the first [[case]], holds for
# all cases; a case may say otherwise. The same can stand in pyproject.toml, as [tool.gradscope] and
# [[tool.gradscope.case]].

lengths = [10, 50, 200]     # sequence lengths; "10..1000" is the series 10, 20, 50, 100, …
hidden-size = 32            # small models are enough, and fast
input-size = 16
batch = 8
seeds = 5                   # each of them draws its own weights, inputs and targets
input = "white"             # or "ar1:rho=0.9", "constant", "wiki-like", "adding", "copy"; see: gradscope list
loss = "last"               # or "mean", "last-probe"

# What is compared, all of it in decades (log10):
#     gradients     norms at about 16 log-spaced steps of every length
#     slope         decades per step, times the length
#     weights       norms of the gradient of every parameter, at the longest length
#     exponent      largest Lyapunov exponent, times the length
#     radius        median spectral radius of the state's Jacobian, times the length
#     sensitivity   how fast the sensitivity to the recurrence grows with memory; for models with a memory dial
gate = ["gradients", "slope", "weights"]

# tolerance = 0.01          # decades; never below 0.01, nor below ten times the rounding noise that is measured

[[case]]
arch = "lstm:forget_bias=1"

[[case]]
arch = ["gru", "lru"]       # one case each, called "gru" and "lru"
# num-layers = 2

# A class of your own, from a file beside this one (or package.module:ClassName); options follow after colons.
# [[case]]
# name = "my cell"
# arch = "my_cell.py:MyCell:forget_bias=1"
# gate = ["gradients", "slope", "weights", "exponent"]
"""


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
