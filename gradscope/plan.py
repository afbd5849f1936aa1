"""From a checked configuration to the cells of a sweep; what a user can get wrong is found here, before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gradscope.architectures.build import build
from gradscope.config.architectures import ArchitectureChoice
from gradscope.config.compare import CompareConfiguration
from gradscope.contract.model import Model
from gradscope.contract.modes import check_modes
from gradscope.contract.probe import check_answers
from gradscope.contract.sequence import SequenceModel
from gradscope.errors import GradscopeError, UnknownName, UsageError
from gradscope.inputs.catalogue import INPUTS
from gradscope.store import content_hash
from gradscope.sweep.cell import Cell
from gradscope.sweep.device import resolve_device
from gradscope.sweep.materials import cell_input, cell_model, data_of
from gradscope.sweep.run_cell import components_of

DEFAULT_INPUT_SIZE = 32
PROBE_STEPS = 8
LARGEST_HIDDEN_SIZE = 1 << 14
GIB = 2**30


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


def plan_comparison(configuration: CompareConfiguration) -> Plan:
    """The cells of a comparison, each architecture tried once.

    Raises:
        GradscopeError: Anything that cannot work: sizes that do not fit, a model that cannot be measured or needs too
            much memory, data that are too short, a checkpoint of another model.
    """
    device = resolve_device(configuration.device)
    messages = [f"Lengths: {', '.join(map(str, configuration.lengths))}."]
    if configuration.device == "auto":
        messages.append(f"Device: {device}.")
    input_size = _input_size(configuration)
    cells: list[Cell] = []
    sizes = _hidden_sizes(configuration, input_size, messages)
    for choice, hidden_size in zip(configuration.arch, sizes, strict=True):
        first = _cell(configuration, choice, input_size, hidden_size, device)
        messages += _try(first, configuration.max_memory)
        cells += [replace(first, seed=seed) for seed in configuration.seed_numbers]
    return Plan(tuple(cells), device, tuple(dict.fromkeys(messages)))


def _input_size(configuration: CompareConfiguration) -> int:
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


def _cell(
    configuration: CompareConfiguration, choice: ArchitectureChoice, input_size: int, hidden_size: int, device: str
) -> Cell:
    chosen = configuration.chosen_input
    data, checkpoint = (str(path.resolve()) if path else "" for path in (configuration.data, configuration.checkpoint))
    place = choice.name.rpartition(":")[0]
    own = [place] if place.endswith(".py") and Path(place).is_file() else []
    content = [(path, content_hash(path)) for path in (*own, data, checkpoint) if path and Path(path).is_file()]
    return Cell(
        label=choice.label,
        architecture=choice.name,
        options=choice.options,
        seed=configuration.seed,
        lengths=configuration.lengths,
        input_kind="" if data else chosen.kind,
        input_options=() if data else chosen.options,
        data=data,
        batch=configuration.batch,
        input_size=input_size,
        hidden_size=hidden_size,
        num_layers=configuration.num_layers,
        loss=configuration.loss,
        component=configuration.component or "",
        every_component=True,
        every_step=configuration.every_step,
        dtype=configuration.dtype,
        device=device,
        checkpoint=checkpoint,
        content=tuple(content),
    )


def _try(cell: Cell, max_memory: float) -> list[str]:
    """Builds the model and a short input, and refuses what could not be measured."""
    messages: list[str] = []
    model = cell_model(cell)
    check_modes(model)
    if cell.component and cell.component not in components_of(model):
        raise UnknownName(f"component of {cell.label}", cell.component, components_of(model))
    if cell.data:
        x, _ = cell_input(replace(cell, device="cpu"), cell.lengths[-1])
    else:
        x, _ = cell_input(replace(cell, batch=min(cell.batch, 2), device="cpu"), min(cell.lengths[-1], PROBE_STEPS))
    if isinstance(model, SequenceModel):
        messages += _memory(cell, model, max_memory)
        probe = x[:2, :PROBE_STEPS].to(cell.device)
        check_answers(model, probe if len(probe) > 1 else torch.cat([probe, probe + 1]))
    return messages


def _memory(cell: Cell, model: SequenceModel, max_memory: float) -> list[str]:
    needed = model.working_bytes(cell.batch, cell.lengths[-1]) / GIB
    if needed > max_memory:
        raise UsageError(
            f"{cell.label} needs about {needed:.1f} GiB at T={cell.lengths[-1]} with batch {cell.batch}, more than "
            f"--max-memory {max_memory:g}; ask for shorter lengths, a smaller --batch, or allow more."
        )
    return [f"{cell.label} needs about {needed:.1f} GiB at T={cell.lengths[-1]}."] if needed >= 0.1 else []


def _hidden_sizes(configuration: CompareConfiguration, input_size: int, messages: list[str]) -> list[int]:
    if configuration.match == "hidden":
        return [configuration.hidden_size] * len(configuration.arch)
    measure: Callable[[Model], int] = (
        (lambda model: model.parameters_counted)
        if configuration.match == "parameters"
        else lambda model: model.state_size
    )

    def size_of(choice: ArchitectureChoice, hidden_size: int) -> int:
        layers = configuration.num_layers
        model = build(
            choice.name, input_size=input_size, hidden_size=hidden_size, num_layers=layers, **_options(choice)
        )
        return measure(model)

    first, *others = configuration.arch
    target = size_of(first, configuration.hidden_size)
    if target == 0:
        raise UsageError(f"--match {configuration.match}: {first.label} has none, so nothing can be matched to it.")
    sizes = [configuration.hidden_size]
    for choice in others:
        sizes.append(_nearest(choice, target, size_of, configuration.match))
        messages.append(
            f"{choice.label}: hidden size {sizes[-1]} for {configuration.match} near {first.label}'s {target:,}."
        )
    return sizes


def _options(choice: ArchitectureChoice) -> dict[str, Any]:
    return dict(choice.options)


def _nearest(
    choice: ArchitectureChoice, target: int, size_of: Callable[[ArchitectureChoice, int], int], match: str
) -> int:
    """The hidden size whose model comes closest; sizes that an architecture cannot have are passed over."""

    def measured(hidden_size: int) -> int | None:
        try:
            return size_of(choice, hidden_size)
        except GradscopeError:
            return None

    low, high = 1, 1
    while high < LARGEST_HIDDEN_SIZE and (measured(high) or 0) < target:
        low, high = high, 2 * high
        if high >= 8 and not measured(high):
            raise UsageError(f"--match {match}: {choice.label} has none to match; leave it out or match another size.")
    while high - low > 1:
        middle = (low + high) // 2
        size = measured(middle) or measured(middle + 1) or 0
        low, high = (middle, high) if size < target else (low, middle)
    around = {size: measured(size) for size in range(max(1, low - 2), high + 3)}
    fitting = {size: value for size, value in around.items() if value}
    return min(fitting, key=lambda size: abs(fitting[size] - target))
