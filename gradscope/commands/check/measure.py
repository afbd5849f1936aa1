"""Measures a case of a file, or a model that is at hand, on one thread of the CPU in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from gradscope.architectures.build import build
from gradscope.commands.check.case_numbers import case_numbers
from gradscope.commands.check.cases import Case, input_features
from gradscope.commands.check.conditions import reference_conditions
from gradscope.commands.check.numbers import CaseNumbers, FailedCase
from gradscope.commands.check.own_model import own_model
from gradscope.commands.check.subject import Subject
from gradscope.contract.model import Model
from gradscope.errors import GradscopeError, UsageError
from gradscope.own.import_class import load_class
from gradscope.running.configuration import read_settings
from gradscope.running.settings import CASE
from gradscope.running.values import seed_number, whole_number


def measure_cases(
    cases: Sequence[Case], *, finished: Callable[[str], None] = lambda name: None
) -> tuple[CaseNumbers | FailedCase, ...]:
    """The numbers of cases, one after the other; ``finished`` is called with the name of each."""
    found = []
    for case in cases:
        found.append(measure_case(case))
        finished(case.name)
    return tuple(found)


def measure_case(case: Case) -> CaseNumbers | FailedCase:
    """The numbers of one case; they depend on nothing but the case and the code.

    A model that cannot be measured, or that runs out of memory, is a failed case; so is one of the user's that raises
    any error.
    """

    def make(seed: int) -> Model:
        return build(
            case.architecture.name,
            input_size=case.input_size,
            hidden_size=case.hidden_size,
            num_layers=case.num_layers,
            seed=seed,
            dtype=torch.float64,
            device="cpu",
            **dict(case.architecture.options),
        )

    settings = {
        "architecture": case.reference,
        "options": dict(case.architecture.options),
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
    }
    subject = Subject(
        make=make,
        lengths=case.lengths,
        gate=case.gate,
        input=case.input,
        input_size=case.input_size,
        batch=case.batch,
        loss=case.loss,
    )
    expected = (Exception, SystemExit) if case.is_own else (GradscopeError, torch.OutOfMemoryError, MemoryError)
    if case.is_own:
        with contextlib.suppress(UsageError):  # what a module changes when it is imported does not depend on the case
            load_class(case.architecture.name, case.folder)
    try:
        with reference_conditions():
            return case_numbers(case.name, subject, case.seed_numbers, settings, is_own=case.is_own)
    except expected as error:
        said = " ".join(str(error).split())
        ended = f"it ended the process (SystemExit: {said})" if isinstance(error, SystemExit) else said
        return FailedCase(case.name, ended or type(error).__name__)


class MeasureOptions(TypedDict, total=False):
    """The options of :func:`measure_model`, whose defaults hold for what is not given."""

    lengths: str | Sequence[int]
    seeds: int | Sequence[int]
    gate: str | Sequence[str]
    input_size: int | None
    input: str
    batch: int
    loss: str


def measure_model(
    model: nn.Module | Callable[[int], nn.Module],
    *,
    name: str,
    lengths: str | Sequence[int] = "10,50,200",
    seeds: int | Sequence[int] = 5,
    gate: str | Sequence[str] = "gradients,slope,weights",
    input_size: int | None = None,
    input: str = "white",  # noqa: A002 - the name of the option
    batch: int = 8,
    loss: str = "last",
) -> CaseNumbers:
    """The numbers of a model that is at hand.

    Args:
        model: A module, or a function from a seed to one; see :func:`own_model`. Of a module, which is copied, the
            seeds vary inputs and targets alone. ``torch.nn.RNN``, ``LSTM`` and ``GRU``, a :class:`gradscope.Recurrence`
            and a cell are measured at their states, a module that maps ``(batch, length, input_size)`` to
            ``(batch, length, features)`` at its input.
        name: What the result is called.
        lengths: Sequence lengths, ascending.
        seeds: How many, from 0 on, or which.
        gate: Which quantities.
        input_size: Features of the input; what the module says by default.
        input: Kind of the input.
        batch: Sequences of each seed.
        loss: The loss.

    Raises:
        UsageError: A value that cannot be.
        Unmeasurable: The model cannot be measured as it is.
    """
    numbers = _seeds(seeds)
    given = {"lengths": _words(lengths), "gate": _words(gate), "input": input, "batch": batch, "loss": loss}
    read = read_settings({key: CASE[key] for key in given}, given, Path(), "")
    with reference_conditions():
        models = {seed: own_model(model, seed, input_size) for seed in numbers}
        read["input_size"] = input_features(read["input"], models[numbers[0]].input_size)
        subject = Subject(make=models.__getitem__, **read)
        return case_numbers(name, subject, numbers, {}, is_own=True)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        return tuple(range(whole_number("seeds", seeds)))
    return tuple(dict.fromkeys(seed_number("seeds", seed) for seed in seeds)) or _seeds(0)


def _words(value: str | Sequence[object]) -> str | list[object]:
    return value if isinstance(value, str) else list(value)
