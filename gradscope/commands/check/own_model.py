"""A user's module, or what makes one, as a model that can be measured in float64."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import torch
from torch import nn

from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.own.as_model import as_model, stated_input_size
from gradscope.own.own_class import seeded_generators


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
    size = stated_input_size(module) if input_size is None else input_size
    if size is None:
        raise UsageError(
            f"{type(module).__name__} has no attribute input_size; say input_size=… so that inputs can be drawn for it."
        )
    return as_model(module, input_size=size)


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
