"""How a user's class is named: ``path/to/file.py:ClassName`` or ``package.module:ClassName``; read without torch."""

from __future__ import annotations


def names_file(place: str) -> bool:
    """Whether what stands before the class is a file, and not an importable module."""
    return place.endswith(".py") or "/" in place
