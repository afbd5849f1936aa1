"""``gradscope sensitivity``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gradscope.running.settings import SENSITIVITY
from gradscope.running.typer_options import command_function

if TYPE_CHECKING:
    import pandas as pd

    from gradscope.running.execution import Answer

_EPILOG = (
    "Examples: gradscope sensitivity · gradscope sensitivity --arch lru,lstm --lambda 0.9..0.9999 --out results · "
    "gradscope sensitivity --input ar1:rho=0.9 --parametrization direct,exp-exp,polar --normalization none,sqrt · "
    "gradscope sensitivity --depth 4 --hessian --landscape --out results"
)
_HELP = (
    "Measure the curse of memory: how the state's sensitivity to the recurrence grows as |λ| approaches 1.\n\n"
    "The scalar law for every parametrisation and normalisation, beside exact theory, and architectures swept over "
    "their memory dial. Exponents are slopes of log E against log(1 − |λ|). Cursed: E|dh/dω|² grows with an exponent "
    "below −2.5; mitigated: above −0.5; softened: between. Exit codes: 0 done, 2 wrong use, 4 some cells failed, "
    "130 interrupted."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sensitivity", epilog=_EPILOG)(
        command_function(SENSITIVITY, lambda given: sensitivity(given, Path.cwd()), _HELP)
    )


def sensitivity(given: dict[str, Any], folder: Path, prefix: str = "--") -> int:
    """Runs the command with the settings that were given; returns the exit code."""
    from gradscope.commands.sensitivity.configuration import sensitivity_configuration

    configuration = sensitivity_configuration(given, folder=folder, prefix=prefix)
    from gradscope.commands.sensitivity.plan import plan_sensitivity
    from gradscope.running.execution import execute

    return execute(configuration, plan_sensitivity, _answer())


def _answer() -> Answer:
    from gradscope.commands.sensitivity.depth_table import depth_findings, depth_markdown, depth_table
    from gradscope.commands.sensitivity.hessian_table import hessian_findings, hessian_markdown, hessian_table
    from gradscope.commands.sensitivity.table import findings, sensitivity_markdown, sensitivity_table
    from gradscope.running.execution import Answer

    parts: dict[str, tuple[Any, Any, Any]] = {
        "summary": (sensitivity_table, sensitivity_markdown, findings),
        "depth": (depth_table, depth_markdown, depth_findings),
        "students": (hessian_table, hessian_markdown, hessian_findings),
    }

    def each(kind: int, tables: Mapping[str, pd.DataFrame]) -> list[Any]:
        return [functions[kind](tables[name]) for name, functions in parts.items() if len(tables[name])]

    return Answer(
        tables=lambda tables, deviations: each(0, tables),
        markdown=lambda tables: "\n\n".join(each(1, tables)),
        findings=lambda tables: [sentence for sentences in each(2, tables) for sentence in sentences],
        shown=tuple(parts),
    )
