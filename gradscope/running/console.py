"""Results on stdout at full width, messages and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.measure import Measurement

UNLIMITED = 10_000


def print_wide(*renderables: RenderableType) -> None:
    """Prints on stdout: as wide as the content where there is no terminal, and never narrower than it."""
    terminal = Console(file=sys.stdout)
    ruler = Console(width=UNLIMITED)
    for renderable in renderables:
        natural = Measurement.get(ruler, ruler.options, renderable).maximum
        width = max(natural, terminal.width if terminal.is_terminal else 80)
        Console(file=sys.stdout, width=width, soft_wrap=False).print(renderable)


def fits_terminal(renderable: RenderableType) -> bool:
    """Whether stdout is no terminal, or one that is wide enough."""
    terminal, ruler = Console(file=sys.stdout), Console(width=UNLIMITED)
    return not terminal.is_terminal or Measurement.get(ruler, ruler.options, renderable).maximum <= terminal.width


class Messages:
    """What is said on stderr.

    Args:
        quiet: Say nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """One line."""
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command line speaks here

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Callable[[str], None]]:
        """A bar over ``total`` pieces on a terminal; yields what to call after each piece with its name."""
        console = Console(file=sys.stderr)
        if self._quiet or not console.is_terminal:
            yield lambda name: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda name: bar.update(task, advance=1, description=f"{what}: {name}")
