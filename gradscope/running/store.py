"""The files of a run: written whole or not at all, read back to the same numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradscope.errors import UsageError
from gradscope.running.atomic_file import write_whole
from gradscope.running.cell import SUMMARY, Cell, CellResult, Columns
from gradscope.running.command import MeasuringCommand
from gradscope.running.plain import json_text, numbers, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
RUN, CELLS = "run.json", "cells"

Frames = dict[str, pd.DataFrame]  # name of a table to its rows


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


def frames(results: tuple[CellResult, ...], tables: Columns) -> Frames:
    """The tables of a run: the cells' rows below each other."""
    found: Frames = {}
    for name, columns in tables.items():
        parts = [result.tables[name] for result in results if len(result.tables.get(name, ()))]
        # Lists, for concat's column of numbers and NaN has another type in each version of pandas.
        joined = {column: [value for part in parts for value in _column(part, column)] for column in columns}
        found[name] = pd.DataFrame(joined, columns=list(columns))
    return found


def _column(part: pd.DataFrame, column: str) -> list[Any]:
    """NaN for a column that a cell of an earlier version lacks."""
    return list(part[column].tolist()) if column in part else [math.nan] * len(part)


def write_frames(folder: Path, tables: Frames) -> None:
    """Each table as ``name.csv``; an empty one is left out, but for the summary."""
    for name, frame in tables.items():
        if len(frame) or name == SUMMARY:
            write_frame(frame, folder / f"{name}.csv")
        else:
            (folder / f"{name}.csv").unlink(missing_ok=True)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """CSV with ``nan``, ``inf`` and ``-inf`` as words."""
    write_whole(path, frame.to_csv(index=False, na_rep="nan"))


def write_json(document: Any, path: Path) -> None:
    """JSON in which numbers that JSON lacks are words."""
    write_whole(path, json_text(document) + "\n")


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


def write_pictures(folder: Path, pictures: Mapping[str, Figure]) -> None:
    """Each as ``name.png`` and ``name.svg``."""
    for name, figure in pictures.items():
        write_figure(figure, folder / name)


def read_frames(folder: Path, command: MeasuringCommand) -> Frames:
    """The tables of an earlier run.

    Args:
        folder: The run's.
        command: What has written it.

    Raises:
        UsageError: The folder does not hold them.
    """
    found: Frames = {}
    for name, columns in command.columns.items():
        path = folder / f"{name}.csv"
        if not path.is_file() and name not in command.required:
            found[name] = pd.DataFrame(columns=list(columns))
            continue
        if not path.is_file():
            raise UsageError(
                f"{folder} has no {name}.csv; name a folder that gradscope {command.name} --out has written."
            )
        try:
            frame = pd.read_csv(path)
        except (ValueError, UnicodeDecodeError):
            raise UsageError(f"{path} is no table that gradscope has written.") from None
        absent = [column for column in columns if column not in frame.columns]
        missing = [column for column in absent if column not in command.later_columns.get(name, ())]
        if missing:
            raise UsageError(f"{path} lacks the columns {', '.join(missing)}.")
        if frame.empty:
            raise UsageError(f"{path} has no rows, so there is nothing to draw.")
        found[name] = frame.assign(**dict.fromkeys(absent, math.nan))
    return found


def command_of(folder: Path) -> str:
    """What wrote a folder, from its ``run.json``; empty where there is none."""
    try:
        return str(json.loads((folder / RUN).read_text(encoding="utf-8"))["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


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
            kept = numbers(json.loads(path.read_text(encoding="utf-8")))
            tables = {name: pd.DataFrame(columns) for name, columns in kept.pop("tables").items()}
            return CellResult(tables, **kept)
        except (ValueError, TypeError, KeyError, AttributeError):  # half a file of a crashed run: measured again
            return None

    def keep(self, cell: Cell, result: CellResult) -> None:
        """Writes a finished cell; failures are tried again the next time."""
        if not result.failure:
            tables = {name: frame.to_dict(orient="list") for name, frame in result.tables.items()}
            text = json.dumps(plain(vars(result) | {"tables": tables}), allow_nan=False)
            write_whole(self._folder / f"{cell.key}.json", text)
