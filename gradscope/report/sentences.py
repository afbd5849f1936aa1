"""What was found, in one or two plain sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from gradscope.report.rows import finite_mean, row_verdict


def findings(summary: pd.DataFrame) -> list[str]:
    """Sentences derived from the numbers at the longest length."""
    longest = int(summary["length"].max())
    rows = summary[summary["length"] == longest]
    relative: dict[str, float] = {}
    for label in rows["arch"].unique():
        value = finite_mean(rows.loc[rows["arch"] == label, "log10_relative_norm"].to_numpy(dtype=float))
        if not math.isnan(value):
            relative[str(label)] = value
    if not relative:
        return [f"No architecture gave finite gradients at T={longest}."]
    sentences = [_spread(relative, longest)]
    lost = _lost(rows)
    if lost:
        sentences.append(lost)
    exploding = [n for n in relative if row_verdict(rows[rows["arch"] == n]) == "exploding"]
    if exploding:
        sentences.append(f"{_listed(exploding)} {_verb(exploding, 'explodes', 'explode')}: clip, or shrink the gain.")
    return sentences


def _spread(relative: dict[str, float], longest: int) -> str:
    best, worst = (min(relative, key=lambda n: -_kept(relative[n])), min(relative, key=lambda n: _kept(relative[n])))
    first = f"Over {longest} steps {best} keeps {_amount(relative[best])}"
    if len(relative) == 1 or best == worst:
        return f"{first}."
    return f"{first}, {worst} {_amount(relative[worst])}."


def _kept(value: float) -> float:
    """Neither vanishing nor exploding is best."""
    return -abs(value)


def _amount(value: float) -> str:
    if abs(value) < 2:
        return f"{100 * 10**value:.3g} % of its gradient"
    return f"10^{value:.0f} of its gradient" if value < 0 else f"10^{value:.0f} times its gradient"


def _lost(rows: pd.DataFrame) -> str:
    found = []
    for label in rows["arch"].unique():
        steps = rows.loc[rows["arch"] == label, "float32_lost_steps_back"].to_numpy(dtype=float)
        if len(steps) and np.isfinite(steps).all():
            found.append(f"{label} from {steps.mean():.0f} steps back on")
    return f"A plain float32 backward pass prints exactly 0 for {_listed(found)}." if found else ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(names: list[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
