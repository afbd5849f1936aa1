"""From numbers to a verdict and to what to try."""

from __future__ import annotations

import math
from typing import Literal

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.measurements.summary import LengthSummary

Verdict = Literal["vanishing", "stable", "exploding", "saturated", "unknown"]

VANISHING_DECADES = -2.0  # relative norm at step 1 at or below: vanishing
EXPLODING_DECADES = 2.0  # at or above: exploding


def verdict(summary: LengthSummary) -> Verdict:
    """The verdict on one length.

    ``saturated``: the gradient is exactly zero although a path exists; ``vanishing`` and ``exploding``: at step 1 it is
    two decades or more below or above the reference lag; ``stable``: in between; ``unknown``: it is no number.
    """
    if summary.status == "saturated" or math.isinf(summary.log10_norm_step_1):
        return "saturated"
    return verdict_of(summary.log10_relative_norm)


def verdict_of(log10_relative_norm: float) -> Verdict:
    """The verdict on a relative norm."""
    if math.isnan(log10_relative_norm):
        return "unknown"
    if log10_relative_norm <= VANISHING_DECADES:
        return "vanishing"
    return "exploding" if log10_relative_norm >= EXPLODING_DECADES else "stable"


def advice(
    label: str,
    finding: Verdict,
    length: int,
    log10_weight_gradient_norm: float = math.nan,
    clip_norm: float | None = None,
) -> str:
    """One line of what to try; empty where nothing is wrong.

    Args:
        label: The architecture's label, whose beginning is its name.
        finding: The verdict.
        length: At this length T.
        log10_weight_gradient_norm: Of the recurrent weights, for the clipping factor.
        clip_norm: The norm that gradients are clipped to.
    """
    name = label.partition(":")[0]
    if finding == "exploding":
        return f"{_calm(name)}{_clipping(log10_weight_gradient_norm, clip_norm)}"
    if finding == "saturated":
        return "units saturate: smaller initial weights or inputs, or normalise the inputs; --dtype float64 to see more"
    if finding == "vanishing":
        return _remember(name, length, label)
    return "not finite: smaller weights, --loss last-probe, or --dtype float64" if finding == "unknown" else ""


def _remember(name: str, length: int, label: str) -> str:
    """What lengthens the memory to the length asked for: every step may cost 2/T decades.

    An option that the label already carries is not advised again.
    """
    modulus = 10 ** (VANISHING_DECADES / length)
    options = {option.name for option in ARCHITECTURES[name].options} if name in ARCHITECTURES else set()
    options -= {part.partition("=")[0] for part in label.split(":")[1:]}
    if "chrono" in label:
        return f"--component c, which carries the memory, or lru:r_min={modulus:.4g}:r_max=0.9999"
    if "chrono" in options:
        return f"{name}:chrono={length}, or {name}:forget_bias=3 for a memory of about 20 steps"
    if "r_min" in options:
        return f"{name}:r_min={modulus:.4g}:r_max=0.9999, since |λ| ≥ 10^(-2/T) keeps two decades over T={length}"
    if "inner" in options:
        return f"{name}:inner=tanh, whose drift does not saturate h"
    if "radius" in options:
        return f"{name}:init=orthogonal:radius={modulus:.4g} or more"
    if "L" in options:
        return f"a shortcut with alpha=1 and L near T/10, {name}:L={max(2, length // 10)}"
    family = ARCHITECTURES[name].family if name in ARCHITECTURES else ""
    if family == "attention":
        return "larger initial weights: the residual path is direct, what is small is the attention to far steps"
    if family == "gated":
        return "a bias that keeps the gate open at first, or lstm:chrono=" + str(length)
    if family in ("diagonal", "matrix-state"):
        return f"a gate bias for a factor of 10^(-2/T) = {modulus:.4g} a step, or lru:r_min={modulus:.4g}:r_max=0.9999"
    return f"an orthogonal or identity recurrent matrix, or a gated cell: lstm:chrono={length}"


def _calm(name: str) -> str:
    options = {option.name for option in ARCHITECTURES[name].options} if name in ARCHITECTURES else set()
    if "alpha" in options:
        return f"{name}:alpha=0.5, or clip the gradient's norm"
    if "radius" in options:
        return f"{name}:init=orthogonal:radius=1, or clip the gradient's norm"
    return "a smaller recurrent gain, or clip the gradient's norm"


def _clipping(log10_norm: float, clip_norm: float | None) -> str:
    if clip_norm is None or not math.isfinite(log10_norm):
        return ""
    factor = min(0.0, math.log10(clip_norm) - log10_norm)
    return f" (to {clip_norm:g}: it shrinks by a factor of 10^{factor:.1f})"
