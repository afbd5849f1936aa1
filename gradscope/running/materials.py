"""From the plain data of a cell to its model and its input."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradscope.architectures.build import build
from gradscope.contract.model import Model
from gradscope.inputs.catalogue import INPUTS
from gradscope.inputs.make import make_inputs
from gradscope.inputs.windows import cut_windows
from gradscope.running.cell import Cell
from gradscope.running.checkpoint import load_checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def cell_model(cell: Cell) -> Model:
    """The model that a cell measures, with its trained weights if there are any."""
    model = build(
        cell.architecture,
        input_size=cell.input_size,
        hidden_size=cell.hidden_size,
        num_layers=cell.num_layers,
        seed=cell.seed,
        dtype=DTYPES[cell.dtype],
        device=cell.device,
        **dict(cell.options),
    )
    if cell.checkpoint:
        load_checkpoint(model, Path(cell.checkpoint))
    return model


def cell_input(cell: Cell, length: int) -> tuple[Tensor, tuple[str, ...]]:
    """The input of a cell, ``(batch, length, input_size)``, and what its reader should know of it."""
    if cell.data:
        windows = cut_windows(data_of(Path(cell.data)), length=length, batch=cell.batch)
        x = torch.from_numpy(windows.x).to(dtype=DTYPES[cell.dtype], device=cell.device)
        return x, (windows.note,)
    x = make_inputs(
        cell.input_kind,
        batch=cell.batch,
        length=length,
        input_size=cell.input_size,
        seed=cell.seed,
        dtype=DTYPES[cell.dtype],
        device=cell.device,
        **dict(cell.input_options),
    )
    return x, ()


def has_stable_prefix(cell: Cell) -> bool:
    """Whether the input of a shorter length is the beginning of the longer one's."""
    return bool(cell.data) or INPUTS[cell.input_kind].prefix_stable


def data_of(file: Path) -> NDArray[np.float64]:
    """The array in a data file; read once while the file stays as it is."""
    stamp = file.stat().st_mtime_ns if file.exists() else 0
    return _read_once(file, stamp)


@functools.lru_cache(maxsize=1)
def _read_once(file: Path, stamp: int) -> NDArray[np.float64]:
    from gradscope.inputs.data_file import read_data

    return read_data(file)
