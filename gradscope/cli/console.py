"""Results on stdout at full width, messages and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.measure import Measurement

UNLIMITED = 10_000


def print_wide(*renderables: RenderableType) -> None:
    """Prints on stdout; uncropped, at the renderable's own width, where stdout is no terminal or a narrow one."""
    terminal = Console(file=sys.stdout)
    ruler = Console(width=UNLIMITED)
    for renderable in renderables:
        natural = Measurement.get(ruler, ruler.options, renderable).maximum
        width = max(natural, terminal.width) if terminal.is_terminal else max(natural, 80)
        Console(file=sys.stdout, width=width, soft_wrap=False).print(renderable)


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
