"""Lists and verbs in sentences."""

from __future__ import annotations


def listed(names: list[str], joint: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {joint} {names[-1]}"


def verb(names: list[str], one: str, many: str) -> str:
    """The form that goes with one or with many."""
    return one if len(names) == 1 else many
