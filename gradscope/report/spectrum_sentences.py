"""What the spectra say, in a few plain sentences."""

from __future__ import annotations

import math

import pandas as pd

from gradscope.report.sentences import listed, verb
from gradscope.report.spectrum_rows import LargestExponent, largest_exponent, misleading


def findings(summary: pd.DataFrame) -> list[str]:
    """Sentences derived from the largest Lyapunov exponents."""
    rows = {str(label): summary[summary["arch"] == label] for label in summary["arch"].unique()}
    found = {label: largest_exponent(mine) for label, mine in rows.items()}
    known = {label: value for label, value in found.items() if value.verdict != "unknown"}
    sentences = [_longest_and_shortest(known)] if known else []
    expanding = [label for label, value in known.items() if value.verdict == "expanding"]
    if expanding:
        sentences.append(
            f"{listed(expanding)} {verb(expanding, 'expands', 'expand')}: a perturbation, and with it a gradient, "
            "grows without bound."
        )
    misled = [label for label in known if misleading(rows[label])]
    if misled:
        sentences.append(f"The one-step spectral radius misleads for {listed(misled)}.")
    without = [label for label, mine in rows.items() if (mine["status"] == "no recurrent state").all()]
    if without:
        sentences.append(
            f"{listed(without)} {verb(without, 'has', 'have')} no recurrent state, so there is no state Jacobian; the "
            "counterpart is the temporal Jacobian ∂y_T/∂x_t."
        )
    troubled = [label for label in found if label not in known and label not in without]
    if troubled:
        sentences.append(f"{listed(troubled)} gave no finite spectrum.")
    return sentences


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
    return f"a factor of ten {what} in {steps:.3g} steps" if steps < 1e6 else "neither growth nor decay to speak of"
