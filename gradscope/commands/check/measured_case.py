"""What a case was measured to be: the numbers that a baseline keeps and a check compares, and their form in files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradscope.commands.check.statistic import Statistic, StatisticName
from gradscope.errors import UsageError
from gradscope.running.plain import NOT_A_NUMBER, plain_number
from gradscope.running.plain import plain as to_plain

_TEXTS = ("definition_hash", "stream_hash", "weights_hash", "noise_probe")
_STATISTIC_KEYS = ("noise_decades", "steps", "values")


@dataclass(frozen=True)
class MeasuredCase:
    """Everything that one case gave.

    Attributes:
        name: Unique in a file.
        definition: What determines the numbers, in plain data that JSON can hold: the settings of the case and the
            version of the measurement. Where it differs, nothing can be compared.
        is_own: The model is a class of the user's, whose weights are code under test: they never make a case
            incomparable.
        seeds: Of weights, inputs and targets.
        definition_hash: sha256 of the definition.
        stream_hash: sha256 of the raw random numbers, of all seeds: what weights and inputs are made of.
        weights_hash: sha256 of the resulting weights, of all seeds.
        statistics: What the gate asks for.
        noise_probe: How rounding was made to show: ``"symmetry"`` (permuted hidden units) or ``"jitter"`` (one ulp).
    """

    name: str
    definition: Mapping[str, Any]
    is_own: bool
    seeds: tuple[int, ...]
    definition_hash: str
    stream_hash: str
    weights_hash: str
    statistics: Mapping[StatisticName, Statistic]
    noise_probe: str

    @property
    def has_nan(self) -> bool:
        """Whether a value is not a number, so that nothing could ever be compared with it."""
        return any(np.isnan(statistic.values).any() for statistic in self.statistics.values())


@dataclass(frozen=True)
class FailedCase:
    """A case that could not be measured.

    Attributes:
        reason: One sentence.
    """

    name: str
    reason: str


def plain_case(case: MeasuredCase) -> dict[str, Any]:
    """Dictionaries, lists, texts and numbers alone; the name is left to the key under which it stands.

    ``values`` is a list a seed, or one number a seed where the statistic is a single number.
    """
    return {
        "definition": json.loads(canonical(case.definition)),
        "is_own": case.is_own,
        "seeds": list(case.seeds),
        "definition_hash": case.definition_hash,
        "stream_hash": case.stream_hash,
        "weights_hash": case.weights_hash,
        "noise_probe": case.noise_probe,
        "statistics": {str(name): _plain_statistic(statistic) for name, statistic in case.statistics.items()},
    }


def read_case(name: str, plain: object, where: str) -> MeasuredCase:
    """The case that plain data stand for.

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
    return MeasuredCase(
        name=name,
        definition=dict(_mapping(_entry(case, "definition", at), f"{at}, definition")),
        is_own=is_own,
        seeds=tuple(seeds),
        statistics={
            StatisticName.read(text): _statistic(value, len(seeds), f"{at}, {text}")
            for text, value in statistics.items()
        },
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


def _listed(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain data")


def _plain_statistic(statistic: Statistic) -> dict[str, Any]:
    by_seed = to_plain(statistic.values.tolist())
    return {
        "noise_decades": plain_number(statistic.noise_decades),
        "steps": list(statistic.steps),
        "values": by_seed if statistic.steps else [values[0] for values in by_seed],
    }


def _statistic(plain: object, seeds: int, at: str) -> Statistic:
    statistic = _mapping(plain, at)
    noise, steps_given, by_seed = (_entry(statistic, key, at) for key in _STATISTIC_KEYS)
    steps = _list_of(steps_given, int, f"{at}, steps", "whole numbers")
    if not isinstance(by_seed, list) or len(by_seed) != seeds:
        given = f"{len(by_seed)} rows" if isinstance(by_seed, list) else _shown(by_seed)
        raise UsageError(f"{at}, values should be {seeds} rows, one a seed, but {given} stand there; record it again.")
    if not steps:
        by_seed = [[value] for value in by_seed]
    return Statistic(
        values=np.array([_values(plain, max(1, len(steps)), f"{at}, row {i}") for i, plain in enumerate(by_seed, 1)]),
        steps=tuple(steps),
        noise_decades=_number(noise, f"{at}, noise_decades"),
    )


def _values(plain: object, columns: int, at: str) -> NDArray[np.float64]:
    """Those of one seed."""
    if not isinstance(plain, list):
        raise UsageError(f"{at} should be a list of numbers, but {_shown(plain)} stands there; record it again.")
    if len(plain) != columns:
        raise UsageError(f"{at} should have {columns} numbers, one a step, but has {len(plain)}; record it again.")
    return np.array([_number(value, at) for value in plain], dtype=np.float64)


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
