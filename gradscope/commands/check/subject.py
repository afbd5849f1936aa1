"""What is measured, a model for every seed and its inputs, and what that gives: base run, probe of rounding, hashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from gradscope.commands.check.fingerprints import (
    PROBE_VERSION,
    definition_hash,
    stream_hash,
    weight_bytes,
    weights_hash,
)
from gradscope.commands.check.gate import SeedValues, gradient_statistics, recurrence_statistics
from gradscope.commands.check.measured_case import MeasuredCase
from gradscope.commands.check.rounding_probes import jitter, largest_difference, permute_units
from gradscope.commands.check.statistic import Statistic, StatisticName
from gradscope.contract.model import Model
from gradscope.measurements.losses import Loss, ReorderedLoss
from gradscope.running.definitions import InputDefinition

BySeed = list[dict[StatisticName, SeedValues]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and how its gradients are measured.

    Attributes:
        make: Seed to a model in float64 on the CPU that nobody else holds.
        lengths: Ascending.
        gate: Which quantities.
    """

    make: Callable[[int], Model]
    lengths: tuple[int, ...]
    gate: tuple[str, ...]
    input: InputDefinition
    loss: str

    @property
    def runs(self) -> tuple[tuple[int, ...], ...]:
        """Lengths that share an input: all of them where a shorter input is the beginning of a longer one."""
        return (self.lengths,) if self.input.choice.has_stable_prefix else tuple((T,) for T in self.lengths)

    def loss_of(self, seed: int) -> Loss:
        """The loss, whose targets and probes belong to the seed."""
        return self.loss

    def inputs(self, length: int, seed: int) -> Tensor:
        """``(batch, length, input_size)``, float64."""
        return self.input.draw(length, seed)[0]


def measure_subject(
    name: str, subject: Subject, seeds: Sequence[int], settings: Mapping[str, Any], *, is_own: bool
) -> MeasuredCase:
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
        "input": subject.input.choice.label,
        "input_size": subject.input.input_size,
        "batch": subject.input.batch,
        "lengths": list(subject.lengths),
        "loss": subject.loss,
        "seeds": list(seeds),
        "gate": list(subject.gate),
        "probe_version": PROBE_VERSION,
    }
    return MeasuredCase(
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


def _statistic(name: StatisticName, base: BySeed, again: BySeed) -> Statistic:
    values = np.stack([found[name].values for found in base])
    other = np.stack([found[name].values for found in again])
    return Statistic(values, base[0][name].steps, largest_difference(values, other))


def _gradients(subject: Subject, model: Model, seed: int) -> dict[StatisticName, SeedValues]:
    found: dict[StatisticName, SeedValues] = {}
    for lengths in subject.runs:
        x = subject.inputs(lengths[-1], seed)
        found |= gradient_statistics(model, x, lengths, subject.lengths[-1], subject.gate, subject.loss_of(seed), seed)
    return found


def _recurrence(subject: Subject, model: Model, seed: int) -> dict[StatisticName, SeedValues]:
    return recurrence_statistics(
        model, lambda length: subject.inputs(length, seed), subject.lengths[-1], subject.gate, seed
    )


def _once_more(subject: Subject, model: Model, seed: int) -> tuple[dict[StatisticName, SeedValues], str]:
    """The same numbers with other rounding, and how it came about; the model is used up.

    Exponents start from random frames and probes, which would have to be permuted along: they are jittered.
    """
    swapped = permute_units(model, seed)
    found: dict[StatisticName, SeedValues] = {}
    if swapped is not None:
        loss = ReorderedLoss(subject.loss_of(seed), swapped.outputs)
        for lengths in subject.runs:
            x = subject.inputs(lengths[-1], seed)[..., swapped.inputs]
            found |= gradient_statistics(swapped.model, x, lengths, subject.lengths[-1], subject.gate, loss, seed)
    jitter(model, seed)
    if swapped is None:
        found |= _gradients(subject, model, seed)
    return found | _recurrence(subject, model, seed), "jitter" if swapped is None else "symmetry"
