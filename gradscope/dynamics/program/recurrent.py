"""Which parameters make up the recurrence: those that multiply the state."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.dynamics.program.contraction import Contraction
from gradscope.dynamics.program.program import Product, Program, Region
from gradscope.dynamics.program.trace import Value, all_trainable, trace
from gradscope.dynamics.trajectory import Trajectory

MULTIPLYING = frozenset(
    [
        "mul",
        "multiply",
        "__rmul__",
        "div",
        "divide",
        "true_divide",
        "__rdiv__",
        "__rtruediv__",
        "addcmul",
        "addcdiv",
        "lerp",
    ]
)


def recurrent_parameters(trajectory: Trajectory) -> tuple[str, ...]:
    """Names of the parameters that multiply the state, in the step or through what it consumes.

    A matrix that a state is multiplied by, a factor of a state, and what such factors are computed from; a bias, or a
    weight of the input that is added, is none. Where the class says which they are, those. Where the step cannot be
    followed, those with ``hh`` in their names, as torch's cells have them, or all.
    """
    model = trajectory.model
    if model.recurrent_parameter_names:
        return model.recurrent_parameter_names
    program = trajectory.program
    if program is None:
        try:
            program = Program(trace(model, {name: value[0] for name, value in trajectory.prepared(0, 1).items()}))
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception:  # whatever following a user's step ends in, it is replayed
            names = tuple(name for name, _ in model.named_parameters())
            weights = tuple(name for name in names if "weight_hh" in name)
            return weights or tuple(name for name in names if "hh" in name) or names
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    found = _multiplying(model, program, parameters)
    return tuple(name for name in parameters if name in found)


def _multiplying(model: Recurrence, program: Program, parameters: dict[str, Tensor]) -> set[str]:
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
            found |= parameters_behind(model, program.traced.constants[value], parameters).keys()
        elif value in inputs:
            consumed.add(inputs[value])
        else:
            instruction = program.instruction(value)
            waiting += instruction.reads if instruction is not None else ()
    return found | _behind_prepared(model, parameters, consumed)


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
                if instruction.base_name in MULTIPLYING:
                    yield from (v for v in instruction.reads if not program.depends_on_state(v))


def parameters_behind(model: Recurrence, value: Tensor, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that a tensor is, or is computed from."""
    for name, parameter in parameters.items():
        if parameter is value:
            return {name: parameter}
    if not value.requires_grad:
        return {}
    with all_trainable(model), torch.enable_grad():
        total = torch.view_as_real(value.resolve_conj()).sum() if value.is_complex() else value.sum()
        grads = torch.autograd.grad(total, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {name: parameters[name] for name, grad in zip(parameters, grads, strict=True) if grad is not None}


def _behind_prepared(model: Recurrence, parameters: dict[str, Tensor], names: set[str]) -> set[str]:
    """Parameters that some of what ``prepare`` makes depends on."""
    if not names or not parameters:
        return set()
    like = next(iter(parameters.values()))
    x = torch.full((1, 1, model.input_size), 0.125, dtype=like.real.dtype, device=like.device)
    with all_trainable(model), torch.enable_grad():
        u = model.prepare(x)
    return {name for consumed in names for name in parameters_behind(model, u[consumed], parameters)}
