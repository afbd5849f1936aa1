"""Runs a command's sweep and answers it."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import typer

from gradscope import __version__
from gradscope.running import store
from gradscope.running.cell import Cell
from gradscope.running.cell_result import SUMMARY
from gradscope.running.configuration import RunConfiguration
from gradscope.running.console import Messages, fits_terminal, print_wide
from gradscope.running.interruption import remembered_interrupt
from gradscope.running.plan import Plan
from gradscope.running.run_cell import run_cell
from gradscope.running.runner import SweepOutcome, run_sweep

if TYPE_CHECKING:
    from rich.table import Table

DONE, SOME_FAILED, INTERRUPTED = 0, 4, 130
AnyConfiguration = TypeVar("AnyConfiguration", bound=RunConfiguration)


@dataclass(frozen=True)
class Answer:
    """How the tables of a run are shown to people; every function takes all of them.

    Attributes:
        tables: Rich tables, with or without deviations over seeds.
        markdown: The same as Markdown.
        findings: What they say, in sentences.
        shown: Names of the tables behind them.
    """

    tables: Callable[[store.Frames, bool], list[Table]]
    markdown: Callable[[store.Frames], str]
    findings: Callable[[store.Frames], list[str]]
    shown: tuple[str, ...] = (SUMMARY,)


def execute(configuration: AnyConfiguration, make_plan: Callable[[AnyConfiguration], Plan], answer: Answer) -> int:
    """Measures, writes the files, prints the result; returns the exit code."""
    started = time.perf_counter()
    messages = Messages(quiet=configuration.quiet)
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    plan = make_plan(configuration)
    if configuration.out is not None:
        store.prepare_folder(configuration.out)
    for text in plan.messages:
        messages.say(text)
    outcome = _sweep(plan, configuration, messages)
    if outcome.results:
        _report(configuration, plan, outcome, time.perf_counter() - started, messages, answer)
    return _exit_code(plan, outcome, configuration, messages)


def _sweep(plan: Plan, configuration: RunConfiguration, messages: Messages) -> SweepOutcome:
    memory = store.CellStore(configuration.out, resume=configuration.resume) if configuration.out else None
    with remembered_interrupt() as check, messages.progress(len(plan.cells), "Measuring") as advance:

        def finished(cell: Cell) -> None:
            advance(f"{cell.label}, seed {cell.seed}")
            check()

        outcome = run_sweep(plan.cells, memory=memory, run=run_cell, finished=finished)
    if outcome.recalled:
        messages.say(f"{outcome.recalled} of {len(plan.cells)} cells were finished by an earlier run.")
    for text in dict.fromkeys(note for result in outcome.results for note in (*result.notes, result.failure) if note):
        messages.say(text)
    return outcome


def _report(
    configuration: RunConfiguration,
    plan: Plan,
    outcome: SweepOutcome,
    elapsed_seconds: float,
    messages: Messages,
    answer: Answer,
) -> None:
    tables = store.frames(outcome.results, configuration.command)
    document = _run_document(configuration, plan, outcome, elapsed_seconds)
    if configuration.out is not None:
        store.write_frames(configuration.out, tables)
        store.write_json(document, configuration.out / store.RUN)
        if any(len(frame) for name, frame in tables.items() if name != SUMMARY):
            store.write_pictures(configuration.out, configuration.command, tables)
        messages.say(f"Wrote {configuration.out}: tables, pictures and run.json.")
    _print(configuration, tables, document, answer)


def _print(configuration: RunConfiguration, tables: store.Frames, document: dict[str, Any], answer: Answer) -> None:
    findings = answer.findings(tables)
    if configuration.format == "json":
        rows = {name: tables[name].to_dict(orient="records") for name in answer.shown}
        typer.echo(store.json_text(document | {"findings": findings} | rows))
    elif configuration.format == "csv":
        typer.echo(tables[SUMMARY].to_csv(index=False, na_rep="nan"), nl=False)
    elif configuration.format == "markdown":
        typer.echo(answer.markdown(tables) + "\n\n" + " ".join(findings))
    else:
        for full, short in zip(answer.tables(tables, True), answer.tables(tables, False), strict=True):
            print_wide(full if fits_terminal(full) else short)
        typer.echo("\n".join(findings))


def _run_document(
    configuration: RunConfiguration, plan: Plan, outcome: SweepOutcome, elapsed_seconds: float
) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    return {
        "schema_version": store.SCHEMA_VERSION,
        "command": configuration.command,
        "configuration": configuration.as_plain(),
        "hidden_sizes": {cell.label: cell.hidden_size for cell in plan.cells},
        "input_size": plan.cells[0].input_size,
        "versions": {
            "gradscope": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pandas": pd.__version__,
        },
        "platform": sys.platform,
        "device": plan.device,
        "dtype": configuration.dtype,
        "threads": torch.get_num_threads(),
        "seeds": list(configuration.seed_numbers),
        "interrupted": outcome.interrupted,
        "notes": list(dict.fromkeys(note for result in outcome.results for note in result.notes)),
        "failures": [result.failure for result in outcome.results if result.failure],
        "elapsed_seconds": elapsed_seconds,
    }


def _exit_code(plan: Plan, outcome: SweepOutcome, configuration: RunConfiguration, messages: Messages) -> int:
    if outcome.interrupted:
        done = f"Interrupted after {len(outcome.results)} of {len(plan.cells)} cells"
        again = "; go on with --resume" if configuration.out else "; with --out DIR a run can be resumed"
        messages.say(f"{done}{again}.")
        return INTERRUPTED
    bad = sum(not result.is_measured for result in outcome.results)
    if bad:
        messages.say(f"{bad} of {len(plan.cells)} cells failed or gave values that are not finite.")
    return SOME_FAILED if bad else DONE
