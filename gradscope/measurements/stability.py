"""Verdicts on a recurrence: from Lyapunov exponents, and from how its sensitivity grows with its memory."""

from __future__ import annotations

import math
from typing import Literal

Stability = Literal["contracting", "marginal", "expanding", "mixed", "unknown"]

Curse = Literal["cursed", "softened", "mitigated", "unknown"]
NO_POWER_LAW, EXPLODING = "no power law", "exploding"  # verdicts of a sweep that has no exponent

CURSED, MITIGATED = -2.5, -0.5  # exponents of E|dh/dω|² in 1 − |λ|: as for λ itself below, hardly any above
# Theory's exponents are whole numbers, and its own local slopes bend by up to 0.1 between 0.9 and 0.98: slopes within
# half a one say the same. Those that differ by more than that, beyond their errors, are no power law; of sweeps that
# are one, at most one in twenty is taken for none.
SAME_SLOPE, FALSE_ALARMS = 0.5, 0.05
# E|h|² of a sequence that is long enough stays where it is; a thousandfold |h| over its second half is an explosion.
EXPLOSION = 1e6
SIGNIFICANT = 2.0  # standard errors
HORIZON_TIME_CONSTANTS = 4.2  # after which the last step's E|h'|² is within 1 % of the infinite horizon's

# of a sweep over λ, as files and sentences have it
OK, TOO_SHORT, NO_DIAL, FAR = "ok", "horizon too short", "no memory dial", "far from the limit"
ONE_LAMBDA, ONE_DRAW, UNDECIDED = "one value of λ", "one draw of weights", "within its error"
STATE_EXPLODES, SENSITIVITY_EXPLODES = "state explodes", "sensitivity explodes"  # and where
NON_FINITE = "non-finite"  # before the two, where there are no numbers any more


def stability(exponent_nats_per_step: float, standard_error: float, length: int) -> Stability:
    """What a recurrence does to perturbations over a sequence.

    Marginal: the largest Lyapunov exponent is within two standard errors of 0, or so small that it changes a
    perturbation by less than a factor of e over the whole length.

    Args:
        exponent_nats_per_step: The largest exponent; −inf for a recurrence that forgets everything.
        standard_error: Its standard error; NaN counts as 0.
        length: Steps of the sequence.
    """
    if math.isnan(exponent_nats_per_step):
        return "unknown"
    error = 0.0 if math.isnan(standard_error) else standard_error
    if abs(exponent_nats_per_step) <= max(SIGNIFICANT * error, 1 / length):
        return "marginal"
    return "expanding" if exponent_nats_per_step > 0 else "contracting"


def radius_stability(spectral_radius: float, length: int) -> Stability:
    """What the one-step spectral radius would say if every step were the same."""
    exponent = math.log(spectral_radius) if spectral_radius > 0 else spectral_radius - math.inf
    return stability(exponent, 0.0, length)


def curse(exponent: float, standard_error: float = math.nan) -> Curse:
    """How bad the curse of memory is, from the exponent of E|dh/dω|² in 1 − |λ|.

    Cursed below −2.5 (−3 is what λ itself suffers), mitigated above −0.5, softened between; unknown where a border lies
    within two standard errors.

    Args:
        exponent: NaN where there is none.
        standard_error: NaN counts as 0.
    """
    error = 0.0 if math.isnan(standard_error) else SIGNIFICANT * standard_error
    if math.isnan(exponent) or any(exponent - error < border < exponent + error for border in (CURSED, MITIGATED)):
        return "unknown"
    if exponent <= CURSED:
        return "cursed"
    return "mitigated" if exponent >= MITIGATED else "softened"


def has_horizon(modulus: float, length: int) -> bool:
    """Whether a sequence is as good as an infinite one for a memory λ^n driven by white noise."""
    return modulus <= 0 or -length * math.log(modulus) >= HORIZON_TIME_CONSTANTS
