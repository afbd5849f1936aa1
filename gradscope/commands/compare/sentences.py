"""What was found, in a few plain sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from gradscope.measurements.verdict import over_seeds
from gradscope.numerics.averages import Values, middle
from gradscope.running.grammar import listed, verb


def findings(summary: pd.DataFrame) -> list[str]:
    """Sentences derived from the numbers at the longest length."""
    longest = int(summary["length"].max())
    rows = summary[summary["length"] == longest]
    relative: dict[str, float] = {}
    for label in rows["arch"].unique():
        value = middle(_finite(rows.loc[rows["arch"] == label, "log10_relative_norm"]))
        if not math.isnan(value):
            relative[str(label)] = value
    sentences = [_spread(relative, longest)] if relative else []
    sentences += _left_out(rows, longest)
    lost = _lost(rows)
    if lost:
        sentences.append(lost)
    exploding = _with_verdict(rows, "exploding")
    if exploding:
        sentences.append(f"{listed(exploding)} {verb(exploding, 'explodes', 'explode')}.")
    frozen = _with_verdict(rows, "frozen")
    if frozen:
        sentences.append(
            f"{listed(frozen)} {verb(frozen, 'is', 'are')} frozen: the gradient arrives, but hardly anything is "
            "written into the state."
        )
    return sentences


def _with_verdict(rows: pd.DataFrame, wanted: str) -> list[str]:
    labels = map(str, rows["arch"].unique())
    return [label for label in labels if over_seeds(map(str, rows.loc[rows["arch"] == label, "verdict"])) == wanted]


def _finite(values: pd.Series) -> Values:
    numbers = values.to_numpy(dtype=float)
    return np.asarray(numbers[np.isfinite(numbers)])


def _spread(relative: dict[str, float], longest: int) -> str:
    best, worst = (min(relative, key=lambda n: -_kept(relative[n])), min(relative, key=lambda n: _kept(relative[n])))
    verb, amount = _amount(relative[best])
    first = f"Over {_steps(longest)} {best} {verb} {amount}"
    if best == worst:
        return f"{first}."
    again, amount = _amount(relative[worst], multiplied="it")
    return f"{first}, {worst} {amount}." if verb == again == "keeps" else f"{first}, {worst} {again} {amount}."


def _kept(value: float) -> float:
    """Neither vanishing nor exploding is best."""
    return -abs(value)


def _amount(value: float, multiplied: str = "its gradient") -> tuple[str, str]:
    """A verb and its object: keeps 3.2 % of its gradient, ends with 76 times its gradient, multiplies it by 10^9."""
    if value >= 2:
        return "multiplies", f"{multiplied} by 10^{value:.0f}"
    if value >= 1:
        return "ends with", f"{10**value:.0f} times its gradient"
    percent = 100 * 10**value
    share = f"10^{value:.0f}" if value <= -2 else f"{percent:.3g} %" if value < 0 else f"{percent:.0f} %"
    return "keeps", f"{share} of its gradient"


def _left_out(rows: pd.DataFrame, longest: int) -> list[str]:
    """What the first sentence is silent about: exact zeros, and what is no finite number."""
    zeros: list[str] = []
    broken: list[str] = []
    for label in rows["arch"].unique():
        mine = rows[rows["arch"] == label]
        zero = np.isneginf(mine["log10_norm_step_1"].to_numpy(dtype=float))
        finite = np.isfinite(mine["log10_relative_norm"].to_numpy(dtype=float))
        for found, which in ((zeros, zero), (broken, ~zero & ~finite)):
            if which.any():
                found.append(f"{label}{'' if which.all() else f' (in {which.sum()} of {len(which)} seeds)'}")
    if np.isneginf(rows["log10_norm_step_1"].to_numpy(dtype=float)).all():
        return [f"All gradients are exactly zero at the first of {_steps(longest)}."]
    return [
        f"{listed(names)} {verb(names, 'gives', 'give')} {what}."
        for names, what in ((zeros, "an exact zero"), (broken, "no finite gradient"))
        if names
    ]


def _lost(rows: pd.DataFrame) -> str:
    found = []
    for label in rows["arch"].unique():
        steps = rows.loc[rows["arch"] == label, "float32_lost_steps_back"].to_numpy(dtype=float)
        if len(steps) and np.isfinite(steps).all():
            found.append(f"{label} from {_steps(middle(steps))} back on")
    return f"A plain float32 backward pass prints exactly 0 for {listed(found)}." if found else ""


def _steps(count: float) -> str:
    return "1 step" if round(count) == 1 else f"{count:.0f} steps"
