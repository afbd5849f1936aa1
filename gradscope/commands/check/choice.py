"""Which cases a shell pattern means."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from gradscope.errors import UnknownName


def matches(name: str, pattern: str | None) -> bool:
    """Whether a pattern such as ``lstm*`` means a case; a name always means itself, and no pattern means all."""
    return pattern is None or name == pattern or fnmatchcase(name, pattern)


def chosen(names: Iterable[str], pattern: str | None) -> tuple[str, ...]:
    """The names that a pattern means.

    Raises:
        UnknownName: It means none of them.
    """
    known = tuple(names)
    found = tuple(name for name in known if matches(name, pattern))
    if pattern is not None and not found:
        raise UnknownName("case", pattern, known)
    return found
