"""New values of one statistic against those of a baseline: paired by seed, two-sided, in decades.

Definition:
    d = new − base for every seed and step, 0 where both are −inf (exactly zero) and ±inf where one of them is.
    noise = the larger of both measured noises.

    tight (noise ≤ 0.005): changed as soon as |d| of **any** seed at **any** step exceeds
        max(the case's own tolerance, 0.01, 10 · noise).
        With few seeds no test of ranks can reach significance, and a median hides a sign error in one gate.
    robust (noise above): only single numbers, and of norms at several steps the one at the first step. Changed where
        |median of d| exceeds max(own tolerance, 0.3, 3 · noise / √seeds) and the interval of the median, between
        order statistics that cover it in about 15 of 16 samples, lies on one side of 0.
        Noisy where not changed and that tolerance exceeds one decade, so that a real change would not show.

Why:
    float64 rounding moves log10 norms by 1e-16 … 1e-9 decades outside chaos, by one or two decades within it, and the
    median over six seeds by up to 0.25 there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradscope.commands.check.statistic import Statistic, StatisticName
from gradscope.commands.check.verdict import Kind, StatisticVerdict

LEAST_TOLERANCE_DECADES = 0.01
NOISE_FACTOR = 10.0
TIGHT_NOISE_DECADES = 0.005
ROBUST_TOLERANCE_DECADES = 0.3
JUDGEABLE_DECADES = 1.0
_MEDIAN_COVERAGE = 0.93  # the smallest and the largest of five cover the median with 15/16


def differences(base: Statistic, new: Statistic) -> NDArray[np.float64]:
    """The shifts new − base, ``(seeds, columns)``; 0 where both are the same infinity."""
    with np.errstate(invalid="ignore"):
        return np.where(base.values == new.values, 0.0, new.values - base.values)


def compare_statistic(
    name: StatisticName, base: Statistic, new: Statistic, seeds: tuple[int, ...], own_tolerance: float | None
) -> StatisticVerdict:
    """One statistic; both sides have the same seeds and steps, and no NaN."""
    shifts = differences(base, new)
    noise = max(base.noise_decades, new.noise_decades)
    noise = math.inf if math.isnan(noise) else noise
    if noise <= TIGHT_NOISE_DECADES:
        tolerance = max(own_tolerance or 0.0, LEAST_TOLERANCE_DECADES, NOISE_FACTOR * noise)
        return _tight(name, shifts, new.steps, seeds, tolerance, noise)
    tolerance = max(own_tolerance or 0.0, ROBUST_TOLERANCE_DECADES, 3 * noise / math.sqrt(len(seeds)))
    return _robust(name, shifts, new.steps, tolerance, noise)


def _tight(
    name: StatisticName,
    shifts: NDArray[np.float64],
    steps: tuple[int, ...],
    seeds: tuple[int, ...],
    tolerance: float,
    noise: float,
) -> StatisticVerdict:
    beyond: NDArray[np.bool_] = np.abs(shifts) > tolerance
    at_seed, at_step = (int(i) for i in np.unravel_index(int(np.argmax(np.abs(shifts))), shifts.shape))
    at = sorted(step for index, step in enumerate(steps) if beyond[:, index].any())
    measured = [step for step in steps if at and at[0] <= step <= at[-1]]
    return StatisticVerdict(
        name=name,
        outcome="changed" if beyond.any() else "ok",
        tier="tight",
        shift_decades=float(shifts[at_seed, at_step]),
        median_decades=_median(shifts[:, at_step]),
        seed=seeds[at_seed],
        step=steps[at_step] if steps else None,
        from_step=at[-1] if at else None,
        to_step=at[0] if at else None,
        is_contiguous=len(measured) == len(at),
        seeds_beyond=int(beyond.any(axis=1).sum()),
        is_mixed=_is_mixed(shifts[beyond.any(axis=1)]),
        seeds=len(seeds),
        way_back_decades=_way_back(shifts[at_seed], steps),
        tolerance_decades=tolerance,
        noise_decades=noise,
    )


def _robust(
    name: StatisticName, shifts: NDArray[np.float64], steps: tuple[int, ...], tolerance: float, noise: float
) -> StatisticVerdict:
    first = int(np.argmin(steps)) if steps else 0
    shift = shifts[:, first]
    median, (low, high) = _median(shift), _median_interval(shift)
    is_changed = abs(median) > tolerance and (low > 0 or high < 0)
    step = steps[first] if steps else None
    return StatisticVerdict(
        name=name,
        outcome="changed" if is_changed else ("noisy" if tolerance > JUDGEABLE_DECADES else "ok"),
        tier="robust",
        shift_decades=median,
        median_decades=median,
        seed=None,
        step=step,
        from_step=step if is_changed else None,
        to_step=step if is_changed else None,
        is_contiguous=True,
        seeds_beyond=int((np.abs(shift) > tolerance).sum()),
        is_mixed=False,
        seeds=len(shift),
        way_back_decades=None,
        tolerance_decades=tolerance,
        noise_decades=noise,
    )


def _is_mixed(shifts: NDArray[np.float64]) -> bool:
    """Whether the largest shifts of the seeds have both signs."""
    largest = np.take_along_axis(shifts, np.abs(shifts).argmax(axis=1)[:, None], axis=1)
    return bool((largest > 0).any() and (largest < 0).any())


def _way_back(shifts: NDArray[np.float64], steps: tuple[int, ...]) -> float | None:
    """Of one seed: the shift at the first step less that at the last."""
    if len(steps) < 2:
        return None
    first, last = float(shifts[int(np.argmin(steps))]), float(shifts[int(np.argmax(steps))])
    return 0.0 if first == last else first - last


def _median(shifts: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):
        median = float(np.median(shifts))
    return 0.0 if math.isnan(median) else median  # as many rose by inf as fell by inf


def _median_interval(shifts: NDArray[np.float64]) -> tuple[float, float]:
    """The narrowest pair of order statistics that still covers the median often enough."""
    ordered, n = np.sort(shifts), len(shifts)
    inner = 0
    while 2 * (inner + 1) < n and 1 - 2 * sum(math.comb(n, k) for k in range(inner + 2)) / 2**n >= _MEDIAN_COVERAGE:
        inner += 1
    return float(ordered[inner]), float(ordered[n - 1 - inner])


def decisive_of(statistics: Sequence[StatisticVerdict]) -> StatisticVerdict:
    """What the verdict rests on: a changed norm over a changed rate, then what could not be judged, then the rest."""
    rank = {"changed": 2, "noisy": 1}

    def weight(statistic: StatisticVerdict) -> tuple[int, bool, float]:
        is_norm = statistic.step is not None and statistic.outcome == "changed"
        size = statistic.noise_decades if statistic.outcome == "noisy" else abs(statistic.shift_decades)
        return rank.get(statistic.outcome, 0), is_norm, size

    return max(statistics, key=weight)


def kind_of(decisive: StatisticVerdict) -> Kind:
    """Vanishing or exploding more where the way back has changed, the same way in every seed that tells."""
    way = decisive.shift_decades
    if decisive.step is not None and decisive.way_back_decades is not None:
        way = decisive.way_back_decades
        if abs(way) <= decisive.tolerance_decades:
            return "shifted"
    elif decisive.step is None and not decisive.name.is_rate:
        return "shifted"
    if decisive.is_mixed:
        return "shifted"
    return "vanishing more" if way < 0 else "exploding more"
