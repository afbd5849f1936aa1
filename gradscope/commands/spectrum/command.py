"""``gradscope spectrum``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gradscope.running.settings import SPECTRUM
from gradscope.running.typer_options import command_function

if TYPE_CHECKING:
    from gradscope.running.execution import Answer

_EPILOG = (
    "Examples: gradscope spectrum · gradscope spectrum --arch rnn,lstm,gru,lru --length 200 --out results · "
    "gradscope spectrum --arch sc-lstm-i:alpha=0.2|0.5|1 --lyapunov 4 · "
    "gradscope spectrum --arch my_cell.py:MyCell --steps last · gradscope spectrum --arch transformer,lstm --temporal"
)
_HELP = (
    "Measure why gradients die or survive: the state Jacobian's eigenvalues, singular values, Lyapunov exponents.\n\n"
    "One row an architecture: spectral radius and largest singular value of one step (median over the steps), exp of "
    "the largest and the median Lyapunov exponent (growth a step in the long run), the share of eigenvalues above "
    "0.99, the longest time constant. Verdict, from the largest exponent: marginal within two standard errors of 0 or "
    "1/T, else contracting or expanding. Exit codes: 0 done, 2 wrong use, 4 some cells failed or were not finite, "
    "130 interrupted."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("spectrum", epilog=_EPILOG)(
        command_function(SPECTRUM, lambda given: spectrum(given, Path.cwd()), _HELP)
    )


def spectrum(given: dict[str, Any], folder: Path, prefix: str = "--") -> int:
    """Runs the command with the settings that were given; returns the exit code."""
    from gradscope.commands.spectrum.configuration import spectrum_configuration

    configuration = spectrum_configuration(given, folder=folder, prefix=prefix)
    from gradscope.commands.spectrum.plan import plan_spectrum
    from gradscope.running.execution import execute

    return execute(configuration, plan_spectrum, _answer())


def _answer() -> Answer:
    from gradscope.commands.spectrum.sentences import findings
    from gradscope.commands.spectrum.table import spectrum_markdown, spectrum_table
    from gradscope.running.execution import Answer

    return Answer(
        tables=lambda tables, deviations: [spectrum_table(tables["summary"], deviations=deviations)],
        markdown=lambda tables: spectrum_markdown(tables["summary"]),
        findings=lambda tables: findings(tables["summary"]),
    )
