"""A user's own class as a model: built from the options that were given, with the global generators seeded."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from gradscope.contract.combinators import Stack
from gradscope.contract.initializer import Initializer
from gradscope.contract.model import Model
from gradscope.contract.option import OptionValue
from gradscope.contract.recurrence import Recurrence
from gradscope.errors import UnknownName, UsageError
from gradscope.own.as_model import adapted
from gradscope.own.import_class import load_class

AT = "at"  # the option that names inner modules of a sequence module


def custom_model(
    reference: str,
    *,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    seed: int,
    options: Mapping[str, OptionValue],
) -> Model:
    """A model from a user's class.

    The class has gradscope's contract, or the calling convention of ``RNNCell`` or ``LSTMCell``, or maps
    ``(batch, length, input_size)`` to ``(batch, length, features)``. Its constructor draws from global generators,
    which are seeded for it and put back.

    Raises:
        UsageError: The class cannot be found, loaded or built, or has another convention.
        UnknownName: No such class, option or inner module; names the nearest.
    """
    cls = load_class(reference)
    given = dict(options)
    at = str(given.pop(AT, ""))
    with seeded_generators(seed):
        layers, size = [], input_size
        arguments = _arguments(cls, reference, given)
        count = 1 if "num_layers" in arguments else num_layers
        for index in range(count):
            sizes = {"input_size": size, "hidden_size": hidden_size, "num_layers": num_layers}
            module = _build(cls, reference, arguments, sizes, seed + index)
            layers.append(adapted(module, reference, size, hidden_size, at))
            size = layers[-1].output_size
    if len(layers) > 1 and not all(isinstance(layer, Recurrence) for layer in layers):
        raise UsageError(
            f"{reference} takes no num_layers, and only recurrences can be stacked; build its layers inside."
        )
    return layers[0] if len(layers) == 1 else Stack(layers)


def _arguments(cls: type[nn.Module], reference: str, given: Mapping[str, OptionValue]) -> dict[str, Any]:
    """The constructor's arguments: sizes by name (as None) where it takes them, options typed, batch_first."""
    if issubclass(cls, nn.RNNBase):
        known: dict[str, Any] = dict.fromkeys(("bias", "dropout", "bidirectional", "nonlinearity", "proj_size"))
        sizes = ["input_size", "hidden_size", "num_layers"]
        fixed: dict[str, Any] = {"batch_first": True}
    else:
        parameters = inspect.signature(cls).parameters
        known = {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        sizes = [name for name in ("input_size", "hidden_size", "num_layers", "initializer") if name in known]
        fixed = {"batch_first": True} if "batch_first" in known else {}
    for name in given:
        if name not in known or name in sizes:
            raise UnknownName(f"option of {reference}", name, [n for n in (*known, AT) if n not in sizes])
    typed = {name: _typed(reference, name, value, known[name]) for name, value in given.items()}
    return dict.fromkeys(sizes) | fixed | typed


def _typed(reference: str, name: str, value: OptionValue, parameter: inspect.Parameter | None) -> OptionValue:
    """A text as the type of the parameter's default or annotation, or as the number or truth value it looks like."""
    if not isinstance(value, str):
        return value
    kind: Any = None
    if parameter is not None and parameter.default not in (parameter.empty, None):
        kind = type(parameter.default)
    elif parameter is not None and parameter.annotation is not parameter.empty:
        kind = {"int": int, "float": float, "bool": bool, "str": str}.get(
            str(parameter.annotation), parameter.annotation
        )
    lowered = value.lower()
    if kind is str:
        return value
    if kind is bool or (kind is None and lowered in ("true", "false")):
        if lowered not in ("true", "false", "1", "0"):
            raise UsageError(f"{reference}: option {name}={value} should be true or false.")
        return lowered in ("true", "1")
    for convert in (int, float):
        if kind in (None, convert):
            try:
                return convert(value)
            except ValueError:
                continue
    if kind in (int, float):
        raise UsageError(
            f"{reference}: option {name}={value} should be {'a whole number' if kind is int else 'a number'}."
        )
    return value


def _build(
    cls: type[nn.Module], reference: str, arguments: Mapping[str, Any], sizes: Mapping[str, int], seed: int
) -> nn.Module:
    filled = {**arguments}
    for name in filled:
        if name in sizes:
            filled[name] = sizes[name]
    if "initializer" in filled:
        filled["initializer"] = Initializer(seed)
    try:
        return cls(**filled)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        shown = ", ".join(f"{name}={value}" for name, value in filled.items() if name != "initializer")
        raise UsageError(f"{reference} cannot be built with ({shown}): {type(error).__name__}: {error}.") from error


@contextlib.contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python start from a seed, and are put back afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
