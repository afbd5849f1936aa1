"""Which parameters make up the recurrence: those that multiply the state."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.program import Product, Program, Region, arguments
from gradscope.dynamics.program.trace import Value, all_trainable
from gradscope.dynamics.program.values import base_name

MULTIPLYING = frozenset("mul multiply __rmul__ div divide true_divide __rdiv__ __rtruediv__ addcmul addcdiv lerp".split())


def recurrent_parameters(model: Recurrence, program: Program) -> tuple[str, ...]:
    """Names of the parameters that multiply the state, in the step or through what it consumes.

    A matrix that a state is multiplied by, a factor of a state, and what such factors are computed from; a bias, or a
    weight of the input that is added, is none. Where the class says which they are, those.
    """
    if model.recurrent_parameter_names:
        return model.recurrent_parameter_names
    parameters = dict(model.named_parameters())
    found: set[str] = set()
    waiting, seen = list(_multipliers(program)), set[Value]()
    inputs = {value: name for (kind, name), value in program.traced.inputs.items() if kind == "u"}
    consumed: set[str] = set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value.number < 0:
            if program.needs_gradient(value):
                found |= parameters_behind(model, program.traced.constants[value], parameters).keys()
        elif value in inputs:
            consumed.add(inputs[value])
        else:
            instruction = program.instruction(value)
            waiting += arguments(instruction) if instruction is not None else []
    if consumed:
        found |= _behind_prepared(model, program, consumed)
    return tuple(name for name in parameters if name in found)


def _multipliers(program: Program) -> Iterator[Value]:
    """What multiplies a value that depends on the state, and does not depend on it."""
    for step in program.steps:
        if not program.in_loop(step):
            continue
        if isinstance(step, Product):
            yield step.source
        elif isinstance(step, Contraction):
            yield from (operand for operand in step.operands if not program.depends_on_state(operand))
        elif isinstance(step, Region):
            for number in step.order:
                instruction = program.instruction(Value(number))
                assert instruction is not None
                if base_name(instruction) in MULTIPLYING:
                    yield from (v for v in arguments(instruction) if not program.depends_on_state(v))


def parameters_behind(model: Recurrence, value: Tensor, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that a tensor is, or is computed from."""
    for name, parameter in parameters.items():
        if parameter is value:
            return {name: parameter}
    if not value.requires_grad:
        return {}
    with all_trainable(model), torch.enable_grad():
        total = torch.view_as_real(value).sum() if value.is_complex() else value.sum()
        grads = torch.autograd.grad(total, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {name: parameters[name] for name, grad in zip(parameters, grads, strict=True) if grad is not None}


def _behind_prepared(model: Recurrence, program: Program, names: set[str]) -> set[str]:
    """Parameters that some of what ``prepare`` makes depends on."""
    parameters = dict(model.named_parameters())
    like = next(iter(parameters.values()), torch.zeros(()))
    x = torch.full((1, 1, model.input_size), 0.125, dtype=_real(like), device=like.device)
    with all_trainable(model), torch.enable_grad():
        u = model.prepare(x)
    found: set[str] = set()
    for name in names:
        found |= parameters_behind(model, u[name], parameters).keys()
    return found


def _real(like: Tensor) -> torch.dtype:
    return torch.zeros((), dtype=like.dtype).real.dtype if like.is_complex() else like.dtype
