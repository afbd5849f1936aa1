"""The numbers of a case as plain data that JSON can hold, and back to the same numbers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradscope.commands.check.numbers import CaseNumbers, Statistic
from gradscope.errors import UsageError

NOT_A_NUMBER = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_TEXTS = ("definition_hash", "stream_hash", "weights_hash", "noise_probe")
_STATISTIC_KEYS = ("noise_decades", "steps", "values")


def plain_case(numbers: CaseNumbers) -> dict[str, Any]:
    """Dictionaries, lists, texts and numbers alone; the name is left to the key under which it stands.

    ``values`` is one row a seed, or one number a seed where the statistic is a single number.
    """
    return {
        "definition": json.loads(canonical(numbers.definition)),
        "is_own": numbers.is_own,
        "seeds": list(numbers.seeds),
        "definition_hash": numbers.definition_hash,
        "stream_hash": numbers.stream_hash,
        "weights_hash": numbers.weights_hash,
        "noise_probe": numbers.noise_probe,
        "statistics": {name: _plain_statistic(statistic) for name, statistic in numbers.statistics.items()},
    }


def read_case(name: str, plain: object, where: str) -> CaseNumbers:
    """The numbers that plain data stand for.

    Args:
        name: The case's name.
        plain: What a file holds under it.
        where: The file, for messages.

    Raises:
        UsageError: A missing key, a value of another type, a row of another length; says which and what was expected.
    """
    at = f"{where}: case {name}"
    case = _mapping(plain, at)
    seeds = _list_of(_entry(case, "seeds", at), int, f"{at}, seeds", "whole numbers")
    if not seeds:
        raise UsageError(f"{at} has no seeds; record it again.")
    statistics = _mapping(_entry(case, "statistics", at), f"{at}, statistics")
    texts = {key: _text(_entry(case, key, at), f"{at}, {key}") for key in _TEXTS}
    is_own = _entry(case, "is_own", at)
    if not isinstance(is_own, bool):
        raise UsageError(f"{at}, is_own should be true or false, but {_shown(is_own)} stands there; record it again.")
    return CaseNumbers(
        name=name,
        definition=dict(_mapping(_entry(case, "definition", at), f"{at}, definition")),
        is_own=is_own,
        seeds=tuple(seeds),
        statistics={key: _statistic(value, len(seeds), f"{at}, {key}") for key, value in statistics.items()},
        **texts,
    )


def integrity(plain: Mapping[str, Any]) -> str:
    """sha256 of what :func:`plain_case` gives; another one later means that the case was edited by hand."""
    return "sha256:" + hashlib.sha256(canonical(plain).encode()).hexdigest()


def canonical(value: object) -> str:
    """One text for equal data: sorted keys, no spaces, floats with all their digits."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_listed
    )


def plain_number(value: float) -> float | str:
    """The number, or a word for the three that JSON lacks."""
    if math.isfinite(value):
        return float(value)
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _listed(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain data")


def _plain_statistic(statistic: Statistic) -> dict[str, Any]:
    rows = [[plain_number(number) for number in row] for row in statistic.values.tolist()]
    return {
        "noise_decades": plain_number(statistic.noise_decades),
        "steps": list(statistic.steps),
        "values": rows if statistic.steps else [row[0] for row in rows],
    }


def _statistic(plain: object, seeds: int, at: str) -> Statistic:
    statistic = _mapping(plain, at)
    noise, steps_given, rows = (_entry(statistic, key, at) for key in _STATISTIC_KEYS)
    steps = _list_of(steps_given, int, f"{at}, steps", "whole numbers")
    if not isinstance(rows, list) or len(rows) != seeds:
        given = f"{len(rows)} rows" if isinstance(rows, list) else _shown(rows)
        raise UsageError(f"{at}, values should be {seeds} rows, one a seed, but {given} stand there; record it again.")
    if not steps:
        rows = [[row] for row in rows]
    return Statistic(
        values=np.array([_row(row, max(1, len(steps)), f"{at}, row {i + 1}") for i, row in enumerate(rows)]),
        steps=tuple(steps),
        noise_decades=_number(noise, f"{at}, noise_decades"),
    )


def _row(row: object, columns: int, at: str) -> NDArray[np.float64]:
    if not isinstance(row, list):
        raise UsageError(f"{at} should be a list of numbers, but {_shown(row)} stands there; record it again.")
    if len(row) != columns:
        raise UsageError(f"{at} should have {columns} numbers, one a step, but has {len(row)}; record it again.")
    return np.array([_number(number, at) for number in row], dtype=np.float64)


def _number(value: object, at: str) -> float:
    if isinstance(value, str) and value in NOT_A_NUMBER:
        return NOT_A_NUMBER[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{at} should be a number, but {_shown(value)} stands there; record it again.")
    try:
        return float(value)
    except OverflowError:
        raise UsageError(f"{at} holds a number beyond float64; record it again.") from None


def _entry(plain: Mapping[str, Any], key: str, at: str) -> Any:
    if key not in plain:
        raise UsageError(f"{at} lacks {key}; record it again.")
    return plain[key]


def _mapping(plain: object, at: str) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise UsageError(f"{at} should be an object with keys, but {_shown(plain)} stands there; record it again.")
    return plain


def _list_of(plain: object, kind: type, at: str, expected: str) -> list[Any]:
    if not isinstance(plain, list) or any(not isinstance(item, kind) or isinstance(item, bool) for item in plain):
        raise UsageError(f"{at} should be a list of {expected}, but {_shown(plain)} stands there; record it again.")
    return plain


def _text(plain: object, at: str) -> str:
    if not isinstance(plain, str):
        raise UsageError(f"{at} should be a text, but {_shown(plain)} stands there; record it again.")
    return plain


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}…"
