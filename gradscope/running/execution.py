"""Runs a command's sweep and answers it."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
import typer

from gradscope import __version__
from gradscope.errors import DONE, INTERRUPTED, SOME_FAILED
from gradscope.running import store
from gradscope.running.cell import SUMMARY, Cell
from gradscope.running.command import MeasuringCommand, Report
from gradscope.running.configuration import RunConfiguration
from gradscope.running.console import Messages, fits_terminal, print_wide
from gradscope.running.plain import json_text
from gradscope.running.plan import Plan
from gradscope.running.runner import SweepOutcome, remembered_interrupt, run_cell, run_sweep


def execute(command: MeasuringCommand, configuration: RunConfiguration) -> int:
    """Measures, writes the files, prints the result; returns the exit code."""
    started = time.perf_counter()
    messages = Messages(quiet=configuration.quiet)
    torch.set_num_threads(configuration.threads)
    plan = command.plan_of(configuration)
    if configuration.out is not None:
        store.prepare_folder(configuration.out)
    for text in plan.messages:
        messages.say(text)
    outcome = _sweep(plan, command, configuration, messages)
    if outcome.results:
        _report(command, configuration, plan, outcome, time.perf_counter() - started, messages)
    return _exit_code(plan, outcome, configuration, messages)


def _sweep(plan: Plan, command: MeasuringCommand, configuration: RunConfiguration, messages: Messages) -> SweepOutcome:
    """The cells of the plan, and round by round those that follow from what they gave."""
    memory = store.CellStore(configuration.out, resume=configuration.resume) if configuration.out else None

    def measured(cells: Sequence[Cell], what: str) -> SweepOutcome:
        with remembered_interrupt() as check, messages.progress(len(cells), what) as advance:

            def finished(cell: Cell) -> None:
                advance(f"{cell.label}, seed {cell.seed}")
                check()

            return run_sweep(cells, memory=memory, run=run_cell, finished=finished)

    outcome = measured(plan.cells, "Measuring")
    if outcome.recalled:
        messages.say(f"{outcome.recalled} of {len(plan.cells)} cells were finished by an earlier run.")
    while not outcome.interrupted:
        more = command.cells_after(configuration, plan, store.frames(outcome.results, command.columns))
        if not more:
            break
        outcome = outcome.followed_by(measured(more, "Trying what may help"))
    for text in dict.fromkeys(note for result in outcome.results for note in (*result.notes, result.failure) if note):
        messages.say(text)
    return outcome


def _report(
    command: MeasuringCommand,
    configuration: RunConfiguration,
    plan: Plan,
    outcome: SweepOutcome,
    elapsed_seconds: float,
    messages: Messages,
) -> None:
    tables = store.frames(outcome.results, command.columns)
    document = _run_document(configuration, plan, outcome, elapsed_seconds)
    if configuration.out is not None:
        store.write_frames(configuration.out, tables)
        store.write_json(document, configuration.out / store.RUN)
        if any(len(frame) for name, frame in tables.items() if name != SUMMARY):
            store.write_pictures(configuration.out, command.pictures_of(tables))
        messages.say(f"Wrote {configuration.out}: tables, pictures and run.json.")
    _print(configuration, tables, document, command.report_of(configuration))


def _print(configuration: RunConfiguration, tables: store.Frames, document: dict[str, Any], report: Report) -> None:
    findings = report.findings(tables)
    if configuration.format == "json":
        rows = {name: tables[name].to_dict(orient="records") for name in report.shown}
        typer.echo(json_text(document | {"findings": findings} | rows))
    elif configuration.format == "csv":
        typer.echo(tables[SUMMARY].to_csv(index=False, na_rep="nan"), nl=False)
    elif configuration.format == "markdown":
        typer.echo(report.markdown(tables) + "\n\n" + " ".join(findings))
    else:
        for full, short in zip(report.tables(tables, True), report.tables(tables, False), strict=True):
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
        "input_size": plan.cells[0].input.input_size,
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
        done = f"Interrupted after {min(len(outcome.results), len(plan.cells))} of {len(plan.cells)} cells"
        again = "; go on with --resume" if configuration.out else "; with --out DIR a run can be resumed"
        messages.say(f"{done}{again}.")
        return INTERRUPTED
    bad = sum(not result.is_measured for result in outcome.results)
    if bad:
        messages.say(f"{bad} of {len(plan.cells)} cells failed, are saturated, or gave values that are not finite.")
    return SOME_FAILED if bad else DONE
