"""The parameters of a model by their role in the recurrence."""

from __future__ import annotations

# Parameter name to its parts: a group (magnitude and angle of the recurrence, input, rest) and rows of the parameter.
MemoryGroups = dict[str, tuple[tuple[str, slice], ...]]
EVERY_ROW = slice(None)


def whole(**groups: tuple[str, ...]) -> MemoryGroups:
    """Groups of parameters that belong to one as a whole."""
    return {name: ((group, EVERY_ROW),) for group, names in groups.items() for name in names}
