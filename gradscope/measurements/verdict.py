"""From numbers to a verdict and to what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.spec import ArchitectureSpec, Remedy
from gradscope.contract.component import within_layer
from gradscope.contract.option import OptionValue
from gradscope.errors import UsageError
from gradscope.measurements.summary import LengthSummary
from gradscope.numerics.decades import VANISHED_DECADES

Verdict = Literal["vanishing", "stable", "exploding", "saturated", "unknown"]


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
    if log10_relative_norm <= -VANISHED_DECADES:
        return "vanishing"
    return "exploding" if log10_relative_norm >= VANISHED_DECADES else "stable"


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
    entry = ARCHITECTURES.get(label.partition(":")[0])
    calmer = _changed(label, entry, entry.calms, length) if entry else ""
    if finding == "exploding":
        clipping = _clipping(log10_weight_gradient_norm, clip_norm)
        return f"{calmer or 'smaller weights'}, or clip the gradient's norm{clipping}"
    if finding == "saturated":
        general = "where units saturate, smaller weights or inputs, or normalised inputs; --dtype float64 to see more"
        return f"{calmer}; {general}" if calmer else general
    if finding == "vanishing":
        return ", or ".join(_lasting(label, entry, length, component))
    return "smaller weights, --loss last-probe, or --dtype float64" if finding == "unknown" else ""


def _lasting(label: str, entry: ArchitectureSpec | None, length: int, component: str) -> list[str]:
    """What lengthens the memory to T: options of its own first, then architectures made for it."""
    found = []
    if entry is not None:
        found = [_changed(label, entry, entry.lengthens, length), _elsewhere(label, entry, length, component)]
    made_for_it = ((spec.memory_rank, name, spec) for name, spec in ARCHITECTURES.items() if spec.memory_rank)
    for _, name, spec in sorted(made_for_it, key=lambda ranked: ranked[0]):
        found += [_changed(name, spec, spec.lengthens, length)] if spec is not entry else []
    return [text for text in found if text][:2]


def _elsewhere(label: str, entry: ArchitectureSpec, length: int, component: str) -> str:
    """The component that keeps the memory, with the options that it needs; empty where that is what was looked at."""
    memory = entry.memory_component
    if memory is None or within_layer(component) == memory.name:
        return ""
    name, *given = label.split(":")
    options = memory.lengthens(length)
    is_set = options.keys() <= {part.partition("=")[0] for part in given}
    return f"{'' if is_set else f'{_written(name, options)} with '}--component {memory.name}, where its memory is"


def _changed(label: str, entry: ArchitectureSpec, remedy: Remedy | None, length: int) -> str:
    """The label with the options that a remedy sets; empty where there is none or the label carries them already."""
    if remedy is None:
        return ""
    name, *given = label.split(":")
    try:
        values = entry.parse_options(name, {key: value for key, _, value in (part.partition("=") for part in given)})
    except UsageError:  # label=NAME gave something else this name
        return ""
    changes = {key: value for key, value in remedy(values, length).items() if value != values[key]}
    defaults = {option.name: option.default for option in entry.options}
    shown = {key: value for key, value in (values | changes).items() if key in changes or value != defaults[key]}
    return _written(name, shown) if changes else ""


def _written(name: str, options: Mapping[str, OptionValue]) -> str:
    return name + "".join(f":{key}={_text(value)}" for key, value in options.items())


def _text(value: OptionValue) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _clipping(log10_norm: float, clip_norm: float | None) -> str:
    if clip_norm is None or not math.isfinite(log10_norm):
        return ""
    factor = min(0.0, math.log10(clip_norm) - log10_norm)
    return f" (to {clip_norm:g}: it shrinks by a factor of 10^{factor:.1f})"
