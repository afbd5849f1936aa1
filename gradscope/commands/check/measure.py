"""Measures a case of a file, or a model that is at hand, on one thread of the CPU in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from gradscope.commands.check.cases import Case, input_features
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase
from gradscope.commands.check.own_model import own_model
from gradscope.commands.check.settings import CASE
from gradscope.commands.check.subject import Subject, measure_subject
from gradscope.errors import GradscopeError, UsageError
from gradscope.own.import_class import load_class
from gradscope.running.defaults import INPUT_KIND
from gradscope.running.definitions import InputDefinition
from gradscope.running.setting import read_settings
from gradscope.running.values import seed_number, whole_number


def measure_cases(
    cases: Sequence[Case], *, finished: Callable[[str], None] = lambda name: None
) -> tuple[MeasuredCase | FailedCase, ...]:
    """The numbers of cases, one after the other; ``finished`` is called with the name of each."""
    found = []
    for case in cases:
        found.append(measure_case(case))
        finished(case.name)
    return tuple(found)


def measure_case(case: Case) -> MeasuredCase | FailedCase:
    """The numbers of one case; they depend on nothing but the case and the code.

    A model that cannot be measured, or that runs out of memory, is a failed case; so is one of the user's that raises
    any error.
    """
    settings = {
        "architecture": case.reference,
        "options": dict(case.architecture.options),
        "hidden_size": case.model.hidden_size,
        "num_layers": case.model.num_layers,
    }
    is_own = case.architecture.is_own
    subject = Subject(
        make=case.model.build,
        lengths=case.lengths,
        gate=case.gate,
        input=case.input,
        loss=case.loss,
    )
    expected = (Exception, SystemExit) if is_own else (GradscopeError, torch.OutOfMemoryError, MemoryError)
    if is_own:
        with contextlib.suppress(UsageError):  # what a module changes when it is imported does not depend on the case
            load_class(case.architecture.name, case.folder)
    try:
        with reference_conditions():
            return measure_subject(case.name, subject, case.seed_numbers, settings, is_own=is_own)
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
    lengths: str | Sequence[int] | None = None,
    seeds: int | Sequence[int] | None = None,
    gate: str | Sequence[str] | None = None,
    input_size: int | None = None,
    input: str = INPUT_KIND,  # noqa: A002 - the name of the option
    batch: int | None = None,
    loss: str | None = None,
) -> MeasuredCase:
    """The numbers of a model that is at hand; what is not given is a case's default.

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
    seed_numbers = _seeds(seeds)
    given = {"lengths": _words(lengths), "gate": _words(gate), "input": input, "batch": batch, "loss": loss}
    read = read_settings({key: CASE[key] for key in given}, given, Path(), "")
    with reference_conditions():
        models = {seed: own_model(model, seed, input_size) for seed in seed_numbers}
        size = input_features(read["input"], models[seed_numbers[0]].input_size)
        read["input"] = InputDefinition(read["input"], size, read.pop("batch"))
        subject = Subject(make=models.__getitem__, **read)
        return measure_subject(name, subject, seed_numbers, {}, is_own=True)


@contextlib.contextmanager
def reference_conditions() -> Iterator[None]:
    """One thread of the CPU, gradients on, torch's usual default dtype, whatever the process is set to.

    On one thread everything inside runs in one order. Constructors of a user's modules draw in the default dtype, so
    that is part of the conditions. All is put back.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


def _seeds(seeds: int | Sequence[int] | None) -> tuple[int, ...]:
    if seeds is None:
        seeds = whole_number("seeds", CASE["seeds"].default)
    if isinstance(seeds, int):
        return tuple(range(whole_number("seeds", seeds)))
    return tuple(dict.fromkeys(seed_number("seeds", seed) for seed in seeds)) or _seeds(0)


def _words(value: str | Sequence[object] | None) -> str | list[object] | None:
    return value if value is None or isinstance(value, str) else list(value)
