"""``gradscope-baseline.json``: the numbers that later ones are compared with, kept to be read in a pull request.

Schema 1, keys sorted, floats with all their digits, one seed a line::

    {"created": date, "tool": version of gradscope, "schema": 1,
     "history": [{"date", "commit", "reason", "cases", "max_shift_decades"}],
     "profiles": {"cpu-f64": {
         "environments": {id: {"torch": …, "python": …, …}},
         "failed": {case: reason},                            only in a candidate
         "cases": {name: {"definition", "seeds", "statistics", the three hashes, …, "environment": id, "sha256"}}}}}
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gradscope import __version__
from gradscope.commands.check.baseline import Baseline, Change, Entry, Environment, now
from gradscope.commands.check.measured_case import canonical, integrity, plain_case, read_case
from gradscope.commands.check.names import PROFILE
from gradscope.errors import NOT_COMPARED, GradscopeError, UsageError
from gradscope.running.atomic_file import locked, write_whole
from gradscope.running.plain import NOT_A_NUMBER, plain_number

SCHEMA = 1
_ADDED = ("environment", "sha256")
_RESTORE = "restore it from version control, or delete it and write it again with gradscope baseline record"


class MissingBaseline(GradscopeError):
    """There is no baseline, or one without a case: nothing can be compared."""

    exit_code = NOT_COMPARED


def read_baseline(path: Path) -> Baseline:
    """A baseline or a candidate from its file.

    Raises:
        MissingBaseline: There is no such file.
        UsageError: It is no baseline, was damaged, or comes from a later gradscope.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingBaseline(
            f"There is no file {path}; gradscope baseline record writes a baseline, gradscope check a candidate."
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give the path of a baseline.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8; {_RESTORE}.") from None
    return parse_baseline(text, str(path))


def parse_baseline(text: str, where: str) -> Baseline:
    """A baseline from its text; ``where`` names it in messages. Raises as :func:`read_baseline` does."""
    document = _document(text, where)
    schema = document.get("schema")
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise UsageError(f"{where} is no baseline of gradscope: it has no whole number as schema; {_RESTORE}.")
    if schema < 1:
        raise UsageError(f"{where} has schema {schema}, and the first one is 1; {_RESTORE}.")
    if schema > SCHEMA:
        raise UsageError(
            f"{where} has schema {schema}, and this gradscope ({__version__}) reads up to {SCHEMA}; "
            "install the gradscope that wrote it, or a later one."
        )
    profiles = dict(_object(document, "profiles", where))
    profile = _object(profiles, PROFILE, f"{where}, profiles") if PROFILE in profiles else {}
    profiles.pop(PROFILE, None)
    return Baseline(
        cases=_cases(profile, where),
        history=tuple(_change(item, where) for item in _list(document, "history", where)),
        failed={name: str(reason) for name, reason in _object(profile, "failed", where).items()},
        created=str(document.get("created", "")),
        tool=str(document.get("tool", "")),
        other_profiles=profiles,
    )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes the file, whole or not at all.

    Raises:
        UsageError: It cannot be written.
    """
    write_whole(path, baseline_text(baseline))


def update_baseline(path: Path, change: Callable[[Baseline], Baseline]) -> Baseline:
    """Reads, changes and writes a baseline while no other process does; a missing one is read as empty.

    Returns:
        What was written.
    """
    with locked(path):
        current = read_baseline(path) if path.exists() else Baseline(created=now())
        changed = change(current)
        write_baseline(path, changed)
    return changed


def baseline_text(baseline: Baseline) -> str:
    """The content of the file."""
    environments = {_identity(entry.environment): dict(entry.environment) for entry in baseline.cases.values()}
    cases = {
        name: plain_case(entry.measured) | {"environment": _identity(entry.environment), "sha256": entry.sha256}
        for name, entry in baseline.cases.items()
    }
    profile: dict[str, Any] = {"cases": cases, "environments": environments}
    if baseline.failed:
        profile["failed"] = dict(baseline.failed)
    document = {
        "schema": SCHEMA,
        "tool": __version__,
        "created": baseline.created,
        "history": [_plain_change(change) for change in baseline.history],
        "profiles": dict(baseline.other_profiles) | {PROFILE: profile},
    }
    return _pretty(document) + "\n"


def _pretty(value: object, indent: str = "") -> str:
    """JSON with sorted keys; a list without a list or an object in it stands on one line."""
    inner = indent + " "
    if isinstance(value, Mapping) and value:
        items = [f"{inner}{json.dumps(key, ensure_ascii=False)}: {_pretty(value[key], inner)}" for key in sorted(value)]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, list | Mapping) for item in value):
        return "[\n" + ",\n".join(f"{inner}{_pretty(item, inner)}" for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _document(text: str, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{where} has the key '{twice}' twice in one object; {_RESTORE}.")
        return found

    words = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
    try:
        document = json.loads(text, parse_constant=words.__getitem__, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} is not valid JSON (line {error.lineno}: {error.msg}), as if it was cut off or edited; {_RESTORE}."
        ) from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply for a baseline; {_RESTORE}.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{where} is no baseline of gradscope: it holds no object; {_RESTORE}.")
    return document


def _cases(profile: Mapping[str, Any], where: str) -> dict[str, Entry]:
    environments = _object(profile, "environments", where)
    return {name: _case(name, plain, environments, where) for name, plain in _object(profile, "cases", where).items()}


def _case(name: str, plain: object, environments: Mapping[str, Any], where: str) -> Entry:
    measured = read_case(name, plain, where)
    plain = plain if isinstance(plain, dict) else {}
    sha256 = str(plain.get("sha256", ""))
    environment = environments.get(str(plain.get("environment", "")), {})
    if not isinstance(environment, dict):
        raise UsageError(f"{where}: the environment of case {name} should be an object; {_RESTORE}.")
    kept = {key: value for key, value in plain.items() if key not in _ADDED}
    return Entry(
        measured,
        {key: str(value) for key, value in environment.items()},
        sha256,
        is_edited=integrity(kept) != sha256,
    )


def _plain_change(change: Change) -> dict[str, Any]:
    shift = change.max_shift_decades
    return {
        "date": change.date,
        "commit": change.commit,
        "reason": change.reason,
        "cases": list(change.cases),
        "max_shift_decades": None if shift is None else plain_number(shift),
    }


def _change(plain: object, where: str) -> Change:
    at = f"{where}, history"
    if not isinstance(plain, dict):
        raise UsageError(f"{at} should be a list of objects; {_RESTORE}.")
    shift = plain.get("max_shift_decades")
    shift = NOT_A_NUMBER.get(shift, math.nan) if isinstance(shift, str) else shift
    if shift is not None and (isinstance(shift, bool) or not isinstance(shift, int | float)):
        raise UsageError(f"{at}: max_shift_decades should be a number; {_RESTORE}.")
    return Change(
        date=str(plain.get("date", "")),
        commit=str(plain.get("commit", "")),
        reason=str(plain.get("reason", "")),
        cases=tuple(str(name) for name in _list(plain, "cases", at)),
        max_shift_decades=None if shift is None else float(shift),
    )


def _object(plain: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = plain.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{where}: {key} should be an object with keys; {_RESTORE}.")
    return found


def _list(plain: Mapping[str, Any], key: str, where: str) -> list[Any]:
    found = plain.get(key, [])
    if not isinstance(found, list):
        raise UsageError(f"{where}: {key} should be a list; {_RESTORE}.")
    return found


def _identity(environment: Environment) -> str:
    return hashlib.sha256(canonical(environment).encode()).hexdigest()[:12]
