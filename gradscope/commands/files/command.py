"""``gradscope run`` and ``gradscope plot``: commands from files, pictures from results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.commands import MEASURING
from gradscope.errors import DONE, UnknownName, UsageError
from gradscope.homes import load
from gradscope.running.command import MeasuringCommand
from gradscope.running.command_line import run_command
from gradscope.running.grammar import listed
from gradscope.running.setting import settings_of_table, toml_document

DEFAULT_COMMAND = "compare"
_NAMED = listed([f"'{name}'" for name in MEASURING], "or")


def register_run(app: typer.Typer) -> None:
    """Adds ``gradscope run``."""
    app.command("run", epilog="Example: gradscope run sample_configs/long_memory.toml --out results")(run)


def register_plot(app: typer.Typer) -> None:
    """Adds ``gradscope plot``."""
    app.command("plot", epilog="Example: gradscope plot results")(plot)


def run(
    file: Annotated[
        Path,
        typer.Argument(help=f"A TOML file: command = {_NAMED}, and the command's options as keys."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write files here.", metavar="DIR")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="As in the command.", metavar="FORMAT")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages.")] = False,
) -> int:
    """Run a command from a TOML file; paths in it start from its folder."""
    command, given = read_toml(file)
    overrides = {"out": str(out.absolute()) if out else None, "format": format_, "resume": resume, "quiet": quiet}
    given |= {name: value for name, value in overrides.items() if value not in (None, False)}
    return run_command(command, given, file.parent, prefix="")


def read_toml(file: Path) -> tuple[MeasuringCommand, dict[str, Any]]:
    """The command of a file, and its settings by name.

    Args:
        file: A TOML file whose keys are the command's options, with dashes or underscores.

    Raises:
        UsageError: No such file, no TOML, or a key given twice.
        UnknownName: No such command or key; names the nearest.
    """
    document = toml_document(file)
    if "case" in document:
        raise UsageError(f"{file} holds cases of a regression check; measure them with gradscope check --cases {file}.")
    name = document.pop("command", DEFAULT_COMMAND)
    if not isinstance(name, str) or name not in MEASURING:
        raise UnknownName(f"command in {file}", str(name), MEASURING)
    command: MeasuringCommand = load(MEASURING[name])
    return command, settings_of_table(command.options, document, f"key in {file}", f"{file}: ")


def plot(folder: Annotated[Path, typer.Argument(help="A folder that a command's --out has written.")]) -> int:
    """Draw the pictures of an earlier run again, from its files, without measuring."""
    from gradscope.running.store import command_of, prepare_folder, read_frames, write_pictures

    name = command_of(folder)
    command: MeasuringCommand = load(MEASURING[name if name in MEASURING else DEFAULT_COMMAND])
    tables = read_frames(folder, command)
    prepare_folder(folder)
    pictures = command.pictures_of(tables)
    write_pictures(folder, pictures)
    typer.echo(f"Drew {', '.join(str(folder / f'{name}.png') for name in pictures)}, and the same as .svg.", err=True)
    return DONE
