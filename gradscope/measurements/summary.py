"""What the norms of one length amount to: rate, horizon, and where a dtype loses the signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.errors import UnknownName
from gradscope.measurements.gradient_result import GradientNorms, Status
from gradscope.measurements.lags import from_lag_on
from gradscope.numerics.averages import exact_zeros, log10_root_mean_square
from gradscope.numerics.decades import ABSORBED_BELOW, FADED_DECADES, LOST_BELOW
from gradscope.numerics.fits import decades_between, decades_per_step

Array = NDArray[np.float64]
WEIGHT_SHARE = 0.9  # a weight-gradient horizon covers this part of the steps' shares


@dataclass(frozen=True)
class LengthSummary:
    """Numbers of one length; norms are root mean squares over the batch.

    Attributes:
        log10_norm_step_1: Of the component's gradient at the first step.
        log10_norm_step_T: At the last step.
        decades_per_step: Least-squares slope of log10 norm against the lag, over lags from 1 on; negative: vanishing.
        horizon_steps: Smallest k such that all lags from k on lie two decades below the reference; T if there is none,
            NaN if a relative norm is no number.
        horizon_censored: There is none within the length.
        weight_gradient_horizon_steps: The last steps from which 90 % of the recurrent weights' gradient comes (of the
            sum of the norms of the steps' shares).
        float32_lost_steps_back: Lag from which on every entry is below half the smallest subnormal; inf: not within
            the length.
        float32_absorbed_steps_back: Lag from which on a step's share is below half an ulp of the weight gradient.
        reference_lag: The lag that relative norms refer to.
        log10_relative_norm: At step 1, relative to the reference lag.
        log10_drop_lag_0_to_1: What the direct path to the output is ahead of the rest; NaN for recurrent models.
        exact_zeros: Samples of the batch whose gradient at step 1 is exactly zero.
    """

    length: int
    component: str
    log10_norm_step_1: float
    log10_norm_step_T: float  # noqa: N815 - T is the length, as in the file's column
    decades_per_step: float
    horizon_steps: float
    horizon_censored: bool
    log10_recurrent_weight_gradient_norm: float
    weight_gradient_horizon_steps: float
    float32_lost_steps_back: float
    float16_lost_steps_back: float
    float32_absorbed_steps_back: float
    bfloat16_absorbed_steps_back: float
    status: Status
    reference_lag: int
    log10_relative_norm: float
    log10_drop_lag_0_to_1: float
    exact_zeros: int


def summarize(result: GradientNorms, component: str | None = None) -> tuple[LengthSummary, ...]:
    """One summary for every length of a measurement.

    Args:
        result: The measurement.
        component: What it is about; the primary component by default.

    Raises:
        UnknownName: The component was not measured.
    """
    name = component or result.primary_component
    if name not in result.log10_norm:
        raise UnknownName("measured component", name, result.log10_norm)
    return tuple(_of_length(result, name, index) for index in range(len(result.lengths)))


def _of_length(result: GradientNorms, name: str, index: int) -> LengthSummary:
    length = result.lengths[index]
    samples = result.log10_norm[name][index, :, :length].numpy()
    by_lag = result.by_lag(index, name)
    reference = min(result.reference_lag, length - 1)
    lost = _lost(result, name, index, length)
    shares, weight_sum = _shares(result, index, length)
    with np.errstate(invalid="ignore"):  # an exact zero relative to an exact zero is NaN
        horizon, censored = _horizon(by_lag - by_lag[reference])
        relative_shares = shares - weight_sum
    direct = result.reference_lag == 1 and length > 1
    return LengthSummary(
        length=length,
        component=name,
        log10_norm_step_1=float(by_lag[-1]),
        log10_norm_step_T=float(by_lag[0]),
        decades_per_step=decades_per_step(by_lag),
        horizon_steps=horizon,
        horizon_censored=censored,
        log10_recurrent_weight_gradient_norm=weight_sum,
        weight_gradient_horizon_steps=_weight_horizon(shares),
        float32_lost_steps_back=lost("float32"),
        float16_lost_steps_back=lost("float16"),
        float32_absorbed_steps_back=from_lag_on(relative_shares, ABSORBED_BELOW["float32"]),
        bfloat16_absorbed_steps_back=from_lag_on(relative_shares, ABSORBED_BELOW["bfloat16"]),
        status=result.status[index],
        reference_lag=result.reference_lag,
        log10_relative_norm=decades_between(by_lag[-1], by_lag[reference]),
        log10_drop_lag_0_to_1=decades_between(by_lag[1], by_lag[0]) if direct else math.nan,
        exact_zeros=int(exact_zeros(samples)[0]),
    )


def _horizon(relative: Array) -> tuple[float, bool]:
    lag = from_lag_on(relative, -FADED_DECADES, inclusive=True)
    return (float(len(relative)), True) if math.isinf(lag) else (lag, False)


def _lost(result: GradientNorms, name: str, index: int, length: int) -> Callable[[str], float]:
    """For a dtype, where every entry of the batch is lost."""
    if name not in result.log10_largest_entry:
        return lambda dtype: math.nan
    largest = result.log10_largest_entry[name][index, :, :length].amax(0).numpy()[::-1]
    return lambda dtype: from_lag_on(largest, LOST_BELOW[dtype])


def _shares(result: GradientNorms, index: int, length: int) -> tuple[Array, float]:
    """Norms of the steps' shares of the recurrent weights' gradient by lag, and of their sum."""
    steps = result.recurrent_weight_steps
    if steps is None:
        return np.empty(0), math.nan
    by_lag = log10_root_mean_square(steps.log10_step_norm[index, :, :length].numpy())[::-1]
    return by_lag, float(log10_root_mean_square(steps.log10_sum_norm[index].numpy()))


def _weight_horizon(shares: Array) -> float:
    if len(shares) == 0 or not np.isfinite(shares).any() or np.isnan(shares).any() or np.isposinf(shares).any():
        return math.nan
    growing = np.cumsum(10.0 ** (shares - shares.max()))
    return float(np.searchsorted(growing, WEIGHT_SHARE * growing[-1]) + 1)
