"""A module of torch as a model that can be measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.own.cell import CellAdapter, is_cell
from gradscope.own.sequence_module import SequenceAdapter, takes_embeddings
from gradscope.own.torch_recurrence import torch_recurrence


def as_model(
    module: nn.Module, *, input_size: int | None = None, hidden_size: int | None = None, at: str = ""
) -> Model:
    """A measurable model around a module, whose parameters it shares; the module stays as it is.

    Every measurement calls it first, so that a module can be given as it is, with inputs ``(batch, length,
    input_size)`` whatever its own ``batch_first`` says. It is worth calling for the arguments it has.

    Args:
        module: One of

            - a model of gradscope, which is returned itself;
            - ``torch.nn.RNN``, ``LSTM`` or ``GRU``, measured at its states, with torch's names of its parameters; with
              hooks, or weights or a forward pass of its own, it is a sequence module;
            - a cell, ``cell(x, h) -> h'`` or ``cell(x, (h, c)) -> (h', c')``, measured at its states;
            - a causal module from ``(batch, length, input_size)`` to ``(batch, length, features)``, or from
              ``inputs_embeds`` as in Hugging Face's transformers, measured at its inputs and at the modules in ``at``.
        input_size: Features of its input; ``module.input_size`` by default.
        hidden_size: Width of a cell's state; ``module.hidden_size`` by default, and ``input_size`` where there is none.
        at: Inner modules of a sequence module to measure at, joined by ``+``: ``"encoder.layers.0"``.

    Returns:
        The model; a later change of the module's parameters is one of the model's.

    Raises:
        UsageError: No module, one of another convention, or no word of its input size.
        UnknownName: No such inner module; names the nearest.
        Unmeasurable: A recurrence of torch with two directions, a projected state, or dropout in training mode.

    Example:
        >>> import torch
        >>> lstm = torch.nn.LSTM(3, 4, num_layers=2)
        >>> model = as_model(lstm)
        >>> model.components, model.get_parameter("weight_hh_l1") is lstm.weight_hh_l1
        (('h_l0', 'c_l0', 'h_l1', 'c_l1'), True)
    """
    _check_module(module)
    name = type(module).__name__
    model = module if isinstance(module, Model) else torch_recurrence(module)
    if model is not None:
        _no_inner_modules(at, name)
        return model
    if isinstance(module, nn.RNNBase):
        name += " (with hooks, or weights or a forward pass of its own)"
    size = stated_input_size(module) if input_size is None else input_size
    if size is None:
        raise UsageError(f"{name} has no attribute input_size; say input_size=… of gradscope.as_model.")
    stated = getattr(module, "hidden_size", None) if hidden_size is None else hidden_size
    return adapted(module, name, size, stated if isinstance(stated, int) else size, at)


def _check_module(given: object) -> None:
    if not isinstance(given, nn.Module):
        name = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise UsageError(
            f"A torch.nn.Module, or a model from gradscope.build, should be given to be measured, but it was {name}."
        )
    if isinstance(given, torch.jit.ScriptModule):
        raise UsageError(
            "A TorchScript module hides its equations, so only the torch.nn.Module that it was made from is measured."
        )


def measurable(module: nn.Module, x: Tensor) -> Model:
    """:func:`as_model` for inputs ``(batch, length, input_size)`` at hand, which say what the module does not."""
    stated = stated_input_size(module)
    return as_model(module, input_size=x.shape[-1] if stated is None else stated)


def stated_input_size(module: nn.Module) -> int | None:
    """Features of a module's input by its attribute ``input_size`` or its configuration; None if neither says."""
    size = getattr(module, "input_size", None)
    if not isinstance(size, int) and isinstance(module, nn.Module) and takes_embeddings(module):
        size = getattr(getattr(module, "config", None), "hidden_size", None)
    return size if isinstance(size, int) else None


def adapted(module: nn.Module, reference: str, input_size: int, hidden_size: int, at: str) -> Model:
    """A model, a cell or a sequence module as a model, by the way it is called.

    Args:
        module: The module.
        reference: What messages call it.
        input_size: Features of its input.
        hidden_size: Width of a cell's state.
        at: Inner modules of a sequence module, joined by ``+``.
    """
    if isinstance(module, Model):
        _no_inner_modules(at, reference)
        return module
    if is_cell(module):
        _no_inner_modules(at, reference)
        return CellAdapter(module, input_size, hidden_size, reference)
    return SequenceAdapter(module, input_size, reference, tuple(name for name in at.split("+") if name))


def _no_inner_modules(at: str, reference: str) -> None:
    if at:
        raise UsageError(f"{reference}: at= names inner modules of a sequence module, but this is a recurrence.")
