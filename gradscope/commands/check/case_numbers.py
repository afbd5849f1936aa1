"""From a model for every seed to the numbers of a case: base run, probe of rounding, fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradscope.commands.check.fingerprints import (
    PROBE_VERSION,
    definition_hash,
    stream_hash,
    weight_bytes,
    weights_hash,
)
from gradscope.commands.check.noise import jitter, largest_difference
from gradscope.commands.check.numbers import CaseNumbers, Statistic
from gradscope.commands.check.permuted_units import permute_units
from gradscope.commands.check.statistics import Numbers, gradient_statistics
from gradscope.commands.check.statistics_recurrence import recurrence_statistics
from gradscope.commands.check.subject import Subject
from gradscope.contract.model import Model
from gradscope.measurements.losses import ReorderedLoss

BySeed = list[dict[str, Numbers]]


def case_numbers(
    name: str, subject: Subject, seeds: Sequence[int], settings: Mapping[str, Any], *, is_own: bool
) -> CaseNumbers:
    """Everything that a case gives.

    Args:
        name: Of the case.
        subject: What is measured.
        seeds: The seeds.
        settings: What determines the numbers beside the subject, in plain data.
        is_own: The model is a class of the user's.
    """
    base: BySeed = []
    again: BySeed = []
    weights: list[bytes] = []
    for seed in seeds:
        model = subject.make(seed)
        weights.append(weight_bytes(model))
        base.append(_gradients(subject, model, seed) | _recurrence(subject, model, seed))
        with_noise, noise_probe = _once_more(subject, model, seed)
        again.append(with_noise)
    definition = dict(settings) | {
        "input": subject.input.label,
        "input_size": subject.input_size,
        "batch": subject.batch,
        "lengths": list(subject.lengths),
        "loss": subject.loss,
        "seeds": list(seeds),
        "gate": list(subject.gate),
        "probe_version": PROBE_VERSION,
    }
    return CaseNumbers(
        name=name,
        definition=definition,
        is_own=is_own,
        seeds=tuple(seeds),
        definition_hash=definition_hash(definition),
        stream_hash=stream_hash(seeds, is_own=is_own),
        weights_hash=weights_hash(weights),
        statistics={key: _statistic(key, base, again) for key in base[0]},
        noise_probe=noise_probe,
    )


def _statistic(name: str, base: BySeed, again: BySeed) -> Statistic:
    values = np.stack([numbers[name].values for numbers in base])
    other = np.stack([numbers[name].values for numbers in again])
    return Statistic(values, base[0][name].steps, largest_difference(values, other))


def _gradients(subject: Subject, model: Model, seed: int) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for lengths in subject.runs:
        x = subject.inputs(lengths[-1], seed)
        found |= gradient_statistics(model, x, lengths, subject.lengths[-1], subject.gate, subject.loss_of(seed), seed)
    return found


def _recurrence(subject: Subject, model: Model, seed: int) -> dict[str, Numbers]:
    return recurrence_statistics(
        model, lambda length: subject.inputs(length, seed), subject.lengths[-1], subject.gate, seed
    )


def _once_more(subject: Subject, model: Model, seed: int) -> tuple[dict[str, Numbers], str]:
    """The same numbers with other rounding, and how it came about; the model is used up.

    Exponents start from random frames and probes, which would have to be permuted along: they are jittered.
    """
    swapped = permute_units(model, seed)
    found: dict[str, Numbers] = {}
    if swapped is not None:
        loss = ReorderedLoss(subject.loss_of(seed), swapped.outputs)
        for lengths in subject.runs:
            x = subject.inputs(lengths[-1], seed)[..., swapped.inputs]
            found |= gradient_statistics(swapped.model, x, lengths, subject.lengths[-1], subject.gate, loss, seed)
    jitter(model, seed)
    if swapped is None:
        found |= _gradients(subject, model, seed)
    return found | _recurrence(subject, model, seed), "jitter" if swapped is None else "symmetry"
