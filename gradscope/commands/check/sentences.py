"""Verdicts in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradscope.commands.check.statistic import EXPONENT, NORM, RADIUS, SENSITIVITY, SLOPE, StatisticName
from gradscope.commands.check.verdict import Cause, Kind, StatisticVerdict

_HEADLINES: dict[Kind, str] = {
    "vanishing more": "gradients vanish more",
    "exploding more": "gradients explode more",
    "shifted": "gradients are shifted",
    "": "changed",
}
_CAUSES: dict[Cause, str] = {
    "initialisation": "the initial weights differ",
    "dynamics": "the initial weights are the same, so the dynamics differ",
    "": "",
}
_QUANTITIES = {
    SLOPE: "slope × length",
    EXPONENT: "Lyapunov exponent × length",
    RADIUS: "log10 spectral radius × length",
    SENSITIVITY: "sensitivity exponent",
}
SHOWN_DIFFERENCES = 4


def described(name: StatisticName, step: int | None) -> str:
    """A statistic in the field's signs, such as ``log10‖∂L/∂h_1‖ at T=200`` for ``T=200 log10_norm h``."""
    at = "" if name.length is None else f" at T={name.length}"
    if name.quantity == NORM and step is not None:
        return f"log10‖∂L/∂{name.of}_{step}‖{at}"
    if name.is_of_parameter:
        return f"log10‖∂L/∂{name.of}‖{at}"
    if name.quantity in _QUANTITIES:
        return f"{_QUANTITIES[name.quantity]}{f' of {name.of}' if name.of else ''}{at}"
    return str(name) if step is None else f"{name} at step {step}"  # a file of another gradscope has it


def noise_text(noise_decades: float) -> str:
    """A measured noise with as many digits as it deserves: ``3e-15``, ``0.96``."""
    return f"{noise_decades:.2g}" if noise_decades >= 0.01 else f"{noise_decades:.0e}"


def changed_sentence(
    case: str, decisive: StatisticVerdict, kind: Kind, cause: Cause, environment: Sequence[str]
) -> str:
    """Which case, what moved which way by how much, from which step on, in how many seeds, and why."""
    what = described(decisive.name, decisive.step)
    numbers = f"tolerance {decisive.tolerance_decades:.3g}, noise {noise_text(decisive.noise_decades)}"
    moved = _movement(decisive.shift_decades)
    if decisive.tier == "robust":
        body = f"{what} {moved} in the median over {decisive.seeds} seeds ({numbers})"
    else:
        median = f"median {decisive.median_decades:+.3g}, " if decisive.seeds > 1 else ""
        body = f"{what} {moved} in seed {decisive.seed} ({median}{numbers})"
        body += f"{_reach(decisive)}, in {decisive.seeds_beyond} of {decisive.seeds} seeds"
    elsewhere = f"; measured elsewhere: {', '.join(environment)}" if environment else ""
    return f"{case}: {_HEADLINES[kind]}: {body}; {_CAUSES[cause]}{elsewhere}."


def ok_sentence(case: str, decisive: StatisticVerdict, statistics: Sequence[StatisticVerdict]) -> str:
    """How many statistics agree, and how closely."""
    largest = abs(decisive.shift_decades)
    close = "to the last bit" if largest == 0 else f"within {largest:.1g} decades"
    return f"{case}: {len(statistics)} statistics agree {close} (tolerance {decisive.tolerance_decades:.3g})."


def noisy_sentence(case: str, decisive: StatisticVerdict, statistics: Sequence[StatisticVerdict]) -> str:
    """What could not be judged, why, and what to do."""
    noisy = sum(statistic.outcome == "noisy" for statistic in statistics)
    return (
        f"{case}: {noisy} of {len(statistics)} statistics cannot be judged: rounding alone moves "
        f"{described(decisive.name, decisive.step)} by {noise_text(decisive.noise_decades)} decades, so nothing below "
        f"{decisive.tolerance_decades:.2g} would show; take shorter lengths or more seeds."
    )


def definition_differences(base: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which keys differ, from what to what."""
    before, after = _flat(base), _flat(new)
    keys = [*before, *(key for key in after if key not in before)]
    changed = [key for key in keys if key not in before or key not in after or before[key] != after[key]]
    if not changed:
        return "its hash differs and its settings do not"
    shown = [f"{key} was {_shown(before, key)} and is {_shown(after, key)}" for key in changed[:SHOWN_DIFFERENCES]]
    more = len(changed) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _movement(shift: float) -> str:
    if math.isinf(shift):
        return "became exactly 0 (−inf)" if shift < 0 else "is no longer exactly 0 (it was −inf)"
    return f"{'fell' if shift < 0 else 'rose'} by {abs(shift):.3g} decades"


def _reach(decisive: StatisticVerdict) -> str:
    if decisive.from_step is None or decisive.to_step is None:
        return ""
    if decisive.from_step == decisive.to_step:
        return f", beyond it at step {decisive.from_step} alone"
    gaps = "" if decisive.is_contiguous else ", with gaps"
    return f", beyond it from step {decisive.from_step} back to step {decisive.to_step}{gaps}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(item) if isinstance(item, tuple) else item
    return flat


def _shown(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return "not there"
    text = repr(flat[key])
    return text if len(text) <= 60 else f"{text[:57]}…"
