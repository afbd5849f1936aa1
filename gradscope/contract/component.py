"""Names of the components whose gradients can be asked for: a model's own, its input, its whole state."""

from __future__ import annotations

from gradscope.contract.model import Model

INPUT, STATE = "x", "<state>"
_LAYER = "_l"  # and the layer's number: torch's parameters end so


def components_to_ask_for(model: Model) -> tuple[str, ...]:
    """The model's own components, the input, and the whole state where there is one."""
    return (*dict.fromkeys((*model.components, INPUT)), *((STATE,) if model.state_size else ()))


def judged_component(model: Model) -> str:
    """What verdicts are about: the whole state; of a model without one the primary component."""
    return STATE if model.state_size else model.primary_component


def in_layer(name: str, layer: int) -> str:
    """The name of a layer's component in a stack.

    Example:
        >>> in_layer("h", 2)
        'h_l2'
    """
    return f"{name}{_LAYER}{layer}"


def layer_of(name: str) -> int:
    """The layer a component's name ends in, 0 where it has none: ``x`` and ``<state>`` belong to the whole model."""
    return _parted(name)[1]


def count_layers(model: Model) -> int:
    """How many layers a model's components lie in; at least one."""
    return 1 + max(map(layer_of, model.components), default=0)


def within_layer(name: str) -> str:
    """A component's name in its own layer.

    Example:
        >>> within_layer("h_l2"), within_layer("<state>")
        ('h', '<state>')
    """
    return _parted(name)[0]


def _parted(name: str) -> tuple[str, int]:
    own, mark, layer = name.rpartition(_LAYER)
    return (own, int(layer)) if mark and layer.isdigit() else (name, 0)
