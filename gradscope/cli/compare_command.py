"""``gradscope compare``, ``gradscope run`` and ``gradscope plot``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.config.settings import COMPARE, Setting

_EPILOG = (
    "Examples: gradscope compare · gradscope compare --arch lstm,rrn,lru --lengths 10..1000 --out results · "
    "gradscope compare --arch lstm:chrono=1000,lstm:forget_bias=0|1 --relative-to lstm:forget_bias=0 · "
    "gradscope compare --arch my_cell.py:MyCell,gru --data series.csv"
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("compare", epilog=_EPILOG)(_compare_command())
    app.command("run", epilog="Example: gradscope run sample_configs/long_memory.toml --out results")(run)
    app.command("plot", epilog="Example: gradscope plot results")(plot)


def _compare_command() -> Any:
    """A function whose parameters are the settings table's entries."""

    def compare(**given: Any) -> int:
        return _compare({name: value for name, value in given.items() if value not in (None, False)}, Path.cwd())

    compare.__doc__ = (
        "Compare how far gradients travel back through time, exactly, at every length.\n\n"
        "One row an architecture: log10 of the gradient norm at the first step relative to the last, decades per step, "
        "horizons, where float32 and float16 lose it, a verdict and what to try. Verdict: vanishing or exploding from "
        "two decades on, saturated for an exact zero. Exit codes: 0 done, 2 wrong use, 4 some cells failed, "
        "130 interrupted."
    )
    compare.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_parameter(name, setting) for name, setting in COMPARE.items()], return_annotation=int
    )
    return compare


def _parameter(name: str, setting: Setting) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    default = "" if setting.is_flag or setting.default is None else f" [default: {setting.default}]"
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


def _compare(given: dict[str, Any], folder: Path, prefix: str = "--") -> int:
    from gradscope.config.compare import compare_configuration

    configuration = compare_configuration(given, folder=folder, prefix=prefix)
    from gradscope.cli.comparison import run_comparison

    return run_comparison(configuration)


def run(
    file: Annotated[Path, typer.Argument(help="A TOML file: command = 'compare' and the command's options as keys.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write files here.", metavar="DIR")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="As in compare.", metavar="FORMAT")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages.")] = False,
) -> int:
    """Run a command from a TOML file; paths in it start from its folder."""
    from gradscope.config.toml_file import read_toml

    _, given = read_toml(file)
    overrides = {"out": str(out.absolute()) if out else None, "format": format_, "resume": resume, "quiet": quiet}
    given |= {name: value for name, value in overrides.items() if value not in (None, False)}
    return _compare(given, file.parent, prefix="")


def plot(folder: Annotated[Path, typer.Argument(help="A folder that compare --out has written.")]) -> int:
    """Draw the pictures of an earlier run again, from its files, without measuring."""
    from gradscope.store import prepare_folder, read_frames, write_pictures

    gradients, summary = read_frames(folder)
    prepare_folder(folder)
    write_pictures(folder, gradients, summary)
    typer.echo(
        f"Drew {folder / 'gradient_norms.png'} and {folder / 'length_sweep.png'}, and the same as .svg.", err=True
    )
    return 0
