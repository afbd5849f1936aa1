"""Which input: ``white``, ``ar1:rho=0.9``, or a file."""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.contract.option import OptionValue, parse_options, show_value, split_option
from gradscope.errors import UnknownName, UsageError
from gradscope.inputs.catalogue import INPUTS
from gradscope.running.defaults import INPUT_KIND


@dataclass(frozen=True)
class InputChoice:
    """A synthetic input, or a file of data.

    Attributes:
        kind: A name of the table of inputs; empty for data.
        options: Those that were given, typed.
        data: Path of a file; empty for a synthetic input.
    """

    kind: str = ""
    options: tuple[tuple[str, OptionValue], ...] = ()
    data: str = ""

    @property
    def label(self) -> str:
        """As one would type it."""
        return self.data or self.kind + "".join(f":{key}={show_value(value)}" for key, value in self.options)

    @property
    def has_stable_prefix(self) -> bool:
        """Whether the input of a shorter length is the beginning of the longer one's."""
        return bool(self.data) or INPUTS[self.kind].prefix_stable

    @property
    def fixed_size(self) -> int | None:
        """The features that a synthetic input fixes; None where any number will do."""
        return INPUTS[self.kind].implied_input_size(dict(self.options))

    def as_plain(self) -> str:
        """For ``run.json``."""
        return self.label


DEFAULT_INPUT = InputChoice(INPUT_KIND)  # where nothing was said


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
    given: dict[str, OptionValue] = {}
    for part in parts:
        key, value = split_option(kind, part)
        if key in given:
            raise UsageError(f"{kind}: option {key} is given twice.")
        given[key] = value
    options = parse_options(kind, INPUTS[kind].options, given)
    return InputChoice(kind, tuple((key, options[key]) for key in given))


def agreed_size(fixed: int | None, given: int | None, otherwise: int, conflict: str) -> int:
    """The features of an input: what it fixes, what was given, or what holds otherwise.

    Raises:
        UsageError: Two of the first that differ, in the words of ``conflict``.
    """
    if fixed is not None and given not in (None, fixed):
        raise UsageError(conflict)
    return fixed or given or otherwise
