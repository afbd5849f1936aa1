"""Sequence lengths: ``10,100,1000``, the 1-2-5 series ``10..1000``, log-spaced ``10..1000:12``."""

from __future__ import annotations

import itertools
import math
import re

from gradscope.errors import UsageError

SHORTEST = 2  # a gradient that travels back in time needs two steps
LONGEST = 100_000_000
_ITEM = re.compile(r"(?P<first>\d+)(?:\.\.(?P<last>\d+)(?::(?P<count>\d+))?)?")
_GRAMMAR = "write 10,100,1000 or a range: 10..1000 (the series 10, 20, 50, 100, …) or 10..1000:12 (12 log-spaced ones)"


def parse_lengths(shown: str, text: str) -> tuple[int, ...]:
    """The lengths that a text stands for, ascending.

    Args:
        shown: The name under which the user gave the text.
        text: Comma-separated numbers and ranges. ``a..b`` is every 1, 2 or 5 times a power of ten from a to b,
            and a and b themselves; ``a..b:n`` is n log-spaced whole numbers from a to b.

    Raises:
        UsageError: Not of this form, shorter than two steps, repeated or not ascending.

    Example:
        >>> parse_lengths("--lengths", "10..1000")
        (10, 20, 50, 100, 200, 500, 1000)
        >>> parse_lengths("--lengths", "4,10..1000:3")
        (4, 10, 100, 1000)
    """
    items = [item.strip().replace("_", "") for item in text.split(",")]
    lengths = tuple(itertools.chain.from_iterable(_expand(shown, item, text) for item in items))
    for before, after in itertools.pairwise(lengths):
        if after == before:
            raise UsageError(f"{shown} should name each length once, but {after} is repeated in '{text}'.")
        if after < before:
            raise UsageError(f"{shown} should ascend, but {after} comes after {before} in '{text}'.")
    return lengths


def _expand(shown: str, item: str, text: str) -> tuple[int, ...]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise UsageError(f"{shown} cannot be read from '{item or text}': {_GRAMMAR}.")
    first = _length(shown, match["first"])
    if match["last"] is None:
        return (first,)
    last = _length(shown, match["last"])
    if last <= first:
        raise UsageError(f"{shown} should ascend, but the range {item} goes from {first} to {last}.")
    if match["count"] is None:
        return _one_two_five(first, last)
    return _log_spaced(shown, item, first, last, int(match["count"]))


def _length(shown: str, digits: str) -> int:
    length = int(digits)
    if length < SHORTEST:
        raise UsageError(f"{shown} should be at least {SHORTEST} steps, but {length} was given.")
    if length > LONGEST:
        raise UsageError(f"{shown} should be at most {LONGEST} steps, but {length} was given.")
    return length


def _one_two_five(first: int, last: int) -> tuple[int, ...]:
    decades = range(int(math.log10(last)) + 1)
    series = {digit * 10**decade for decade in decades for digit in (1, 2, 5)}
    return tuple(sorted({first, last} | {length for length in series if first <= length <= last}))


def _log_spaced(shown: str, item: str, first: int, last: int, count: int) -> tuple[int, ...]:
    if count < 2:
        raise UsageError(f"{shown} needs at least 2 lengths in a range, but {item} asks for {count}.")
    if count > last - first + 1:
        raise UsageError(f"{shown} cannot hold {count} different whole numbers in the range {item}.")
    ratio = (last / first) ** (1 / (count - 1))
    lengths = [round(first * ratio**index) for index in range(count)]
    lengths[0], lengths[-1] = first, last
    for index in range(1, count):  # where rounding makes neighbours equal, the later one moves up …
        lengths[index] = max(lengths[index], lengths[index - 1] + 1)
    lengths[-1] = last
    for index in range(count - 2, -1, -1):  # … and at the upper end the earlier ones move down
        lengths[index] = min(lengths[index], lengths[index + 1] - 1)
    return tuple(lengths)
