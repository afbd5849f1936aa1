"""What the catalogue says of an architecture; read without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gradscope import homes
from gradscope.contract.option import Option, OptionValue, parse_options

if TYPE_CHECKING:
    from gradscope.contract.model import Model

Family = Literal["dense", "gated", "buffered", "composite", "diagonal", "matrix-state", "attention"]


@dataclass(frozen=True)
class Situation:
    """What a remedy may depend on.

    Attributes:
        length: T.
        hidden_size: Hidden units of each layer.
        num_layers: Layers stacked on each other.
        kept: Measures the median factor by which the gates keep the state in one step; NaN where there are no gates.
    """

    length: int
    hidden_size: int
    num_layers: int
    kept: Callable[[], float]


# From the options that an architecture has, all of them with their values, and a situation to options that may help
# there, the most promising first. None of them is recommended before it was measured.
Remedies = Callable[[Mapping[str, Any], Situation], Sequence[Mapping[str, OptionValue]]]


@dataclass(frozen=True)
class ArchitectureSpec:
    """One line of the catalogue.

    Attributes:
        family: The group it belongs to on the command line.
        home: Where the constructor of one layer is, or of the whole model where ``whole`` is set,
            ``"package.module:Class"``: ``(input_size, hidden_size, initializer, layer=…, **options) -> Model``.
        equation: The recurrence in one line.
        paper: Where it comes from.
        gradient_path: How many factors lie between the loss and a step k steps back.
        parallelisable: Whether its forward pass can be computed in parallel over time.
        state_size: Real numbers of state for ``H = hidden_size``, per layer.
        options: What can be set by ``name=value``.
        whole: ``home`` makes a model of all layers and takes ``num_layers`` in place of ``layer``.
        memory_dial: What its memory dial turns, in words; empty where it has none.
        remedies: Options to try where its gradient is lost, fades, explodes or finds the state frozen.
        memory_rank: Where it stands among the architectures that are tried in place of one without remedies, with the
            first of its own; 1 comes first, 0 is not among them.
        torch_class: torch's class of the same equations and parameters, ``"torch.nn:LSTM"``; empty where there is none.
        torch_options: Those of its options that are attributes of torch's class; the others act on initial weights.
    """

    family: Family
    home: str
    equation: str
    paper: str
    gradient_path: str
    parallelisable: bool
    state_size: str
    options: tuple[Option, ...] = ()
    whole: bool = False
    memory_dial: str = ""
    remedies: Remedies | None = None
    memory_rank: int = 0
    torch_class: str = ""
    torch_options: tuple[str, ...] = ()

    def load(self) -> Callable[..., Model]:
        """Imports the constructor."""
        constructor: Callable[..., Model] = homes.load(self.home)
        return constructor

    def parse_options(self, name: str, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """All options with their values, those not given at their defaults.

        Raises:
            UnknownName: An option that the architecture does not have.
            UsageError: A value that the option cannot take, or an option of an architecture that has none.
        """
        return parse_options(name, self.options, given)
