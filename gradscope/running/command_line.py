"""How a command that measures stands on the command line, and how it is run from there or from a file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.running.command import MeasuringCommand
from gradscope.running.setting import Setting, shown_name


def add_to(app: typer.Typer, command: MeasuringCommand) -> None:
    """Adds the command: its parameters are the options, and what is not given does not reach it."""

    def function(**given: Any) -> int:
        chosen = {name: value for name, value in given.items() if value not in (None, False)}
        return run_command(command, chosen, Path.cwd())

    function.__doc__ = command.help
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_parameter(name, setting) for name, setting in command.options.items()], return_annotation=int
    )
    app.command(command.name, epilog=command.epilog)(function)


def run_command(command: MeasuringCommand, given: Mapping[str, Any], folder: Path, prefix: str = "--") -> int:
    """Runs the command with the settings that were given; returns the exit code."""
    configuration = command.configure(given, folder=folder, prefix=prefix)
    from gradscope.running.execution import execute

    return execute(command, configuration)


def _parameter(name: str, setting: Setting) -> inspect.Parameter:
    flag = f"--{shown_name(name)}"
    default = "" if setting.default is None else f" [default: {setting.default}]"
    text = f"{setting.help}{default}"
    if setting.is_flag:
        kind: Any = Annotated[bool, typer.Option(flag, help=text, rich_help_panel=setting.panel)]
    else:
        option = typer.Option(
            flag, help=text, metavar=setting.metavar, rich_help_panel=setting.panel, show_default=False
        )
        kind = Annotated[str | None, option]
    value = False if setting.is_flag else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
