"""What the catalogue says of an architecture; read without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gradscope.contract.option import Option, OptionValue
from gradscope.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from gradscope.contract.model import Model

Family = Literal["dense", "gated", "buffered", "composite", "diagonal", "matrix-state", "attention"]


@dataclass(frozen=True)
class ArchitectureSpec:
    """One line of the catalogue.

    Attributes:
        family: The group it belongs to on the command line.
        equation: The recurrence in one line.
        paper: Where it comes from.
        gradient_path: How many factors lie between the loss and a step k steps back.
        parallelisable: Whether its forward pass can be computed in parallel over time.
        state_size: Real numbers of state for ``H = hidden_size``, per layer.
        load: Imports and returns the constructor of one layer, or of the whole model where ``whole`` is set:
            ``(input_size, hidden_size, initializer, layer=…, **options) -> Model``.
        options: What can be set by ``name=value``.
        whole: ``load`` makes a model of all layers and takes ``num_layers`` in place of ``layer``.
    """

    family: Family
    equation: str
    paper: str
    gradient_path: str
    parallelisable: bool
    state_size: str
    load: Callable[[], Callable[..., Model]]
    options: tuple[Option, ...] = ()
    whole: bool = False

    def parse_options(self, name: str, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """All options with their values, those not given at their defaults.

        Raises:
            UnknownName: An option that the architecture does not have.
            UsageError: A value that the option cannot take.
        """
        known = {option.name: option for option in self.options}
        for key in given:
            if key not in known:
                if not known:
                    raise UsageError(f"{name} has no options, but {key}={given[key]} was given.")
                raise UnknownName(f"option of {name}", key, known)
        return {
            key: option.parse(name, given[key]) if key in given else option.default for key, option in known.items()
        }
