"""``gradscope run`` and ``gradscope plot``: commands from files, pictures from results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradscope.commands.compare.command import compare
from gradscope.commands.sensitivity.command import sensitivity
from gradscope.commands.spectrum.command import spectrum

COMMANDS = {"compare": compare, "spectrum": spectrum, "sensitivity": sensitivity}


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("run", epilog="Example: gradscope run sample_configs/long_memory.toml --out results")(run)
    app.command("plot", epilog="Example: gradscope plot results")(plot)


def run(
    file: Annotated[
        Path,
        typer.Argument(
            help="A TOML file: command = 'compare', 'spectrum' or 'sensitivity', and the command's options as keys."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write files here.", metavar="DIR")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="As in the command.", metavar="FORMAT")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages.")] = False,
) -> int:
    """Run a command from a TOML file; paths in it start from its folder."""
    from gradscope.running.toml_file import read_toml

    command, given = read_toml(file)
    overrides = {"out": str(out.absolute()) if out else None, "format": format_, "resume": resume, "quiet": quiet}
    given |= {name: value for name, value in overrides.items() if value not in (None, False)}
    return COMMANDS[command](given, file.parent, prefix="")


def plot(folder: Annotated[Path, typer.Argument(help="A folder that a command's --out has written.")]) -> int:
    """Draw the pictures of an earlier run again, from its files, without measuring."""
    from gradscope.running.store import prepare_folder, read_frames, write_pictures

    command, tables = read_frames(folder)
    prepare_folder(folder)
    names = write_pictures(folder, command, tables)
    typer.echo(f"Drew {', '.join(str(folder / f'{name}.png') for name in names)}, and the same as .svg.", err=True)
    return 0
