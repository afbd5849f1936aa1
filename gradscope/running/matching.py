"""Hidden sizes at which models have the same number of parameters, or of state."""

from __future__ import annotations

from collections.abc import Callable

from gradscope.contract.model import Model
from gradscope.errors import GradscopeError, UsageError
from gradscope.running.architecture_choice import ArchitectureChoice
from gradscope.running.configuration import RunConfiguration
from gradscope.running.definitions import ModelDefinition

LARGEST_HIDDEN_SIZE = 1 << 14


def hidden_sizes(configuration: RunConfiguration, input_size: int, messages: list[str]) -> list[int]:
    """The hidden size of each architecture; says those that differ.

    Raises:
        UsageError: There is nothing to match, or an architecture has none of it.
    """
    if configuration.match == "hidden":
        return [configuration.hidden_size] * len(configuration.arch)
    measure: Callable[[Model], int] = (
        (lambda model: model.parameters_counted)
        if configuration.match == "parameters"
        else lambda model: model.state_size
    )

    def size_of(choice: ArchitectureChoice, hidden_size: int) -> int:
        definition = ModelDefinition(choice, input_size, hidden_size, configuration.num_layers)
        return measure(definition.build(seed=0, dtype="float32"))

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
