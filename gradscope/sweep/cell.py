"""One unit of work: an architecture with one seed, under one measurement."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import ClassVar

from gradscope import __version__
from gradscope.architectures.spec import OptionValue


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that determines a result, in plain data: the model and its input; a subclass adds the measurement.

    Attributes:
        command: The command that the cell belongs to.
        label: What the files call the architecture.
        architecture: A name of the catalogue, or a reference to a class of the user's.
        options: The architecture's, those given.
        seed: Of the weights, inputs, targets and probes.
        input_kind: A name of the table of inputs; empty where the input comes from ``data``.
        data: Path of a data file, or empty.
        checkpoint: Path of a ``state_dict``, or empty.
        content: sha256 of each of the user's files that the result depends on.
    """

    command: ClassVar[str]
    label: str
    architecture: str
    options: tuple[tuple[str, OptionValue], ...]
    seed: int
    input_kind: str
    input_options: tuple[tuple[str, OptionValue], ...]
    data: str
    batch: int
    input_size: int
    hidden_size: int
    num_layers: int
    dtype: str
    device: str
    checkpoint: str
    content: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Hash of the definition, of the content of the user's files and of gradscope's version."""
        definition = json.dumps([__version__, self.command, asdict(self)], sort_keys=True)
        return hashlib.sha256(definition.encode()).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class GradientCell(Cell):
    """Gradient norms at all lengths.

    Attributes:
        lengths: Ascending.
        component: What the summary is about; empty for the model's primary component.
        every_component: All components and every one's rows, not the summary's alone.
        every_step: Rows of every step, not of about 64 lags per length.
    """

    command = "compare"
    lengths: tuple[int, ...]
    loss: str
    component: str
    every_component: bool
    every_step: bool


@dataclass(frozen=True, kw_only=True)
class SpectrumCell(Cell):
    """Spectra of the state Jacobian along a trajectory.

    Attributes:
        steps: At which J_t is decomposed.
        exponents: How many leading Lyapunov exponents of each layer; 0 for all.
        leading: How many leading eigenvalues; 0 for all of them up to a state of 512 numbers.
        temporal: The temporal Jacobian too, which a model without a recurrent state gets in any case.
        products: Norms of the products ∂s_T/∂s_t.
        every_step: Products at every lag, not at some of a long sequence's.
    """

    command = "spectrum"
    length: int
    steps: tuple[int, ...]
    exponents: int
    warm_up: int
    leading: int
    temporal: bool
    products: bool
    every_step: bool
