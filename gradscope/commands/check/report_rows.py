"""Verdicts as cells of text, for every report that is a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradscope.commands.check.sentences import described, noise_text
from gradscope.commands.check.verdict import CaseVerdict, worst_first

HEADERS = ("case", "verdict", "change", "decades", "where", "from step", "seeds", "tolerance", "noise", "cause")


def verdict_rows(verdicts: Sequence[CaseVerdict]) -> list[tuple[str, ...]]:
    """One row a case, the worst news first; empty cells where nothing was compared."""
    return [_row(verdict) for verdict in worst_first(verdicts)]


def decades(value: float) -> str:
    """A shift with its sign, ``-inf`` for what became exactly zero."""
    if math.isinf(value):
        return "+inf" if value > 0 else "-inf"
    return "0" if value == 0 else f"{value:+.3g}"


def _row(verdict: CaseVerdict) -> tuple[str, ...]:
    statistic = verdict.decisive
    if statistic is None:
        return (verdict.name, verdict.outcome, *[""] * (len(HEADERS) - 2))
    is_changed = verdict.outcome == "changed"
    return (
        verdict.name,
        verdict.outcome,
        verdict.kind,
        decades(statistic.shift_decades),
        described(statistic.name, statistic.step),
        str(statistic.from_step) if is_changed and statistic.from_step is not None else "",
        f"{statistic.seeds_beyond} of {statistic.seeds}",
        f"{statistic.tolerance_decades:.3g}",
        noise_text(statistic.noise_decades),
        verdict.cause,
    )
