"""From a checked configuration to the cells of a sweep; what a user can get wrong is found here, before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.contract.probe import PROBE_STEPS, check_answers, check_modes
from gradscope.contract.sequence import SequenceModel
from gradscope.errors import GradscopeError, UsageError
from gradscope.running.cell import Cell, ModelCell
from gradscope.running.configuration import RunConfiguration
from gradscope.running.defaults import INPUT_SIZE
from gradscope.running.definitions import InputDefinition, ModelDefinition, content_hashes, data_of
from gradscope.running.input_choice import agreed_size
from gradscope.running.matching import hidden_sizes

GIB = 2**30

AnyCell = TypeVar("AnyCell", bound=ModelCell)


@dataclass(frozen=True)
class Plan:
    """What will be run.

    Attributes:
        cells: The sweep.
        device: Where.
        messages: What the user should know before it starts.
    """

    cells: tuple[Cell, ...]
    device: str
    messages: tuple[str, ...]


def plan_cells(
    configuration: RunConfiguration,
    messages: list[str],
    make: Callable[[dict[str, Any]], AnyCell],
    check: Callable[[AnyCell, Model], list[str]],
    *,
    every_seed: bool = True,
) -> Plan:
    """The cells of every architecture and seed, each architecture tried once.

    Args:
        configuration: The run's.
        messages: What is to be said first.
        make: A cell from the fields that all cells of a model have.
        check: Refuses what the measurement cannot do with a model; returns messages.
        every_seed: A cell for each seed; otherwise the measurement goes through the seeds itself.

    Raises:
        GradscopeError: Anything that cannot work: sizes that do not fit, a model that cannot be measured or needs too
            much memory, data that are too short, a checkpoint of another model.
    """
    device = resolve_device(configuration.device)
    if configuration.device == "auto":
        messages.append(f"Device: {device}.")
    chosen = InputDefinition(configuration.chosen_input, _input_size(configuration), configuration.batch)
    cells: list[Cell] = []
    sizes = hidden_sizes(configuration, chosen.input_size, messages)
    checkpoint = str(configuration.checkpoint.resolve()) if configuration.checkpoint else ""
    for choice, hidden_size in zip(configuration.arch, sizes, strict=True):
        definition = ModelDefinition(choice, chosen.input_size, hidden_size, configuration.num_layers, checkpoint)
        common = {
            "model": definition,
            "input": chosen,
            "seed": configuration.seed,
            "dtype": configuration.dtype,
            "device": device,
            "content": content_hashes(choice.own_file, configuration.data, checkpoint),
        }
        first = make(common)
        model = first.build()
        check_modes(model)
        messages += check(first, model)
        messages += _try(first, model, configuration)
        cells += [replace(first, seed=seed) for seed in configuration.seed_numbers] if every_seed else [first]
    return Plan(tuple(cells), device, tuple(dict.fromkeys(messages)))


def resolve_device(asked: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is cuda where there is one.

    Raises:
        UsageError: cuda was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if asked == "auto":
        return "cuda" if available else "cpu"
    if asked == "cuda" and not available:
        raise UsageError("--device cuda was asked for, but torch finds no CUDA device here; use cpu or auto.")
    return asked


def check_memory(label: str, needed_bytes: float, max_memory: float, where: str, advice: str) -> list[str]:
    """Refuses what needs more than ``--max-memory``; says how much it is where it is worth a word."""
    needed = needed_bytes / GIB
    if needed > max_memory:
        raise UsageError(
            f"{label} needs about {needed:.1f} GiB {where}, more than --max-memory {max_memory:g}; {advice}."
        )
    return [f"{label} needs about {needed:.1f} GiB {where}."] if needed >= 0.1 else []


def _input_size(configuration: RunConfiguration) -> int:
    asked, chosen = configuration.input_size, configuration.chosen_input
    if configuration.data is not None:
        fixed: int | None = data_of(configuration.data).shape[-1]
        source = f"the data in {configuration.data}"
    else:
        fixed, source = chosen.fixed_size, f"the input '{chosen.kind}'"
    conflict = f"--input-size is {asked}, but {source} has {fixed} features; leave --input-size out."
    return agreed_size(fixed, asked, INPUT_SIZE, conflict)


def _check_answers(model: Model, x: Tensor) -> None:
    """Refuses what gives no repeatable, causal answers; code that raises something fails where it is measured."""
    try:
        check_answers(model, x)
    except GradscopeError:
        raise
    except Exception:
        pass


def _try(cell: ModelCell, model: Model, configuration: RunConfiguration) -> list[str]:
    """Makes a short input, and refuses what could not be measured."""
    messages: list[str] = []
    longest, batch = configuration.longest, cell.input.batch
    if cell.input.choice.data:
        x, _ = cell.input.draw(longest, cell.seed, dtype=cell.dtype)
    else:
        few = replace(cell.input, batch=min(batch, 2))
        x, _ = few.draw(min(longest, PROBE_STEPS), cell.seed, dtype=cell.dtype)
    if isinstance(model, SequenceModel):
        where = f"at T={longest} with batch {batch}"
        advice = "ask for shorter lengths, a smaller --batch, or allow more"
        needed = model.working_bytes(batch, longest)
        messages += check_memory(cell.label, needed, configuration.max_memory, where, advice)
    if not model.built_as:
        _check_answers(model, x[:2, :PROBE_STEPS].to(cell.device))
    return messages
