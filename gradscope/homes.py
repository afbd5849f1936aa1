"""Where things live, as texts: ``"package.module:name"`` is imported when it is used, so that tables cost nothing."""

from __future__ import annotations

import importlib
from typing import Any


def load(home: str) -> Any:
    """What a text names.

    Example:
        >>> load("math:sqrt")(9)
        3.0
    """
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(module), name)
