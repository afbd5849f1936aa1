"""Which input: ``white``, ``ar1:rho=0.9``."""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.contract.option import OptionValue, show_value
from gradscope.errors import UnknownName, UsageError
from gradscope.inputs.catalogue import INPUTS


@dataclass(frozen=True)
class InputChoice:
    """A synthetic input.

    Attributes:
        kind: A name of the table of inputs.
        options: Those that were given, typed.
    """

    kind: str
    options: tuple[tuple[str, OptionValue], ...] = ()

    @property
    def label(self) -> str:
        """As one would type it."""
        return self.kind + "".join(f":{key}={show_value(value)}" for key, value in self.options)


def parse_input(text: str) -> InputChoice:
    """The input that a text ``kind[:option=value]*`` stands for.

    Raises:
        UnknownName: No such kind or option; names the nearest.
        UsageError: An option without a value, or with one that it cannot take.

    Example:
        >>> parse_input("ar1:rho=0.9").options
        (('rho', 0.9),)
    """
    kind, *parts = (part.strip() for part in text.split(":"))
    if kind not in INPUTS:
        raise UnknownName("input kind", kind, INPUTS)
    known = {option.name: option for option in INPUTS[kind].options}
    options: dict[str, OptionValue] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"{kind}: '{part}' should be an option with a value, option=value.")
        if key not in known:
            if not known:
                raise UsageError(f"{kind} has no options, but {part} was given.")
            raise UnknownName(f"option of {kind}", key, known)
        if key in options:
            raise UsageError(f"{kind}: option {key} is given twice.")
        options[key] = known[key].parse(kind, value)
    return InputChoice(kind, tuple(options.items()))
