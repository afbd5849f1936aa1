"""Files that are written whole or not at all, and the lock that keeps two writers apart."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gradscope.errors import UsageError

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.02


def write_whole(path: Path, text: str) -> None:
    """Replaces a file's content in one step: whoever reads it, or is killed at any moment, has the old or the new one.

    The text goes to a new file in the same folder, to the disk, and only then takes the place of the old file.

    Raises:
        UsageError: The file cannot be written.
    """
    path = path.resolve()  # the file behind a link is replaced, not the link
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; name another file.") from None


@contextlib.contextmanager
def locked(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Keeps a file to this process while it reads, changes and writes it.

    The lock is the operating system's, on a file beside it, ``.NAME.lock``; a process that dies gives it back, so it
    cannot be left behind. The lock's file is removed by whoever holds the lock, and whoever gets the lock of a removed
    file tries again.

    Raises:
        UsageError: Another process has kept it for ``patience_seconds``, or the folder cannot be written to.
    """
    path = path.resolve()
    lock = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + patience_seconds
    descriptor = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while descriptor is None:
            descriptor = _try_lock(lock)
            if descriptor is None and time.monotonic() > until:
                raise UsageError(
                    f"Another process has been writing {path} for {patience_seconds:g} s; try again when it has ended."
                )
            if descriptor is None:
                time.sleep(PAUSE_SECONDS)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; name another file.") from None
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):  # of a process that was killed
        part.unlink(missing_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file: it stays, empty, and is used again
            lock.unlink()
        os.close(descriptor)


def _try_lock(lock: Path) -> int | None:
    """The descriptor of the locked file, or None where another process holds it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if _is_ours(descriptor) and _is_still_there(descriptor, lock):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _is_ours(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_still_there(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    except FileNotFoundError:
        return False
