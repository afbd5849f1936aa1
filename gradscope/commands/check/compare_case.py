"""New cases against those of a baseline: which can be compared, and what their statistics say together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gradscope.commands.check.baseline import Baseline, Entry, Environment, environment_differences
from gradscope.commands.check.cases import chosen
from gradscope.commands.check.compare_statistic import compare_statistic, decisive_of, differences, kind_of
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase
from gradscope.commands.check.sentences import changed_sentence, definition_differences, noisy_sentence, ok_sentence
from gradscope.commands.check.statistic import StatisticName
from gradscope.commands.check.verdict import CaseVerdict, Cause


def compare_cases(
    base: Mapping[str, Entry],
    new: Sequence[MeasuredCase | FailedCase],
    *,
    environment: Environment,
    tolerances: Mapping[str, float | None] | None = None,
    expected: Iterable[str] = (),
    failed_at_base: Mapping[str, str] | None = None,
    base_name: str = "the baseline",
    case_file: str = "the case file",
    advice: Callable[[str], str] | None = None,
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
        advice: From the name of a case that cannot be compared to what to do; :func:`record_advice` by default.
    """
    own = tolerances or {}
    failed = failed_at_base or {}
    verdicts = [
        _without_base(case.name, failed[case.name], base_name)
        if case.name in failed and isinstance(case, MeasuredCase)
        else _verdict(base.get(case.name), case, environment, own.get(case.name), base_name, advice or record_advice)
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
    return tuple(verdicts)


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
            verdicts.append(_edited(name, names[1], None, record_advice))
        elif entry is not None:
            verdicts.append(
                _verdict(old.cases.get(name), entry.measured, entry.environment, None, names[0], record_advice)
            )
        elif name in new.failed:
            verdicts.append(_verdict(None, FailedCase(name, new.failed[name]), {}, None, names[0], record_advice))
        else:
            verdicts.append(CaseVerdict(name, "missing", f"{name}: {names[0]} has it, but {names[1]} does not."))
    return tuple(verdicts)


def compare_case(
    base: MeasuredCase,
    new: MeasuredCase,
    *,
    tolerance_decades: float | None = None,
    environment: tuple[str, ...] = (),
    advice: Callable[[str], str] | None = None,
) -> CaseVerdict:
    """The verdict on one case.

    Args:
        base: What it is compared with.
        new: The numbers to judge.
        tolerance_decades: The case's own tolerance; the smallest one where it is None.
        environment: How the places of the two measurements differ.
        advice: As in :func:`compare_cases`.
    """
    unusable = _unusable(base, new, environment, advice or record_advice)
    if unusable is not None:
        return unusable
    verdict = _compared(base, new, tolerance_decades, environment)
    note = _left_out(base, new)
    return replace(verdict, sentence=verdict.sentence + note, note=note.strip())


def _compared(
    base: MeasuredCase, new: MeasuredCase, tolerance_decades: float | None, environment: tuple[str, ...]
) -> CaseVerdict:
    statistics = tuple(
        compare_statistic(name, base.statistics[name], new.statistics[name], new.seeds, tolerance_decades)
        for name in _common(base, new)
    )
    decisive = decisive_of(statistics)
    if decisive.outcome == "changed":
        kind = kind_of(decisive)
        cause: Cause = "initialisation" if base.weights_hash != new.weights_hash else "dynamics"
        sentence = changed_sentence(new.name, decisive, kind, cause, environment)
        return CaseVerdict(new.name, "changed", sentence, kind, cause, decisive, statistics, environment)
    if decisive.outcome == "noisy":
        sentence = noisy_sentence(new.name, decisive, statistics)
        return CaseVerdict(new.name, "noisy", sentence, "", "", decisive, statistics, environment)
    return CaseVerdict(
        new.name, "ok", ok_sentence(new.name, decisive, statistics), "", "", decisive, statistics, environment
    )


def max_shift_decades(base: MeasuredCase, new: MeasuredCase) -> float | None:
    """The largest difference over all statistics, seeds and steps; None where the two are not comparable."""
    if new.has_nan or _why_incomparable(base, new) is not None:
        return None
    shifts = [np.abs(differences(base.statistics[name], new.statistics[name])) for name in _common(base, new)]
    return float(max(shift.max() for shift in shifts))


def _verdict(
    base: Entry | None,
    new: MeasuredCase | FailedCase,
    environment: Environment,
    tolerance: float | None,
    base_name: str,
    advice: Callable[[str], str],
) -> CaseVerdict:
    if isinstance(new, FailedCase):
        return CaseVerdict(new.name, "failed", f"{new.name}: it could not be measured: {new.reason}")
    if new.has_nan:
        return _not_a_number(new)
    if base is None:
        return CaseVerdict(
            new.name,
            "missing",
            f"{new.name}: {base_name} does not have it; {advice(new.name)}.",
        )
    if base.is_edited:
        return _edited(new.name, base_name, _why_incomparable(base.measured, new), advice)
    moved = environment_differences(base.environment, environment)
    return compare_case(base.measured, new, tolerance_decades=tolerance, environment=moved, advice=advice)


def _edited(name: str, where: str, reason: str | None, advice: Callable[[str], str]) -> CaseVerdict:
    seen = f", and {reason}" if reason else ""
    return CaseVerdict(
        name,
        "incomparable",
        f"{name}: its numbers in {where} were edited by hand (their sha256 no longer fits){seen}; accept a candidate, "
        f"or {advice(name)}.",
    )


def _without_base(name: str, reason: str, base_name: str) -> CaseVerdict:
    return CaseVerdict(name, "incomparable", f"{name}: it could not be measured at {base_name}: {reason}")


def _not_a_number(new: MeasuredCase) -> CaseVerdict:
    where = next(name for name, statistic in new.statistics.items() if np.isnan(statistic.values).any())
    values = new.statistics[where].values
    seeds = [seed for seed, of_seed in zip(new.seeds, values, strict=True) if np.isnan(of_seed).any()]
    return CaseVerdict(
        new.name,
        "failed",
        f"{new.name}: {where} is not a number (NaN) in seed {', '.join(map(str, seeds))}; look for an overflow or a "
        "division by zero in the model.",
    )


def _unusable(
    base: MeasuredCase, new: MeasuredCase, environment: tuple[str, ...], advice: Callable[[str], str]
) -> CaseVerdict | None:
    """Failed or incomparable, or None where every number can be compared."""
    if new.has_nan:
        return _not_a_number(new)
    reason = _why_incomparable(base, new)
    if reason is None:
        return None
    elsewhere = f" Measured elsewhere: {', '.join(environment)}." if environment else ""
    sentence = f"{new.name}: {reason}; {advice(new.name)}.{elsewhere}"
    return CaseVerdict(new.name, "incomparable", sentence, environment=environment)


def _why_incomparable(base: MeasuredCase, new: MeasuredCase) -> str | None:
    if base.definition_hash != new.definition_hash:
        return f"another definition stands under this name: {definition_differences(base.definition, new.definition)}"
    if base.seeds != new.seeds:
        return f"the seeds were {_listed(base.seeds)} and are {_listed(new.seeds)}"
    if base.stream_hash != new.stream_hash:
        return "the raw random numbers differ, so weights and inputs are other draws"
    lost, added = _one_sided(base, new)
    if new.is_own:  # parameters are code under test: they come, go and change their names
        lost, added = ([name for name in names if not name.is_of_parameter] for names in (lost, added))
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


def _common(base: MeasuredCase, new: MeasuredCase) -> list[StatisticName]:
    return [name for name in new.statistics if name in base.statistics]


def _one_sided(base: MeasuredCase, new: MeasuredCase) -> tuple[list[StatisticName], list[StatisticName]]:
    """Statistics that base alone has, and those that new alone has."""
    lost = [name for name in base.statistics if name not in new.statistics]
    return lost, [name for name in new.statistics if name not in base.statistics]


def _left_out(base: MeasuredCase, new: MeasuredCase) -> str:
    """Of a user's own module: parameters of one side, which nothing can be compared with."""
    lost, added = ([name.of for name in names] for names in _one_sided(base, new))
    gone = [f"without {_listed(lost)}" if lost else "", f"with {_listed(added)}" if added else ""]
    return f" Its parameters are others: now {' and '.join(filter(None, gone))}." if lost or added else ""


def _listed(items: Sequence[object]) -> str:
    shown = ", ".join(str(item) for item in items[:3])
    return shown if len(items) <= 3 else f"{shown} and {len(items) - 3} more"


def record_advice(name: str) -> str:
    """What to do about a case that cannot be compared."""
    return f"write it with gradscope baseline record --case '{name}'"
