"""Plain data that JSON can hold, and back to the same numbers: the one codec of all files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOT_A_NUMBER = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain(value: Any) -> Any:
    """Numbers that JSON lacks as words, paths as texts, objects by their ``as_plain``; through lists and mappings."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "as_plain"):
        return plain(value.as_plain())
    if hasattr(value, "item"):
        value = value.item()
    return plain_number(value) if isinstance(value, float) else value


def plain_number(value: float) -> float | str:
    """The number, or a word for the three that JSON lacks."""
    if math.isfinite(value):
        return float(value)
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def numbers(value: Any) -> Any:
    """The words of :func:`plain` as numbers again."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    return NOT_A_NUMBER.get(value, value) if isinstance(value, str) else value


def json_text(document: Any) -> str:
    """The document as JSON, indented."""
    return json.dumps(plain(document), indent=2, allow_nan=False, ensure_ascii=False)
