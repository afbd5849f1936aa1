"""The units of work of a sweep: everything that determines one result, one class for each measurement."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import ClassVar

from gradscope import __version__
from gradscope.contract.option import OptionValue


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that determines a result, in plain data: the model and its input; a subclass adds the measurement.

    Attributes:
        command: The command that the cell belongs to.
        has_model: Whether there is an architecture behind it.
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
    has_model: ClassVar[bool] = True
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


@dataclass(frozen=True, kw_only=True)
class SensitivityCell(Cell):
    """Sensitivity of an architecture's state to its parameters, swept over its memory dial.

    Attributes:
        lambdas: Moduli that the dial is set to, ascending.
        lengths: Steps for each of them.
        seeds: Of weights, inputs and probes; all are pooled.
        input_label: What files call the input.
    """

    command = "sensitivity"
    lambdas: tuple[float, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    input_label: str


@dataclass(frozen=True, kw_only=True)
class ScalarCell(SensitivityCell):
    """The scalar law for all parametrisations and normalisations, all λ on the same inputs of the longest length.

    Attributes:
        samples: Independent sequences.
        attached: Whether dh/dω goes through γ.
        second: The second derivative too.
    """

    has_model = False
    samples: int
    parametrizations: tuple[str, ...]
    normalizations: tuple[str, ...]
    attached: bool
    second: bool


@dataclass(frozen=True, kw_only=True)
class LandscapeCell(SensitivityCell):
    """The loss surface of one unit around a teacher, whose λ is ``lambdas[0]``; ρ is the input's."""

    has_model = False
    parametrizations: tuple[str, ...]
    normalizations: tuple[str, ...]
    rho: float


@dataclass(frozen=True, kw_only=True)
class DepthCell(SensitivityCell):
    """Signal propagation through ``depth`` residual blocks of width ``hidden_size``; the recurrence is a table's."""

    has_model = False
    depth: int


@dataclass(frozen=True, kw_only=True)
class HessianCell(SensitivityCell):
    """Curvature of a linear student at its teacher, whose modulus is ``lambdas[0]``."""

    has_model = False
