"""One unit of work: an architecture with one seed, measured at all lengths."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from gradscope import __version__
from gradscope.architectures.spec import OptionValue


@dataclass(frozen=True)
class Cell:
    """Everything that determines a result, in plain data.

    Attributes:
        label: What the files call the architecture.
        architecture: A name of the catalogue, or a reference to a class of the user's.
        options: The architecture's, those given.
        seed: Of the weights, inputs, targets and probes.
        lengths: Ascending.
        input_kind: A name of the table of inputs; empty where the input comes from ``data``.
        data: Path of a data file, or empty.
        component: What the summary is about; empty for the model's primary component.
        every_component: All components and every one's rows, not the summary's alone.
        every_step: Rows of every step, not of about 64 lags per length.
        checkpoint: Path of a ``state_dict``, or empty.
        content: sha256 of each of the user's files that the result depends on.
    """

    label: str
    architecture: str
    options: tuple[tuple[str, OptionValue], ...]
    seed: int
    lengths: tuple[int, ...]
    input_kind: str
    input_options: tuple[tuple[str, OptionValue], ...]
    data: str
    batch: int
    input_size: int
    hidden_size: int
    num_layers: int
    loss: str
    component: str
    every_component: bool
    every_step: bool
    dtype: str
    device: str
    checkpoint: str
    content: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Hash of the definition, of the content of the user's files and of gradscope's version."""
        definition = json.dumps([__version__, asdict(self)], sort_keys=True)
        return hashlib.sha256(definition.encode()).hexdigest()[:20]
