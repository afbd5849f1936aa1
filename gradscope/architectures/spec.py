"""What the catalogue says of an architecture; read without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gradscope.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from gradscope.contract.model import Model

OptionValue = bool | int | float | str
Family = Literal["dense", "gated", "buffered", "composite", "diagonal", "matrix-state", "attention"]


@dataclass(frozen=True)
class Option:
    """One option of an architecture, ``name=value`` after a colon.

    Attributes:
        default: Its value when not given; the type of the default is the type of the option.
        choices: The allowed words, for an option that is a word.
        minimum: The smallest allowed number, for an option that is a number.
    """

    name: str
    default: OptionValue
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def parse(self, architecture: str, text: OptionValue) -> OptionValue:
        """The value that a text stands for.

        Raises:
            UsageError: The text is no value of this option; says what is.
        """
        value = self._convert(str(text).strip())
        if value is None or (self.choices and value not in self.choices):
            expected = " or ".join(self.choices) or {bool: "true or false", int: "a whole number"}.get(
                type(self.default), "a number"
            )
            raise UsageError(f"{architecture}: option {self.name}={text} should be {expected}.")
        if not isinstance(value, str):
            if self.minimum is not None and value < self.minimum:
                raise UsageError(f"{architecture}: option {self.name}={text} should be at least {self.minimum:g}.")
            if self.maximum is not None and value > self.maximum:
                raise UsageError(f"{architecture}: option {self.name}={text} should be at most {self.maximum:g}.")
        return value

    def _convert(self, text: str) -> OptionValue | None:
        if isinstance(self.default, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower())
        if isinstance(self.default, str):
            return text
        try:
            number = float(text)
        except ValueError:
            return None
        if number != number or number in (float("inf"), float("-inf")):
            return None
        if isinstance(self.default, int):
            return int(number) if number == int(number) else None
        return number


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
