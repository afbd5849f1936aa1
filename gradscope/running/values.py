"""Single values: a word or a TOML value becomes a number, a choice or a path, or one sentence says why not.

``shown`` is the name under which the user gave the value, ``--hidden-size`` or ``hidden-size``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from gradscope.errors import UnknownName, UsageError

LARGEST_SEED = 2**32 - 1  # numpy's RandomState takes no larger one


def whole_number(shown: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """A whole number from ``minimum`` on.

    Raises:
        UsageError: No whole number, or one out of range.
    """
    number = _number(value)
    if number is None or number != int(number):
        raise UsageError(f"{shown} should be a whole number, but '{value}' was given.")
    if number < minimum:
        raise UsageError(f"{shown} should be at least {minimum}, but {value} was given.")
    if maximum is not None and number > maximum:
        raise UsageError(f"{shown} should be at most {maximum}, but {value} was given.")
    return int(number)


def seed_number(shown: str, value: object) -> int:
    """A seed: a whole number from 0 to 2³² − 1."""
    return whole_number(shown, value, minimum=0, maximum=LARGEST_SEED)


def seed_numbers(first: int, count: int) -> tuple[int, ...]:
    """The seeds themselves, from the first one and how many there are."""
    return tuple(range(first, first + count))


def check_seeds(first: int, count: int, prefix: str) -> None:
    """Raises :class:`UsageError` where the last of them is too large; ``prefix`` stands before the options' names."""
    if first + count - 1 > LARGEST_SEED:
        raise UsageError(f"{prefix}seed and {prefix}seeds go beyond the largest seed, {LARGEST_SEED}.")


def count_or_all(shown: str, value: object) -> int:
    """A whole number from 1 on; 0 stands for ``all``.

    Raises:
        UsageError: Neither.
    """
    if isinstance(value, str) and value.strip().lower() == "all":
        return 0
    if _number(value) is None:
        raise UsageError(f"{shown} should be a whole number or all, but '{value}' was given.")
    return whole_number(shown, value)


def count_or_auto(shown: str, value: object) -> int:
    """A whole number from 2 on; 0 stands for ``auto``.

    Raises:
        UsageError: Neither.
    """
    if isinstance(value, str) and value.strip().lower() == "auto":
        return 0
    if _number(value) is None:
        raise UsageError(f"{shown} should be a whole number or auto, but '{value}' was given.")
    return whole_number(shown, value, minimum=2)


def fraction(shown: str, value: object) -> float:
    """A number between 0 and 1.

    Raises:
        UsageError: Anything else.
    """
    number = _number(value)
    if number is None or not 0 < number < 1:
        raise UsageError(f"{shown} should lie between 0 and 1, but '{value}' was given.")
    return number


def positive_number(shown: str, value: object) -> float:
    """A finite number above zero.

    Raises:
        UsageError: Anything else.
    """
    number = _number(value)
    if number is None or number <= 0:
        raise UsageError(f"{shown} should be a number above 0, but '{value}' was given.")
    return number


def yes_or_no(shown: str, value: object) -> bool:
    """A flag.

    Raises:
        UsageError: Anything but true or false.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{shown} should be true or false, but '{value}' was given.")
    return value


def known_word(shown: str, value: object, kind: str, choices: Sequence[str]) -> str:
    """One of a few words.

    Raises:
        UnknownName: Another word; names the nearest.
    """
    if not isinstance(value, str):
        raise UsageError(f"{shown} should be {' or '.join(choices)}, but '{value}' was given.")
    if value not in choices:
        raise UnknownName(kind, value, choices)
    return value


def word(shown: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        UsageError: An empty one, or no text.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{shown} should be a name, but '{value}' was given.")
    return value.strip()


def path(shown: str, value: object, folder: Path) -> Path:
    """A path; a relative one starts from ``folder``.

    Raises:
        UsageError: An empty text, or no text.
    """
    given = value if isinstance(value, Path) else Path(word(shown, value))
    return folder / given.expanduser()


def joined_words(shown: str, value: object, *, fractions: bool = False) -> str:
    """A comma-separated text, which a TOML file may also give as an array or a number.

    Raises:
        UsageError: Neither.
    """
    items = value if isinstance(value, list) else [value]
    kinds = (str, int, float) if fractions else (str, int)
    if not items or not all(isinstance(item, kinds) and not isinstance(item, bool) for item in items):
        raise UsageError(f"{shown} should be a text or an array of texts or whole numbers, but {value!r} was given.")
    return ",".join(str(item) for item in items)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
