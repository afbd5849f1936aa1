"""Options ``name=value`` of architectures and inputs; read without importing torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gradscope.errors import UnknownName, UsageError

OptionValue = bool | int | float | str


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


def with_options(name: str, options: Mapping[str, OptionValue]) -> str:
    """A name with options as one would type it, ``lstm:forget_bias=1``."""
    return name + "".join(f":{key}={show_value(value)}" for key, value in options.items())


def split_option(owner: str, part: str) -> tuple[str, str]:
    """Name and value of a part ``name=value``, as they were written, spaces included.

    Raises:
        UsageError: It has no name or no value; ``owner`` says whose option it would be.
    """
    name, _, value = part.partition("=")
    if not name.strip() or not value:
        raise UsageError(f"{owner}: '{part}' should be an option with a value, option=value.")
    return name, value


def parse_options(owner: str, options: Iterable[Option], given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """All options with their values, those not given at their defaults.

    Args:
        owner: What has them, in messages.
        options: Those that there are.
        given: Name to value, or to the text that stands for it.

    Raises:
        UnknownName: One that there is not; names the nearest.
        UsageError: A value that an option cannot take, or an option of what has none.
    """
    known = {option.name: option for option in options}
    for name, value in given.items():
        if not known:
            raise UsageError(f"{owner} has no options, but {name}={value} was given.")
        if name not in known:
            raise UnknownName(f"option of {owner}", name, known)
    return {
        name: option.parse(owner, given[name]) if name in given else option.default for name, option in known.items()
    }


def show_value(value: OptionValue) -> str:
    """An option's value as one would type it: ``1`` for 1.0, ``true`` for True."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value)
