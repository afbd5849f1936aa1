"""One definition of a model and one of an input: plain data behind cells and cases, from which both are made."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.input_choice import InputChoice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from gradscope.contract.model import Model


@dataclass(frozen=True)
class ModelDefinition:
    """Everything that determines a model but its seed, dtype and device.

    Attributes:
        architecture: Which, with its options.
        hidden_size: Hidden units of each layer.
        num_layers: Layers stacked on each other.
        checkpoint: Path of a ``state_dict``, or empty.
    """

    architecture: ArchitectureChoice
    input_size: int
    hidden_size: int
    num_layers: int
    checkpoint: str = ""

    def build(self, seed: int, *, dtype: str = "float64", device: str = "cpu") -> Model:
        """The model, with its trained weights if there are any."""
        import torch

        from gradscope.architectures.build import build

        model = build(
            self.architecture.name,
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            seed=seed,
            dtype=getattr(torch, dtype),
            device=device,
            **dict(self.architecture.options),
        )
        if self.checkpoint:
            from gradscope.running.checkpoint import load_checkpoint

            load_checkpoint(model, Path(self.checkpoint))
        return model


@dataclass(frozen=True)
class InputDefinition:
    """Everything that determines a batch of inputs but its seed, length, dtype and device."""

    choice: InputChoice
    input_size: int
    batch: int

    def draw(self, length: int, seed: int, *, dtype: str = "float64", device: str = "cpu") -> tuple[Tensor, str]:
        """``(batch, length, input_size)``, and what its reader should know of it; empty where there is nothing."""
        import torch

        from gradscope.inputs.make import make_inputs
        from gradscope.inputs.windows import cut_windows

        if self.choice.data:
            windows = cut_windows(data_of(Path(self.choice.data)), length=length, batch=self.batch)
            return torch.from_numpy(windows.x).to(dtype=getattr(torch, dtype), device=device), windows.note
        x = make_inputs(
            self.choice.kind,
            batch=self.batch,
            length=length,
            input_size=self.input_size,
            seed=seed,
            dtype=getattr(torch, dtype),
            device=device,
            **dict(self.choice.options),
        )
        return x, ""


def data_of(file: Path) -> NDArray[np.float64]:
    """The array in a data file; read once while the file stays as it is."""
    stamp = file.stat().st_mtime_ns if file.exists() else 0
    return _read_once(file, stamp)


@functools.lru_cache(maxsize=1)
def _read_once(file: Path, stamp: int) -> NDArray[np.float64]:
    from gradscope.inputs.data_file import read_data

    return read_data(file)


def content_hashes(*paths: Path | str | None) -> tuple[tuple[str, str], ...]:
    """Path and sha256 of each of the user's files that a result depends on, of those that there are."""
    files = [Path(path) for path in paths if path and Path(path).is_file()]
    return tuple((str(file), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
