"""From numbers to a verdict and to what to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.contract.option import OptionValue
from gradscope.errors import UsageError
from gradscope.measurements.summary import LengthSummary

Verdict = Literal["vanishing", "stable", "exploding", "saturated", "unknown"]
Remedy = Callable[[Mapping[str, Any], int], dict[str, OptionValue]]

VANISHING_DECADES = -2.0  # relative norm at step 1 at or below: vanishing
EXPLODING_DECADES = 2.0  # at or above: exploding


def _keeping_modulus(length: int) -> float:
    """Smallest factor of every step that loses no more than two decades over T, 10^(-2/T), rounded up."""
    scale = math.pow(10, 2 + len(str(length)))
    return math.ceil(scale * math.pow(10, VANISHING_DECADES / length)) / scale


def _keeping_bias(length: int) -> float:
    """Bias b of a forget gate with σ(b) = 10^(-2/T), rounded up; at least the 1 of Jozefowicz et al. (2015)."""
    modulus = math.pow(10, VANISHING_DECADES / length)
    return max(1.0, math.ceil(10 * math.log(modulus / (1 - modulus))) / 10)


# Options that lengthen or calm an architecture's memory, from its options and T; each was measured to help. L is small
# because an SC-LSTM's shortcut is reached and left in up to L lossy steps, which cost more than the chain of anchors.
LASTING: dict[str, Remedy] = {
    "rrn": lambda given, length: {"inner": "tanh"} if given["depth"] > 1 else {},  # one tanh sub-layer explodes
    "linear-rnn": lambda given, length: {"init": "orthogonal", "radius": 1.0},
    "lstm": lambda given, length: {"forget_bias": max(given["forget_bias"], _keeping_bias(length)), "chrono": 0},
    "sc-lstm-i": lambda given, length: {"L": min(given["L"], 5), "alpha": 1.0},
    "sc-lstm-p": lambda given, length: {"L": min(given["L"], 5), "alpha": 1.0},
    "skip-rnn": lambda given, length: {"k": 4, "alpha": 0.6},
    "lru": lambda given, length: {"r_min": max(given["r_min"], _keeping_modulus(length)), "r_max": 1.0},
}
CALMING: dict[str, Remedy] = {
    "residual-rnn": lambda given, length: {"alpha": min(abs(given["alpha"]), float(f"{2 / length:.2g}"))},
    "linear-rnn": lambda given, length: {"init": "orthogonal", "radius": 1.0},
    "sc-lstm-i": lambda given, length: {"L": max(given["L"], 5), "alpha": min(given["alpha"], 1.0)},
    "sc-lstm-p": lambda given, length: {"L": max(given["L"], 5), "alpha": min(given["alpha"], 1.0)},
    "skip-rnn": lambda given, length: {"k": 4, "alpha": min(given["alpha"], 0.6)},
}


def verdict(summary: LengthSummary) -> Verdict:
    """The verdict on one length.

    ``saturated``: the gradient is exactly zero although a path exists; ``vanishing`` and ``exploding``: at step 1 it is
    two decades or more below or above the reference lag; ``stable``: in between; ``unknown``: it is no number.
    """
    if summary.status == "saturated" or summary.log10_norm_step_1 == -math.inf:
        return "saturated"
    return verdict_of(summary.log10_relative_norm)


def verdict_of(log10_relative_norm: float) -> Verdict:
    """The verdict on a relative norm."""
    if log10_relative_norm == -math.inf:
        return "saturated"
    if not math.isfinite(log10_relative_norm):
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
    *,
    component: str = "",
) -> str:
    """One line of what to try; empty where nothing is wrong.

    Options that it names are the catalogue's, with values that the label does not carry already.

    Args:
        label: The architecture's label, whose beginning is its name.
        finding: The verdict.
        length: At this length T.
        log10_weight_gradient_norm: Of the recurrent weights, for the clipping factor.
        clip_norm: The norm that gradients are clipped to.
        component: What the finding is about.
    """
    if finding == "exploding":
        calmer = _changed(label, CALMING, length) or "smaller weights"
        return f"{calmer}, or clip the gradient's norm{_clipping(log10_weight_gradient_norm, clip_norm)}"
    if finding == "saturated":
        calmer = _changed(label, CALMING, length)
        general = "where units saturate, smaller weights or inputs, or normalised inputs; --dtype float64 to see more"
        return f"{calmer}; {general}" if calmer else general
    if finding == "vanishing":
        return ", or ".join(_lasting(label, length, component))
    return "smaller weights, --loss last-probe, or --dtype float64" if finding == "unknown" else ""


def _lasting(label: str, length: int, component: str) -> list[str]:
    """What lengthens the memory to T: options of its own first, then architectures made for it."""
    name, *given = label.split(":")
    own = _changed(label, LASTING, length)
    found = [own] if own else []
    if name == "lstm" and component.partition("_")[0] != "c":
        has_chrono = any(option.startswith("chrono=") for option in given)
        found.append(f"{'' if has_chrono else f'lstm:chrono={max(2, length)} with '}--component c, where its memory is")
    others = {
        "lru": f"lru:r_min={_keeping_modulus(length):.12g}",
        "lstm": f"lstm:forget_bias={_keeping_bias(length):g}",
    }
    if len(found) < 2:
        found += [text for other, text in others.items() if other != name]
    return found[:2]


def _changed(label: str, remedies: Mapping[str, Remedy], length: int) -> str:
    """The label with the options that a remedy sets; empty where there is none or the label carries them already."""
    name, *given = label.split(":")
    if name not in remedies:
        return ""
    spec = ARCHITECTURES[name]
    try:
        values = spec.parse_options(name, {key: value for key, _, value in (part.partition("=") for part in given)})
    except UsageError:  # label=NAME gave something else this name
        return ""
    changes = {key: value for key, value in remedies[name](values, length).items() if value != values[key]}
    defaults = {option.name: option.default for option in spec.options}
    shown = {key: value for key, value in (values | changes).items() if key in changes or value != defaults[key]}
    return name + "".join(f":{key}={_text(value)}" for key, value in shown.items()) if changes else ""


def _text(value: OptionValue) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _clipping(log10_norm: float, clip_norm: float | None) -> str:
    if clip_norm is None or not math.isfinite(log10_norm):
        return ""
    factor = min(0.0, math.log10(clip_norm) - log10_norm)
    return f" (to {clip_norm:g}: it shrinks by a factor of 10^{factor:.1f})"
