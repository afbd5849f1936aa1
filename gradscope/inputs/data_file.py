"""Reads real input sequences from .npy, .npz, .csv and .parquet files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradscope.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def read_data(path: Path) -> Array:
    """The numbers in a file, float64, ``(time, features)`` or ``(sequences, time, features)``.

    Raises:
        UsageError: The file is missing, empty, ragged, of another kind, or holds something else than finite numbers;
            says which file, row and column.
    """
    readers: dict[str, Callable[[Path], Array]] = {
        ".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet,
    }  # fmt: skip
    if not path.is_file():
        raise UsageError(f"There is no data file {path}.")
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path} is not a kind of data file that is known; give {', '.join(readers)}.")
    if path.stat().st_size == 0:
        raise UsageError(f"The data file {path} is empty.")
    array = readers[path.suffix.lower()](path)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise UsageError(
            f"{path} holds an array of shape {array.shape}; give (time, features) or (sequences, time, features)."
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        *row, column = bad[0].tolist()
        where = f"row {row[-1] + 1}" if array.ndim == 2 else f"sequence {row[0] + 1}, row {row[1] + 1}"
        raise UsageError(f"{path} holds {array[tuple(bad[0])]} in {where}, column {column + 1}; fill or drop it first.")
    return array


def _numeric(path: Path, array: NDArray[np.generic]) -> Array:
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise UsageError(f"{path} holds values of type {array.dtype}, but inputs are real numbers.")
    return array.astype(np.float64)


def _npy(path: Path) -> Array:
    try:
        return _numeric(path, np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError):
        raise UsageError(
            f"{path} is no readable .npy file of numbers; save one rectangular array with numpy.save."
        ) from None


def _npz(path: Path) -> Array:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = list(arrays)
            if len(names) != 1 and "x" not in names:
                raise UsageError(f"{path} holds {len(names)} arrays ({', '.join(names)}); keep one, or call one 'x'.")
            return _numeric(path, arrays["x" if "x" in names else names[0]])
    except (ValueError, OSError, EOFError):
        raise UsageError(f"{path} is no readable .npz file of numbers; save arrays with numpy.savez.") from None


def _csv(path: Path) -> Array:
    import pandas as pd

    try:
        first = pd.read_csv(path, header=None, nrows=1)
        has_header = not all(pd.api.types.is_numeric_dtype(kind) for kind in first.dtypes)
        frame = pd.read_csv(path, header=0 if has_header else None)
    except pd.errors.EmptyDataError:
        raise UsageError(f"The data file {path} is empty.") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is no table: its rows should have the same number of columns ({reason}).") from None
    return _frame(path, frame, 2 if has_header else 1)


def _parquet(path: Path) -> Array:
    import pandas as pd

    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UsageError(f"Reading {path} needs pyarrow: pip install 'gradscope-cli[parquet]'.") from None
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError):
        raise UsageError(f"{path} is no readable .parquet file.") from None
    return _frame(path, frame, 1)


def _frame(path: Path, frame: pd.DataFrame, first_row: int) -> Array:
    """Numbers of a table; the rows of messages are counted as in the file."""
    import pandas as pd

    if frame.empty:
        raise UsageError(f"The data file {path} has no rows.")
    for position, name in enumerate(frame.columns):
        numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if len(bad):
            value, row = frame[name].iloc[int(bad[0])], int(bad[0]) + first_row
            raise UsageError(
                f"{path} holds '{value}' in row {row}, column {position + 1} ('{name}'), which is no finite number; "
                "drop the column or fill the gap first."
            )
    return frame.to_numpy(dtype=np.float64)
