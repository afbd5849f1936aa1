"""What the catalogue says of an architecture; read without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gradscope import homes
from gradscope.contract.option import Option, OptionValue, parse_options

if TYPE_CHECKING:
    from gradscope.contract.model import Model

Family = Literal["dense", "gated", "buffered", "composite", "diagonal", "matrix-state", "attention"]

# From the options that an architecture has, all of them with their values, and a length T to those that should change.
Remedy = Callable[[Mapping[str, Any], int], dict[str, OptionValue]]


@dataclass(frozen=True)
class MemoryComponent:
    """A component that keeps the memory in place of the primary one.

    Attributes:
        name: The component.
        lengthens: From T to options that spread its memory over T steps; one that is given already is left as it is.
    """

    name: str
    lengthens: Callable[[int], dict[str, OptionValue]]


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
        lengthens: Options under which its gradients reach further back; measured to help.
        calms: Options under which they grow less; measured to help.
        memory_rank: Where it stands among the architectures that are recommended for long memories, after its
            ``lengthens``; 1 comes first, 0 is not among them.
        memory_component: The component that keeps its memory, where that is not the primary one.
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
    lengthens: Remedy | None = None
    calms: Remedy | None = None
    memory_rank: int = 0
    memory_component: MemoryComponent | None = None
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
