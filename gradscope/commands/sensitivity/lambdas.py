"""Moduli of λ: ``0.9,0.99``, or ``0.9..0.9999`` and ``0.9..0.9999:7``, log-spaced in 1 − λ."""

from __future__ import annotations

import itertools
import math

from gradscope.errors import UsageError

DEFAULT_COUNT = 5
_GRAMMAR = "write 0.9,0.99 or a range log-spaced in 1 − λ: 0.9..0.9999 (five values) or 0.9..0.9999:7"


def parse_lambdas(shown: str, text: str) -> tuple[float, ...]:
    """The moduli that a text stands for, ascending, each between 0 and 1.

    Args:
        shown: The name under which the user gave the text.
        text: Comma-separated numbers and ranges.

    Raises:
        UsageError: Not of this form, outside (0, 1), an empty or a reversed range, or not ascending.

    Example:
        >>> [round(value, 6) for value in parse_lambdas("--lambda", "0.5,0.9..0.9999:4")]
        [0.5, 0.9, 0.99, 0.999, 0.9999]
    """
    values = tuple(itertools.chain.from_iterable(_expand(shown, item.strip(), text) for item in text.split(",")))
    for before, after in itertools.pairwise(values):
        if after <= before:
            raise UsageError(f"{shown} should ascend, but {after:g} comes after {before:g} in '{text}'.")
    return values


def _expand(shown: str, item: str, text: str) -> list[float]:
    first_text, dots, rest = item.partition("..")
    if not dots:
        return [_modulus(shown, item, text)]
    last_text, colon, count_text = rest.partition(":")
    first, last = _modulus(shown, first_text, text), _modulus(shown, last_text, text)
    count = DEFAULT_COUNT
    if colon:
        if not count_text.isdigit() or int(count_text) < 2:
            raise UsageError(f"{shown}: '{item}' needs a whole number of values from 2 on after the colon; {_GRAMMAR}.")
        count = int(count_text)
    if last <= first:
        raise UsageError(f"{shown}: the range '{item}' is empty or reversed; {_GRAMMAR}.")
    low, high = math.log10(1 - first), math.log10(1 - last)
    inner = [1 - 10 ** (low + (high - low) * index / (count - 1)) for index in range(1, count - 1)]
    return [first, *inner, last]


def _modulus(shown: str, item: str, text: str) -> float:
    try:
        value = float(item)
    except ValueError:
        raise UsageError(f"{shown} '{text}' cannot be read; {_GRAMMAR}.") from None
    if not 0 < value < 1:
        raise UsageError(f"{shown} should lie between 0 and 1, but {item} was given.")
    return value
