"""From a checked configuration to the cells of a sweep; what a user can get wrong is found here, before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from gradscope.contract.model import Model
from gradscope.contract.probe import check_answers, check_modes
from gradscope.contract.sequence import SequenceModel
from gradscope.errors import UsageError
from gradscope.inputs.catalogue import INPUTS
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.cell import Cell
from gradscope.running.configuration import RunConfiguration
from gradscope.running.device import resolve_device
from gradscope.running.matching import hidden_sizes
from gradscope.running.materials import cell_input, cell_model, data_of
from gradscope.running.store import content_hash

DEFAULT_INPUT_SIZE = 32
PROBE_STEPS = 8
GIB = 2**30

AnyCell = TypeVar("AnyCell", bound=Cell)


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
        make: A cell from the fields that all cells have.
        check: Refuses what the measurement cannot do with a model; returns messages.
        every_seed: A cell for each seed; otherwise the measurement goes through the seeds itself.

    Raises:
        GradscopeError: Anything that cannot work: sizes that do not fit, a model that cannot be measured or needs too
            much memory, data that are too short, a checkpoint of another model.
    """
    device = resolve_device(configuration.device)
    if configuration.device == "auto":
        messages.append(f"Device: {device}.")
    input_size = _input_size(configuration)
    cells: list[Cell] = []
    sizes = hidden_sizes(configuration, input_size, messages)
    for choice, hidden_size in zip(configuration.arch, sizes, strict=True):
        first = make(_common(configuration, choice, input_size, hidden_size, device))
        model = cell_model(first)
        check_modes(model)
        messages += check(first, model)
        messages += _try(first, model, configuration)
        cells += [replace(first, seed=seed) for seed in configuration.seed_numbers] if every_seed else [first]
    return Plan(tuple(cells), device, tuple(dict.fromkeys(messages)))


def check_memory(label: str, needed_bytes: float, max_memory: float, where: str, advice: str) -> list[str]:
    """Refuses what needs more than ``--max-memory``; says how much it is where it is worth a word."""
    needed = needed_bytes / GIB
    if needed > max_memory:
        raise UsageError(
            f"{label} needs about {needed:.1f} GiB {where}, more than --max-memory {max_memory:g}; {advice}."
        )
    return [f"{label} needs about {needed:.1f} GiB {where}."] if needed >= 0.1 else []


def _input_size(configuration: RunConfiguration) -> int:
    asked = configuration.input_size
    if configuration.data is not None:
        fixed: int | None = data_of(configuration.data).shape[-1]
        source = f"the data in {configuration.data}"
    else:
        chosen = configuration.chosen_input
        fixed = INPUTS[chosen.kind].implied_input_size(dict(chosen.options))
        source = f"the input '{chosen.kind}'"
    if fixed is None:
        return asked or DEFAULT_INPUT_SIZE
    if asked not in (None, fixed):
        raise UsageError(f"--input-size is {asked}, but {source} has {fixed} features; leave --input-size out.")
    return fixed


def _common(
    configuration: RunConfiguration, choice: ArchitectureChoice, input_size: int, hidden_size: int, device: str
) -> dict[str, Any]:
    """The fields that every cell has."""
    chosen = configuration.chosen_input
    data, checkpoint = (str(path.resolve()) if path else "" for path in (configuration.data, configuration.checkpoint))
    place = choice.name.rpartition(":")[0]
    own = [place] if place.endswith(".py") and Path(place).is_file() else []
    content = [(path, content_hash(path)) for path in (*own, data, checkpoint) if path and Path(path).is_file()]
    return {
        "label": choice.label,
        "architecture": choice.name,
        "options": choice.options,
        "seed": configuration.seed,
        "input_kind": "" if data else chosen.kind,
        "input_options": () if data else chosen.options,
        "data": data,
        "batch": configuration.batch,
        "input_size": input_size,
        "hidden_size": hidden_size,
        "num_layers": configuration.num_layers,
        "dtype": configuration.dtype,
        "device": device,
        "checkpoint": checkpoint,
        "content": tuple(content),
    }


def _try(cell: Cell, model: Model, configuration: RunConfiguration) -> list[str]:
    """Makes a short input, and refuses what could not be measured."""
    messages: list[str] = []
    longest = configuration.longest
    if cell.data:
        x, _ = cell_input(replace(cell, device="cpu"), longest)
    else:
        x, _ = cell_input(replace(cell, batch=min(cell.batch, 2), device="cpu"), min(longest, PROBE_STEPS))
    if isinstance(model, SequenceModel):
        where = f"at T={longest} with batch {cell.batch}"
        advice = "ask for shorter lengths, a smaller --batch, or allow more"
        needed = model.working_bytes(cell.batch, longest)
        messages += check_memory(cell.label, needed, configuration.max_memory, where, advice)
        probe = x[:2, :PROBE_STEPS].to(cell.device)
        check_answers(model, probe if len(probe) > 1 else torch.cat([probe, probe + 1]))
    return messages
