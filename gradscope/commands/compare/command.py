"""``gradscope compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gradscope.running.settings import COMPARE
from gradscope.running.typer_options import command_function

if TYPE_CHECKING:
    from gradscope.commands.compare.configuration import CompareConfiguration
    from gradscope.running.execution import Answer

_EPILOG = (
    "Examples: gradscope compare · gradscope compare --arch lstm,rrn,lru --lengths 10..1000 --out results · "
    "gradscope compare --arch lstm:chrono=1000,lstm:forget_bias=0|1 --relative-to lstm:forget_bias=0 · "
    "gradscope compare --arch my_cell.py:MyCell,gru --data series.csv"
)
_HELP = (
    "Compare how far gradients travel back through time, exactly, at every length.\n\n"
    "One row an architecture: log10 of the gradient norm at the first step relative to the last, decades per step, "
    "horizons, where float32 and float16 lose it, a verdict and what to try. Verdict: vanishing or exploding from "
    "two decades on, saturated for an exact zero. Exit codes: 0 done, 2 wrong use, 4 some cells failed, "
    "130 interrupted."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("compare", epilog=_EPILOG)(command_function(COMPARE, lambda given: compare(given, Path.cwd()), _HELP))


def compare(given: dict[str, Any], folder: Path, prefix: str = "--") -> int:
    """Runs the command with the settings that were given; returns the exit code."""
    from gradscope.commands.compare.configuration import compare_configuration

    configuration = compare_configuration(given, folder=folder, prefix=prefix)
    from gradscope.commands.compare.plan import plan_comparison
    from gradscope.running.execution import execute

    return execute(configuration, plan_comparison, _answer(configuration))


def _answer(configuration: CompareConfiguration) -> Answer:
    from gradscope.commands.compare.sentences import findings
    from gradscope.commands.compare.table import comparison_markdown, comparison_table
    from gradscope.running.execution import Answer

    options: dict[str, Any] = {"relative_to": configuration.relative_to, "clip_norm": configuration.clip_norm}
    return Answer(
        tables=lambda tables, deviations: [comparison_table(tables["summary"], deviations=deviations, **options)],
        markdown=lambda tables: comparison_markdown(tables["summary"], **options),
        findings=lambda tables: findings(tables["summary"]),
    )
