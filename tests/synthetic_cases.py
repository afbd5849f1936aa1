"""Numbers of cases that nobody has measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradscope.commands.check.baseline import Baseline, Entry, candidate_of
from gradscope.commands.check.measured_case import MeasuredCase
from gradscope.commands.check.statistic import Statistic, StatisticName

ENVIRONMENT = {"torch": "2.13.0", "python": "3.11.7"}
STEPS = (1, 60, 120, 188, 199, 200)
PROFILE, SLOPE = StatisticName("log10_norm", 200, "h"), StatisticName("slope", 200, "h")
WEIGHTS = StatisticName("log10_weight_gradient_norm", 200, "weight_hh")


def profile(seeds: int = 5, noise: float = 3e-15) -> Statistic:
    """Norms that vanish."""
    rows = [[-3.0 + 0.1 * seed + 0.02 * step for step in STEPS] for seed in range(seeds)]
    return Statistic(np.array(rows), STEPS, noise)


def single(seeds: int = 5, noise: float = 3e-15, value: float = -4.0) -> Statistic:
    """One number a seed."""
    return Statistic(np.array([[value + 0.1 * seed] for seed in range(seeds)]), (), noise)


def case(name: str = "lstm", *, seeds: int = 5, noise: float = 3e-15, **changes: Any) -> MeasuredCase:
    """A case with a profile, a slope and a weight gradient."""
    definition = changes.pop("definition", {"architecture": "lstm", "hidden_size": 8, "options": {"forget_bias": 1.0}})
    given: dict[str, Any] = {
        "name": name,
        "definition": definition,
        "is_own": False,
        "seeds": tuple(range(seeds)),
        "definition_hash": hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest(),
        "stream_hash": "stream",
        "weights_hash": "weights",
        "statistics": {PROFILE: profile(seeds, noise), SLOPE: single(seeds, noise), WEIGHTS: single(seeds, noise, 1.5)},
        "noise_probe": "symmetry",
    }
    return MeasuredCase(**(given | changes))


def moved(numbers: MeasuredCase, shifts: Mapping[StatisticName, ArrayLike], **changes: Any) -> MeasuredCase:
    """The case with shifts, broadcast to ``(seeds, columns)``, added to some of its statistics."""
    statistics = dict(numbers.statistics)
    for name, shift in shifts.items():
        old = statistics[name]
        values: NDArray[np.float64] = old.values + np.asarray(shift, dtype=np.float64)
        statistics[name] = Statistic(values, old.steps, old.noise_decades)
    return MeasuredCase(**(vars(numbers) | {"statistics": statistics} | changes))


def baseline(*cases: MeasuredCase, environment: Mapping[str, str] = ENVIRONMENT) -> Baseline:
    """A baseline of cases."""
    return candidate_of(cases, environment)


def entry(numbers: MeasuredCase, environment: Mapping[str, str] = ENVIRONMENT) -> Entry:
    """One entry of a baseline."""
    return baseline(numbers, environment=environment).cases[numbers.name]
