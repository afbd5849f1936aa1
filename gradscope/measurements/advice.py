"""What to try where something is wrong: nothing is recommended that was not measured and found better.

The candidates are options that the catalogue's entry proposes, then other architectures; each is measured on the same
inputs, sizes, layers and seeds, until one helps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.spec import Situation
from gradscope.contract.option import OptionValue, with_options
from gradscope.measurements.verdict import CARRIED, counted_verdicts
from gradscope.numerics.averages import middle

MOST_CANDIDATES = 3


@dataclass(frozen=True)
class Candidate:
    """An architecture that may do better.

    Attributes:
        name: Of the catalogue.
        options: Those that are not at their defaults.
    """

    name: str
    options: tuple[tuple[str, OptionValue], ...]

    @property
    def label(self) -> str:
        """As one would type it."""
        return with_options(self.name, dict(self.options))


@dataclass(frozen=True)
class Trial:
    """What a candidate was found to do, over the seeds.

    Attributes:
        label: The candidate's.
        verdicts: One a seed.
        carried_decades: One a seed.
    """

    label: str
    verdicts: tuple[str, ...]
    carried_decades: tuple[float, ...]

    @property
    def helps(self) -> bool:
        """Whether the gradient is carried, with every seed."""
        return set(self.verdicts) == {CARRIED}

    @property
    def found(self) -> str:
        """``carried, −0.4 decades``; how many seeds have which verdict where they differ."""
        words = self.verdicts[0] if len(set(self.verdicts)) == 1 else counted_verdicts(self.verdicts)
        known = [value for value in self.carried_decades if math.isfinite(value)]
        return f"{words}, {_signed(middle(np.array(known)))} decades" if known else words


def candidates(name: str, given: Mapping[str, OptionValue], situation: Situation) -> tuple[Candidate, ...]:
    """At most three architectures to try in place of one, the most promising first.

    Args:
        name: Of the catalogue; any other name for a class of the user's.
        given: The options that it was built with.
        situation: What they depend on.
    """
    found: list[Candidate] = []
    entry = ARCHITECTURES.get(name)
    now = entry.parse_options(name, given) if entry else {}
    if entry is not None and entry.remedies is not None:
        found += [_candidate(name, now | dict(changes)) for changes in entry.remedies(now, situation)]
    ranked = sorted((spec.memory_rank, other) for other, spec in ARCHITECTURES.items() if spec.memory_rank)
    for _, other in ranked:
        if other != name:
            found.append(_made_for_memory(other, situation))
    own = _candidate(name, now) if entry else None
    # the last place is kept for another architecture: what an entry proposes may all fail
    different = [each for each in dict.fromkeys(found) if each != own]
    mine, others = ([each for each in different if (each.name == name) is same] for same in (True, False))
    return (*mine[: MOST_CANDIDATES - 1], *others)[:MOST_CANDIDATES]


def _candidate(name: str, values: Mapping[str, OptionValue]) -> Candidate:
    defaults = {option.name: option.default for option in ARCHITECTURES[name].options}
    return Candidate(name, tuple((key, value) for key, value in values.items() if value != defaults[key]))


def _made_for_memory(name: str, situation: Situation) -> Candidate:
    entry = ARCHITECTURES[name]
    defaults = entry.parse_options(name, {})
    first = entry.remedies(defaults, situation)[0] if entry.remedies else {}
    return _candidate(name, defaults | dict(first))


def advice(trials: Sequence[Trial]) -> str:
    """What was tried and found, in one line; empty where nothing was tried.

    Example:
        >>> helps = Trial("lstm:chrono=1000", ("carried",), (-0.81,))
        >>> advice([helps])
        'try lstm:chrono=1000 (carried, −0.8 decades; tried)'
        >>> advice([Trial("rrn:inner=tanh", ("lost",), (-73.0,))])
        'nothing that was tried helps: rrn:inner=tanh is lost, −73.0 decades'
    """
    helping = [trial for trial in trials if trial.helps]
    failing = [f"{trial.label} is {trial.found}" for trial in trials if not trial.helps]
    if not helping:
        return f"nothing that was tried helps: {'; '.join(failing)}" if failing else ""
    tried = " or ".join(f"{trial.label} ({trial.found}; tried)" for trial in helping)
    return f"try {tried}; {'; '.join(failing)}" if failing else f"try {tried}"


def _signed(decades: float) -> str:
    return f"{round(decades, 1) + 0.0:+.1f}".replace("-", "−")  # there is no −0.0


def clipping(log10_weight_gradient_norm: float, clip_norm: float | None) -> str:
    """By how much clipping shrinks the recurrent weights' gradient; empty where that was not asked or is not known."""
    if clip_norm is None or not math.isfinite(log10_weight_gradient_norm):
        return ""
    factor = min(0.0, math.log10(clip_norm) - log10_weight_gradient_norm)
    return f"clipping to {clip_norm:g} shrinks its weight gradients by a factor of 10^{factor:.1f}"
