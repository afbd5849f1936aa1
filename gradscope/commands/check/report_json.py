"""Verdicts as JSON, with everything that is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gradscope.commands.check.plain_case import plain_number
from gradscope.commands.check.verdict import OUTCOMES, CaseVerdict, exit_code

SCHEMA = 1


def verdict_json(verdicts: Sequence[CaseVerdict], base_name: str) -> str:
    """One object a case; numbers that JSON lacks are the words ``"inf"``, ``"-inf"`` and ``"nan"``."""
    document = {
        "schema": SCHEMA,
        "against": base_name,
        "exit_code": exit_code(verdicts),
        "counts": {outcome: sum(v.outcome == outcome for v in verdicts) for outcome in OUTCOMES},
        "cases": [case_document(verdict) for verdict in verdicts],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def case_document(verdict: CaseVerdict) -> dict[str, Any]:
    """One verdict as plain data."""
    plain: dict[str, Any] = _plain(asdict(verdict))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return plain_number(value) if isinstance(value, float) else value
