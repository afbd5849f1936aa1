"""Ctrl-C that is not lost: an interrupt that arrives inside a callback is swallowed there, and remembered here."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """While active, SIGINT raises KeyboardInterrupt as always; what is yielded raises it again if it was swallowed."""
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield check
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
