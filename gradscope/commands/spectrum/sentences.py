"""What the spectra say, in a few plain sentences."""

from __future__ import annotations

import math

import pandas as pd

from gradscope.commands.spectrum.rows import LargestExponent, largest_exponent, misleading
from gradscope.running.grammar import listed, verb


def findings(summary: pd.DataFrame) -> list[str]:
    """Sentences derived from the largest Lyapunov exponents."""
    rows = {str(label): summary[summary["arch"] == label] for label in summary["arch"].unique()}
    found = {label: largest_exponent(mine) for label, mine in rows.items()}
    known = {label: value for label, value in found.items() if value.verdict != "unknown"}
    keeping = {label: value for label, value in known.items() if value.verdict != "expanding"}
    sentences = [_longest_and_shortest(keeping)] if keeping else []
    expanding = [label for label, value in known.items() if value.verdict == "expanding"]
    if expanding:
        sentences.append(
            f"{listed(expanding)} {verb(expanding, 'expands', 'expand')}: perturbations, and with them gradients, grow "
            "from step to step."
        )
    misled = [label for label in known if misleading(rows[label])]
    if misled:
        sentences.append(f"The one-step spectral radius misleads for {listed(misled)}.")
    without = [label for label, mine in rows.items() if (mine["status"] == "no recurrent state").all()]
    if without:
        reaches = " ".join(_reach(label, rows[label]) for label in without)
        sentences.append(
            f"{listed(without)} {verb(without, 'has', 'have')} no recurrent state, so there is no state Jacobian; the "
            f"counterpart is the temporal Jacobian ∂y_T/∂x_t. {reaches}"
        )
    troubled = [_with_count(label, rows[label]) for label in found if label not in without and _broken(rows[label])]
    if troubled:
        sentences.append(f"{listed(troubled)} gave no finite spectrum.")
    return sentences


def _reach(label: str, mine: pd.DataFrame) -> str:
    """How much of each input the last output sees."""
    names = ("log10_temporal_lag_0", "log10_temporal_lag_1", "log10_temporal_last_lag")
    at_0, at_1, at_last = (float(mine[name].mean()) for name in names)
    last = int(mine["length"].iloc[0]) - 1
    powers = f"10^{at_0:.2f} at lag 0, 10^{at_1:.2f} at lag 1, 10^{at_last:.2f} at lag {last}"
    return f"Its largest singular value for {label}: {powers}."


def _broken(mine: pd.DataFrame) -> int:
    """In how many seeds there is no exponent."""
    return int(mine["lyapunov_max_nats_per_step"].isna().sum())


def _with_count(label: str, mine: pd.DataFrame) -> str:
    return label if _broken(mine) == len(mine) else f"{label} (in {_broken(mine)} of {len(mine)} seeds)"


def _longest_and_shortest(known: dict[str, LargestExponent]) -> str:
    best = min(known, key=lambda label: abs(known[label].nats_per_step))
    worst = min(known, key=lambda label: known[label].nats_per_step)
    first = f"{best} keeps perturbations longest ({_decade(known[best].nats_per_step)})"
    if best == worst:
        return f"{first}."
    return f"{first}, {worst} forgets fastest ({_decade(known[worst].nats_per_step)})."


def _decade(exponent: float) -> str:
    """How many steps a factor of ten takes."""
    if exponent == -math.inf:
        return "it keeps nothing"
    if abs(exponent) < 1e-9:
        return "neither growth nor decay"
    steps, what = math.log(10) / abs(exponent), "lost" if exponent < 0 else "gained"
    return f"a factor of ten {what} in {_count(steps)} steps" if steps < 1e6 else "neither growth nor decay to speak of"


def _count(steps: float) -> str:
    return f"{steps:,.0f}" if steps >= 100 else f"{steps:.3g}"
