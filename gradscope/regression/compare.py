"""New numbers against those of a baseline: paired by seed, two-sided, in decades.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradscope.regression.baseline import Baseline, Entry
from gradscope.regression.choice import chosen
from gradscope.regression.environment import Environment, environment_differences
from gradscope.regression.numbers import WEIGHT_GRADIENTS, CaseNumbers, FailedCase, Statistic
from gradscope.regression.sentences import changed_sentence, definition_differences, noisy_sentence, ok_sentence
from gradscope.regression.verdict import CaseVerdict, Cause, Kind, StatisticVerdict

LEAST_TOLERANCE_DECADES = 0.01
NOISE_FACTOR = 10.0
TIGHT_NOISE_DECADES = 0.005
ROBUST_TOLERANCE_DECADES = 0.3
JUDGEABLE_DECADES = 1.0
_MEDIAN_COVERAGE = 0.93  # the smallest and the largest of five cover the median with 15/16


def compare_cases(
    base: Mapping[str, Entry],
    new: Sequence[CaseNumbers | FailedCase],
    *,
    environment: Environment,
    tolerances: Mapping[str, float | None] | None = None,
    expected: Iterable[str] = (),
    failed_at_base: Mapping[str, str] | None = None,
    base_name: str = "the baseline",
    case_file: str = "the case file",
    advice: str | None = None,
) -> tuple[CaseVerdict, ...]:
    """A verdict on every case of either side.

    Args:
        base: The entries of the baseline.
        new: What was measured.
        environment: Where the new numbers were measured.
        tolerances: The cases' own ones, in decades.
        expected: Names of base that should be among the new ones: those that are not are missing.
        failed_at_base: Cases that could not be measured there, with the reason.
        base_name: What the base is called in sentences.
        case_file: What the list of cases is called in sentences.
        advice: What to do about a case that cannot be compared; by default to record it.
    """
    own = tolerances or {}
    failed = failed_at_base or {}
    verdicts = [
        _without_base(case.name, failed[case.name], base_name)
        if case.name in failed and isinstance(case, CaseNumbers)
        else _verdict(base.get(case.name), case, environment, own.get(case.name), base_name)
        for case in new
    ]
    known = {case.name for case in new}
    verdicts += [
        CaseVerdict(
            name,
            "missing",
            f"{name}: {base_name} has it, but {case_file} does not; write the case again, or remove it from the "
            "baseline with gradscope baseline prune.",
        )
        for name in expected
        if name in base and name not in known
    ]
    if advice is None:
        return tuple(verdicts)
    return tuple(replace(one, sentence=one.sentence.replace(record_advice(one.name), advice)) for one in verdicts)


def compare_baselines(
    old: Baseline, new: Baseline, pattern: str | None, names: tuple[str, str]
) -> tuple[CaseVerdict, ...]:
    """Verdicts on the cases of two files, ``names`` of which stand in the sentences.

    Raises:
        UnknownName: The pattern means no case of either.
    """
    both = chosen(dict.fromkeys([*old.cases, *new.cases, *new.failed]), pattern)
    verdicts: list[CaseVerdict] = []
    for name in both:
        entry = new.cases.get(name)
        if entry is not None and entry.is_edited:
            verdicts.append(_edited(name, names[1], None))
        elif entry is not None:
            verdicts.append(_verdict(old.cases.get(name), entry.numbers, entry.environment, None, names[0]))
        elif name in new.failed:
            verdicts.append(_verdict(None, FailedCase(name, new.failed[name]), {}, None, names[0]))
        else:
            verdicts.append(CaseVerdict(name, "missing", f"{name}: {names[0]} has it, but {names[1]} does not."))
    return tuple(verdicts)


def compare_case(
    base: CaseNumbers, new: CaseNumbers, *, tolerance_decades: float | None = None, environment: tuple[str, ...] = ()
) -> CaseVerdict:
    """The verdict on one case.

    Args:
        base: What it is compared with.
        new: The numbers to judge.
        tolerance_decades: The case's own tolerance; the smallest one where it is None.
        environment: How the places of the two measurements differ.
    """
    unusable = _unusable(base, new, environment)
    if unusable is not None:
        return unusable
    verdict = _compared(base, new, tolerance_decades, environment)
    note = _left_out(base, new)
    return replace(verdict, sentence=verdict.sentence + note, note=note.strip())


def _compared(
    base: CaseNumbers, new: CaseNumbers, tolerance_decades: float | None, environment: tuple[str, ...]
) -> CaseVerdict:
    statistics = tuple(
        compare_statistic(name, base.statistics[name], new.statistics[name], new.seeds, tolerance_decades)
        for name in _common(base, new)
    )
    decisive = _decisive(statistics)
    if decisive.outcome == "changed":
        kind = _kind(decisive)
        cause: Cause = "initialisation" if base.weights_hash != new.weights_hash else "dynamics"
        sentence = changed_sentence(new.name, decisive, kind, cause, environment)
        return CaseVerdict(new.name, "changed", sentence, kind, cause, decisive, statistics, environment)
    if decisive.outcome == "noisy":
        sentence = noisy_sentence(new.name, decisive, statistics)
        return CaseVerdict(new.name, "noisy", sentence, "", "", decisive, statistics, environment)
    return CaseVerdict(
        new.name, "ok", ok_sentence(new.name, decisive, statistics), "", "", decisive, statistics, environment
    )


def max_shift_decades(base: CaseNumbers, new: CaseNumbers) -> float | None:
    """The largest difference over all statistics, seeds and steps; None where the two are not comparable."""
    if _unusable(base, new, ()) is not None:
        return None
    shifts = [np.abs(differences(base.statistics[name], new.statistics[name])) for name in _common(base, new)]
    return float(max(shift.max() for shift in shifts))


def has_nan(numbers: CaseNumbers) -> bool:
    """Whether a value is not a number, so that nothing could ever be compared with it."""
    return any(np.isnan(statistic.values).any() for statistic in numbers.statistics.values())


def differences(base: Statistic, new: Statistic) -> NDArray[np.float64]:
    """The shifts new − base, ``(seeds, columns)``; 0 where both are the same infinity."""
    with np.errstate(invalid="ignore"):
        return np.where(base.values == new.values, 0.0, new.values - base.values)


def compare_statistic(
    name: str, base: Statistic, new: Statistic, seeds: tuple[int, ...], own_tolerance: float | None
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
    name: str,
    shifts: NDArray[np.float64],
    steps: tuple[int, ...],
    seeds: tuple[int, ...],
    tolerance: float,
    noise: float,
) -> StatisticVerdict:
    beyond: NDArray[np.bool_] = np.abs(shifts) > tolerance
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(np.abs(shifts))), shifts.shape))
    at = sorted(step for index, step in enumerate(steps) if beyond[:, index].any())
    measured = [step for step in steps if at and at[0] <= step <= at[-1]]
    return StatisticVerdict(
        name=name,
        outcome="changed" if beyond.any() else "ok",
        tier="tight",
        shift_decades=float(shifts[row, column]),
        median_decades=_median(shifts[:, column]),
        seed=seeds[row],
        step=steps[column] if steps else None,
        from_step=at[-1] if at else None,
        to_step=at[0] if at else None,
        is_contiguous=len(measured) == len(at),
        seeds_beyond=int(beyond.any(axis=1).sum()),
        is_mixed=_is_mixed(shifts[beyond.any(axis=1)]),
        seeds=len(seeds),
        travel_decades=_travel(shifts[row], steps),
        tolerance_decades=tolerance,
        noise_decades=noise,
    )


def _robust(
    name: str, shifts: NDArray[np.float64], steps: tuple[int, ...], tolerance: float, noise: float
) -> StatisticVerdict:
    column = int(np.argmin(steps)) if steps else 0
    shift = shifts[:, column]
    median, (low, high) = _median(shift), _median_interval(shift)
    is_changed = abs(median) > tolerance and (low > 0 or high < 0)
    step = steps[column] if steps else None
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
        travel_decades=None,
        tolerance_decades=tolerance,
        noise_decades=noise,
    )


def _is_mixed(shifts: NDArray[np.float64]) -> bool:
    """Whether the largest shifts of the seeds have both signs."""
    largest = np.take_along_axis(shifts, np.abs(shifts).argmax(axis=1)[:, None], axis=1)
    return bool((largest > 0).any() and (largest < 0).any())


def _travel(shifts: NDArray[np.float64], steps: tuple[int, ...]) -> float | None:
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


def _decisive(statistics: Sequence[StatisticVerdict]) -> StatisticVerdict:
    """What the verdict rests on: a changed norm over a changed rate, then what could not be judged, then the rest."""
    rank = {"changed": 2, "noisy": 1}

    def weight(statistic: StatisticVerdict) -> tuple[int, bool, float]:
        is_norm = statistic.step is not None and statistic.outcome == "changed"
        size = statistic.noise_decades if statistic.outcome == "noisy" else abs(statistic.shift_decades)
        return rank.get(statistic.outcome, 0), is_norm, size

    return max(statistics, key=weight)


def _kind(decisive: StatisticVerdict) -> Kind:
    """Vanishing or exploding more where the way back has changed, the same way in every seed that tells."""
    way = decisive.shift_decades
    if decisive.step is not None and decisive.travel_decades is not None:
        way = decisive.travel_decades
        if abs(way) <= decisive.tolerance_decades:
            return "shifted"
    elif decisive.step is None and not any(word in decisive.name for word in _RATES):
        return "shifted"
    if decisive.is_mixed:
        return "shifted"
    return "vanishing more" if way < 0 else "exploding more"


_RATES = ("slope", "lyapunov", "spectral_radius")


def _verdict(
    base: Entry | None,
    new: CaseNumbers | FailedCase,
    environment: Environment,
    tolerance: float | None,
    base_name: str,
) -> CaseVerdict:
    if isinstance(new, FailedCase):
        return CaseVerdict(new.name, "failed", f"{new.name}: it could not be measured: {new.reason}")
    if has_nan(new):
        return _not_a_number(new)
    if base is None:
        return CaseVerdict(
            new.name,
            "missing",
            f"{new.name}: {base_name} does not have it; {record_advice(new.name)}.",
        )
    if base.is_edited:
        return _edited(new.name, base_name, _why_incomparable(base.numbers, new))
    moved = environment_differences(base.environment, environment)
    return compare_case(base.numbers, new, tolerance_decades=tolerance, environment=moved)


def _edited(name: str, where: str, reason: str | None) -> CaseVerdict:
    seen = f", and {reason}" if reason else ""
    return CaseVerdict(
        name,
        "incomparable",
        f"{name}: its numbers in {where} were edited by hand (their sha256 no longer fits){seen}; accept a candidate, "
        f"or {record_advice(name)}.",
    )


def _without_base(name: str, reason: str, base_name: str) -> CaseVerdict:
    return CaseVerdict(name, "incomparable", f"{name}: it could not be measured at {base_name}: {reason}")


def _not_a_number(new: CaseNumbers) -> CaseVerdict:
    where = next(name for name, statistic in new.statistics.items() if np.isnan(statistic.values).any())
    values = new.statistics[where].values
    seeds = [seed for seed, row in zip(new.seeds, values, strict=True) if np.isnan(row).any()]
    return CaseVerdict(
        new.name,
        "failed",
        f"{new.name}: {where} is not a number (NaN) in seed {', '.join(map(str, seeds))}; look for an overflow or a "
        "division by zero in the model.",
    )


def _unusable(base: CaseNumbers, new: CaseNumbers, environment: tuple[str, ...]) -> CaseVerdict | None:
    """Failed or incomparable, or None where every number can be compared."""
    if has_nan(new):
        return _not_a_number(new)
    reason = _why_incomparable(base, new)
    if reason is None:
        return None
    elsewhere = f" Measured elsewhere: {', '.join(environment)}." if environment else ""
    sentence = f"{new.name}: {reason}; {record_advice(new.name)}.{elsewhere}"
    return CaseVerdict(new.name, "incomparable", sentence, environment=environment)


def _why_incomparable(base: CaseNumbers, new: CaseNumbers) -> str | None:
    if base.definition_hash != new.definition_hash:
        return f"another definition stands under this name: {definition_differences(base.definition, new.definition)}"
    if base.seeds != new.seeds:
        return f"the seeds were {_listed(base.seeds)} and are {_listed(new.seeds)}"
    if base.stream_hash != new.stream_hash:
        return "the raw random numbers differ, so weights and inputs are other draws"
    lost, added = _one_sided(base, new)
    if new.is_own:  # parameters are code under test: they come, go and change their names
        lost, added = ([name for name in names if WEIGHT_GRADIENTS not in name] for names in (lost, added))
    if lost:
        return f"this measurement no longer has {_listed(lost)}"
    if added:
        return f"the baseline has no {_listed(added)}"
    if not _common(base, new):
        return "it has no statistic to compare"
    for name in _common(base, new):
        statistic = base.statistics[name]
        if statistic.steps != new.statistics[name].steps:
            return f"{name} was taken at other steps"
        if statistic.values.shape != new.statistics[name].values.shape:
            return f"{name} has another number of values"
        if np.isnan(statistic.values).any():
            return f"{name} of the baseline is not a number (NaN), with which nothing can be compared"
    return None


def _common(base: CaseNumbers, new: CaseNumbers) -> list[str]:
    return [name for name in new.statistics if name in base.statistics]


def _one_sided(base: CaseNumbers, new: CaseNumbers) -> tuple[list[str], list[str]]:
    """Statistics that base alone has, and those that new alone has."""
    lost = [name for name in base.statistics if name not in new.statistics]
    return lost, [name for name in new.statistics if name not in base.statistics]


def _left_out(base: CaseNumbers, new: CaseNumbers) -> str:
    """Of a user's own module: parameters of one side, which nothing can be compared with."""
    lost, added = ([name.rpartition(" ")[2] for name in names] for names in _one_sided(base, new))
    gone = [f"without {_listed(lost)}" if lost else "", f"with {_listed(added)}" if added else ""]
    return f" Its parameters are others: now {' and '.join(filter(None, gone))}." if lost or added else ""


def _listed(items: Sequence[object]) -> str:
    shown = ", ".join(str(item) for item in items[:3])
    return shown if len(items) <= 3 else f"{shown} and {len(items) - 3} more"


def record_advice(name: str) -> str:
    """What to do about a case that cannot be compared."""
    return f"write it with gradscope baseline record --case '{name}'"
