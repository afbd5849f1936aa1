"""The application and its one error boundary."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from gradscope import __version__
from gradscope.commands import MEASURING, OTHERS
from gradscope.errors import DONE, INTERRUPTED, WRONG_USE, GradscopeError
from gradscope.homes import load
from gradscope.running.command_line import add_to

# typer shows its errors in a box; their class, the most general one that can format a message, has had several names.
_CLICK_ERROR: Any = [kind for kind in typer.BadParameter.__mro__ if hasattr(kind, "format_message")][-1]

HELP = "Does my gradient survive the trip back through time, and why?"
EPILOG = (
    "Examples: gradscope compare · gradscope compare --arch lstm,rrn,lru --lengths 10..1000 --out results · "
    "gradscope spectrum --arch lstm,rrn,lru --out results · gradscope list · gradscope explain lstm"
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gradscope {__version__}")
        raise typer.Exit


def application(asked: str) -> typer.Typer:
    """The application with the command that was asked for, or with all of them where it is none of them."""
    app = typer.Typer(
        name="gradscope",
        help=HELP,
        epilog=EPILOG,
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    every = [*MEASURING, *OTHERS]
    for name in [asked] if asked in every else every:
        if name in MEASURING:
            add_to(app, load(MEASURING[name]))
        else:
            load(OTHERS[name])(app)
    return app


def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Runs the command line and exits; a user's mistake is one sentence on stderr and exit code 2."""
    warnings.filterwarnings("ignore", module=r"torch(\.|$)")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code."""
    asked = next((word for word in arguments if not word.startswith("-")), "")
    try:
        code = application(asked)(args=arguments, standalone_mode=False, prog_name="gradscope")
    except GradscopeError as error:
        return _refused(str(error), error.exit_code)
    except _CLICK_ERROR as error:
        return _refused(_sentence(error), WRONG_USE)
    except (KeyboardInterrupt, typer.Abort):
        return _refused("Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    return code if isinstance(code, int) else DONE


def _sentence(error: Any) -> str:
    """A click error as one sentence."""
    message = " ".join(str(error.format_message()).split())
    return message if message.endswith((".", "?")) else f"{message}."


def _refused(sentence: str, code: int) -> int:
    typer.echo(f"gradscope: {sentence}", err=True)
    return code
