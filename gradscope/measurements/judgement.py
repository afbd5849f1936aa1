"""What is judged at one length: the gradient of the whole state, what it loses at once and with every step back.

    relative norm at step 1 = drop + what is carried

A loss reads part of the state, an LSTM's h say, and one or two steps further back the gradient lies in the part that
remembers, c. What is lost on that way is lost once, whatever the length: the drop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.contract.component import INPUT, count_layers, judged_component
from gradscope.contract.model import Model
from gradscope.measurements.forecast import forecast_of
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.lags import from_lag_on
from gradscope.measurements.verdict import InputShares, Verdict, Zeros, verdict_of
from gradscope.numerics.averages import log10_root_mean_square
from gradscope.numerics.decades import FADED_DECADES, LOST_DECADES
from gradscope.numerics.fits import robust_slope

Array = NDArray[np.float64]

TRANSIENT_STEPS = 8  # a drop ends within so many steps of the last one,
TRANSIENT_SHARE = 5  # and within a fifth of the length
STEEPER = 6.0  # it is so many times as steep as what follows it at once, and in the long run: a power law is 3.6 times
SMALLEST_DROP = 0.1  # and so many decades deep: what is smaller makes no difference,
DEEPEST_DROP = LOST_DECADES  # what is deeper is lost beside the last steps, however well the rest is carried
NO_REASON = "none"  # an empty text in a CSV file reads as no text at all


@dataclass(frozen=True)
class Judgement:
    """One length; norms are root mean squares over the batch.

    Attributes:
        verdict: See :data:`~gradscope.measurements.verdict.VERDICTS`.
        judged: The component that is judged: ``<state>``, or the primary one of a model without a recurrent state.
        drop_decades: What is lost in the first steps back, before a rate holds; 0 or less.
        rate_decades_per_step: What each step back after that gains, robust against single steps; negative: fading.
        carried_decades: The norm at step 1 relative to the reference lag, without the drop.
        memory_horizon_steps: Smallest lag from which on two decades and more are lost, the drop not counted; inf: not
            within the length.
        forecast: How well the last output can learn from the first input, higher is better; NaN for a frozen state; see
            :func:`~gradscope.measurements.forecast.forecast_of`.
        zero_from_steps_back: Smallest lag from which on the gradient is exactly zero; inf: it is not.
        log10_input_share: √Σ_t‖∂L/∂x_t‖² relative to the norm at the reference lag, without the drop, for inputs with
            as many features as the output has.
        log10_largest_input_share: The largest ‖∂L/∂x_t‖ relative to the judged norm of the same step, likewise.
        reason: Why the verdict is unknown, cut or saturated; ``none`` otherwise.
    """

    verdict: Verdict
    judged: str
    drop_decades: float
    rate_decades_per_step: float
    carried_decades: float
    memory_horizon_steps: float
    forecast: float
    zero_from_steps_back: float
    log10_input_share: float
    log10_largest_input_share: float
    reason: str


def judge(result: GradientNorms, model: Model, probed: GradientNorms | None = None) -> tuple[Judgement, ...]:
    """One judgement for every length of a measurement.

    Args:
        result: With the judged component and ``x``.
        model: What was measured.
        probed: The same under a probe of the last output, for the forecast, where the loss is about other outputs too.
    """
    with np.errstate(invalid="ignore"):  # an exact zero relative to an exact zero is NaN
        return tuple(_of_length(result, probed or result, model, index) for index in range(len(result.lengths)))


def _of_length(result: GradientNorms, probed: GradientNorms, model: Model, index: int) -> Judgement:
    name = judged_component(model)
    by_lag = result.by_lag(index, name)
    zeros, zero_from = result.zeros[index], from_lag_on(by_lag, -math.inf, inclusive=True)
    profile = _profile(result, name, index)
    shares = _input_shares(result, index, by_lag, profile, model)
    verdict = verdict_of(profile.carried, zeros, shares)
    return Judgement(
        verdict=verdict,
        judged=name,
        drop_decades=profile.drop,
        rate_decades_per_step=robust_slope(by_lag, profile.transient),
        carried_decades=profile.carried,
        memory_horizon_steps=from_lag_on(profile.relative - profile.drop, -FADED_DECADES, inclusive=True),
        forecast=math.nan if verdict == "frozen" else forecast_of(probed, index),
        zero_from_steps_back=zero_from,
        log10_input_share=shares.log10_together if shares else math.nan,
        log10_largest_input_share=shares.log10_largest if shares else math.nan,
        reason=_reason(result.log10_norm[name][index, :, 0].numpy(), by_lag, zeros, zero_from),
    )


@dataclass(frozen=True)
class _Profile:
    """A relative norm against the lag, and its drop.

    Attributes:
        reference: The lag that it is relative to.
        relative: ``(length,)``.
        transient: The lag at which the drop ends.
        drop: Its decades.
    """

    reference: int
    relative: Array
    transient: int
    drop: float

    @property
    def carried(self) -> float:
        """What is left at step 1 without the drop."""
        return float(self.relative[-1]) - self.drop


def _profile(result: GradientNorms, name: str, index: int) -> _Profile:
    by_lag = result.by_lag(index, name)
    reference = min(result.reference_lag, len(by_lag) - 1)
    if np.isneginf(by_lag[reference]) and not np.isneginf(by_lag[reference:]).all():
        reference += int(np.argmin(np.isneginf(by_lag[reference:])))  # the loss reads an earlier step
    relative = np.asarray(by_lag - by_lag[reference])
    return _Profile(reference, relative, *_drop(relative, reference))


def _drop(relative: Array, reference: int) -> tuple[int, float]:
    """The lag at which the transient ends, and what is lost until there beyond the rate that follows."""
    found = (reference, 0.0)
    last = min(reference + TRANSIENT_STEPS, (len(relative) - 1) // TRANSIENT_SHARE)
    for end in range(reference + 1, last + 1):
        before = relative[end] / (end - reference)
        at_once, after = (robust_slope(relative[: end + n * (end - reference) + 1], end) for n in (1, 4))
        if before < 0 and max(abs(at_once), abs(after)) * STEEPER <= -before:
            drop = float(relative[end] - min(after, 0.0) * (end - reference))
            if drop < min(found[1], -SMALLEST_DROP):
                found = (end, max(drop, -DEEPEST_DROP))
    return found


def _input_shares(
    result: GradientNorms, index: int, by_lag: Array, profile: _Profile, model: Model
) -> InputShares | None:
    if INPUT not in result.log10_norm or not model.state_size:
        return None
    inputs = result.by_lag(index, INPUT)
    features = math.log10(max(1.0, model.output_size / model.input_size)) / 2
    each = inputs - by_lag
    together = log10_root_mean_square(inputs) + math.log10(len(inputs)) / 2 - by_lag[profile.reference] - profile.drop
    largest = each[np.isfinite(each)].max(initial=-math.inf)
    start = max(1, min(TRANSIENT_STEPS, len(inputs) // TRANSIENT_SHARE))
    return InputShares(
        float(together + features),
        float(largest + features),
        float(inputs[-start:].max() - inputs.max() - profile.drop),
        count_layers(model),
    )


def _reason(first: Array, by_lag: Array, zeros: Zeros, zero_from: float) -> str:
    length = len(by_lag)
    if zeros:
        return f"{_REASONS[zeros]} from step {length - int(zero_from)} back"
    broken = np.flatnonzero(np.isnan(by_lag) | np.isposinf(by_lag))
    if len(broken):
        return f"non-finite from step {length - int(broken[0])} back" if broken[0] else "non-finite states or loss"
    zero = int(np.isneginf(first).sum())
    return f"exactly zero in {zero} of {len(first)} samples" if zero else NO_REASON


_REASONS = {
    "saturated": "rounds to zero in this dtype",
    "cut": "no path",
    "cut or saturated": "exactly zero",
}
