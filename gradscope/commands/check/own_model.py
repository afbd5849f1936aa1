"""A user's module, or what makes one, as a model that can be measured in float64."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import torch
from torch import nn

from gradscope.architectures.build import build
from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.own.custom import as_model, seeded_generators

TORCH_RECURRENCES: dict[type[nn.RNNBase], str] = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}


def own_model(given: nn.Module | Callable[[int], nn.Module], seed: int, input_size: int | None) -> Model:
    """A model in float64 on the CPU that nobody else holds.

    Args:
        given: A module, which is copied, or a function that makes one, from a seed or from nothing. It is called with
            the global generators of torch, numpy and Python seeded, which are put back afterwards.
        seed: The seed.
        input_size: Features of the input; what the module says by default.

    Raises:
        UsageError: No module, one that cannot be copied, one of another convention, or no word of its input size.
    """
    module = _copied(given) if isinstance(given, nn.Module) else _made(given, seed)
    module = module.to(device="cpu", dtype=torch.float64)
    size = getattr(module, "input_size", None) if input_size is None else input_size
    if not isinstance(size, int):
        raise UsageError(
            f"{type(module).__name__} has no attribute input_size; say input_size=… so that inputs can be drawn for it."
        )
    recurrence = _torch_recurrence(module)
    if recurrence is not None:
        return recurrence
    if isinstance(module, nn.RNNBase):
        module.batch_first = True  # the copy's: inputs are drawn as (batch, length, features)
    return as_model(module, input_size=size).to(device="cpu", dtype=torch.float64)


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:  # a module may hold anything
        raise UsageError(
            f"{type(module).__name__} cannot be copied ({type(error).__name__}: {error}); give a function from a seed "
            "to a new one instead."
        ) from error


def _made(make: Callable[[int], nn.Module], seed: int) -> nn.Module:
    with seeded_generators(seed):
        module = make(seed) if _takes(make, seed) else make()  # type: ignore[call-arg]
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"A function from a seed to a torch.nn.Module should be given, but it returned {type(module).__name__}."
        )
    return module


def _takes(make: Callable[..., object], *arguments: object) -> bool:
    """Whether a function can be called like this; one without a signature, written in C, is taken to."""
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _torch_recurrence(module: nn.Module) -> Model | None:
    """An RNN, LSTM or GRU of torch as the architecture of the same equations, measured at its states."""
    name = TORCH_RECURRENCES.get(type(module))  # type: ignore[arg-type]
    if name is None or not isinstance(module, nn.RNNBase):
        return None
    dropout = module.training and module.dropout > 0 and module.num_layers > 1
    if not module.bias or module.bidirectional or module.proj_size or dropout:
        return None
    options = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    sizes = {"input_size": module.input_size, "hidden_size": module.hidden_size, "num_layers": module.num_layers}
    model = build(name, **sizes, dtype=torch.float64, **options)  # type: ignore[arg-type]
    model.load_state_dict(module.state_dict())
    return model
