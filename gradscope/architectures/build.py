"""From a name to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.contract.combinators import Stack
from gradscope.contract.initializer import Initializer
from gradscope.contract.option import with_options
from gradscope.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from gradscope.contract.model import Model
    from gradscope.contract.option import OptionValue


def build(
    name: str,
    *,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    **options: OptionValue,
) -> Model:
    """A model of a named architecture with reproducible initial weights.

    Args:
        name: A name from ``gradscope list``, or a class of your own: ``path/to/file.py:ClassName`` or
            ``package.module:ClassName``.
        input_size: Features of the input.
        hidden_size: Hidden units of each layer.
        num_layers: Layers stacked on each other.
        seed: Seed of the weights; the same on every device, dtype and thread count.
        dtype: ``torch.float32`` or ``torch.float64``.
        device: Where the model is put.
        options: The architecture's own, such as ``forget_bias=1``.

    Returns:
        The model, in training mode as torch's modules are.

    Raises:
        UnknownName: No such architecture or option; names the nearest.
        UsageError: A size that is not positive, or a value that an option cannot take.

    Example:
        >>> build("lstm", input_size=3, hidden_size=4).parameters_counted
        128
    """
    for key, size in {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}.items():
        if size < 1:
            raise UsageError(f"{key} should be at least 1, but {size} was given.")
    if ":" in name:
        from gradscope.own.own_class import custom_model

        model = custom_model(
            name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers, seed=seed, options=options
        )
    else:
        model = _from_catalogue(name, input_size, hidden_size, num_layers, Initializer(seed), options)
    return model.to(device=device, dtype=dtype)


def _from_catalogue(
    name: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    initializer: Initializer,
    given: dict[str, OptionValue],
) -> Model:
    if name not in ARCHITECTURES:
        raise UnknownName("architecture", name, ARCHITECTURES)
    spec = ARCHITECTURES[name]
    options = spec.parse_options(name, given)
    make = spec.load()
    if spec.whole:
        model = make(input_size, hidden_size, initializer, num_layers=num_layers, **options)
    else:
        layers = [make(input_size, hidden_size, initializer, layer=0, **options)]
        for index in range(1, num_layers):
            layers.append(make(layers[-1].output_size, hidden_size, initializer, layer=index, **options))
        model = layers[0] if num_layers == 1 else Stack(layers, flat_names=layers[0].flat_parameter_names)
    model.built_as = with_options(name, {key: options[key] for key in given})
    return model
