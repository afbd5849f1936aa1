"""The files of a run: written whole or not at all, read back to the same numbers."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradscope.errors import UsageError
from gradscope.running.cell import Cell
from gradscope.running.cell_result import REQUIRED, SUMMARY, TABLES, CellResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
RUN, CELLS = "run.json", "cells"

Frames = dict[str, pd.DataFrame]  # name of a table to its rows
NOT_A_NUMBER = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def prepare_folder(folder: Path) -> None:
    """Makes sure that files can be written to a folder.

    Raises:
        UsageError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".gradscope-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be written: {error.strerror or error}; name another folder.") from None


def frames(results: tuple[CellResult, ...], command: str) -> Frames:
    """The tables of a run."""
    found: Frames = {}
    for name, columns in TABLES[command].items():
        if name == SUMMARY:
            rows = [row for result in results for row in result.summary]
            found[name] = pd.DataFrame(rows, columns=list(columns))
        else:
            joined = {column: [v for result in results for v in result.tables[name][column]] for column in columns}
            found[name] = pd.DataFrame(joined, columns=list(columns))
    return found


def write_frames(folder: Path, tables: Frames) -> None:
    """Each table as ``name.csv``; an empty one is left out, but for the summary."""
    for name, frame in tables.items():
        if len(frame) or name == SUMMARY:
            write_frame(frame, folder / f"{name}.csv")
        else:
            (folder / f"{name}.csv").unlink(missing_ok=True)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """CSV with ``nan``, ``inf`` and ``-inf`` as words."""
    _whole(path, lambda part: frame.to_csv(part, index=False, na_rep="nan"))


def write_json(document: Any, path: Path) -> None:
    """JSON in which numbers that JSON lacks are words."""
    _whole(path, lambda part: part.write_text(json_text(document) + "\n", encoding="utf-8"))


def json_text(document: Any) -> str:
    """The document as JSON, indented."""
    return json.dumps(plain(document), indent=2, allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Numbers that are not finite as words, paths as texts, through lists and dictionaries."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _numbers(value: Any) -> Any:
    """The words of :func:`plain` as numbers again."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return NOT_A_NUMBER.get(value, value) if isinstance(value, str) else value


def write_figure(figure: Figure, path: Path) -> None:
    """``path.png`` and ``path.svg``."""
    part = path.with_name(f".{path.name}-part")
    save(figure, part)
    for suffix in (".png", ".svg"):
        part.with_suffix(suffix).replace(path.with_suffix(suffix))


def save(figure: Figure, path: Path) -> None:
    """Writes ``path.png`` and ``path.svg``, the same bytes for the same picture."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "gradscope", "svg.fonttype": "none"}):
        figure.savefig(path.with_suffix(".png"), dpi=160, format="png")
        figure.savefig(path.with_suffix(".svg"), format="svg", metadata={"Date": None})


def write_pictures(folder: Path, command: str, tables: Frames) -> list[str]:
    """Draws the command's pictures; returns their names."""
    from gradscope.running.pictures import PICTURES

    pictures = PICTURES[command](tables)
    for name, figure in pictures.items():
        write_figure(figure, folder / name)
    return list(pictures)


def read_frames(folder: Path) -> tuple[str, Frames]:
    """The command and the tables of an earlier run.

    Raises:
        UsageError: The folder does not hold them.
    """
    command = _command_of(folder)
    found: Frames = {}
    for name, columns in TABLES[command].items():
        path = folder / f"{name}.csv"
        if not path.is_file() and name not in REQUIRED[command]:
            found[name] = pd.DataFrame(columns=list(columns))
            continue
        if not path.is_file():
            raise UsageError(f"{folder} has no {name}.csv; name a folder that gradscope {command} --out has written.")
        try:
            frame = pd.read_csv(path)
        except (ValueError, UnicodeDecodeError):
            raise UsageError(f"{path} is no table that gradscope has written.") from None
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise UsageError(f"{path} lacks the columns {', '.join(missing)}.")
        if frame.empty:
            raise UsageError(f"{path} has no rows, so there is nothing to draw.")
        found[name] = frame
    return command, found


def _command_of(folder: Path) -> str:
    """What wrote a folder, from its ``run.json``; a comparison where there is none."""
    try:
        command = json.loads((folder / RUN).read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        return "compare"
    return command if command in TABLES else "compare"


def content_hash(path: str) -> str:
    """sha256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class CellStore:
    """Finished cells in a folder, each in a file named by the hash of its definition.

    Args:
        folder: The run's folder.
        resume: Whether cells of earlier runs count.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self._folder, self._resume = folder / CELLS, resume
        self._folder.mkdir(parents=True, exist_ok=True)

    def recall(self, cell: Cell) -> CellResult | None:
        """The result of a cell that an earlier run finished."""
        path = self._folder / f"{cell.key}.json"
        if not self._resume or not path.is_file():
            return None
        try:
            return CellResult(**_numbers(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, TypeError):  # half a file of a crashed run: measured again
            return None

    def keep(self, cell: Cell, result: CellResult) -> None:
        """Writes a finished cell; failures are tried again the next time."""
        if not result.failure:
            text = json.dumps(plain(vars(result)), allow_nan=False)
            _whole(self._folder / f"{cell.key}.json", lambda part: part.write_text(text, encoding="utf-8"))


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    write(part)
    part.replace(path)
