"""Gradients of the parameters in a step by autograd through it, of all steps at once where torch can.

What torch cannot vectorise (Python that branches on values, updates in place, a function with a derivative of its own)
is differentiated one sample and length at a time: right, and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence
from gradscope.dynamics.cotangents import LocalSteps
from gradscope.dynamics.parameter_gradients import (
    Values,
    parameters_used,
    recurrent_norms,
    step_gradients,
    with_parameters,
)
from gradscope.dynamics.pullbacks import inner_product
from gradscope.dynamics.segments import SegmentStates
from gradscope.numerics.scaled import expand_like

_Found = TypeVar("_Found")


class StepsOfAnyCode(LocalSteps):
    """Steps whose gradients of parameters follow from δ by autograd through the step, whatever it is made of.

    Args:
        model: The recurrence.
        here: The segment.
        in_step: The parameters that act in the step.
        recurrent: Names of the recurrent ones.
    """

    def __init__(self, model: Recurrence, here: SegmentStates, in_step: Values, recurrent: tuple[str, ...]) -> None:
        self._model, self._here, self._in_step, self._recurrent = model, here, in_step, recurrent

    def parameter_gradients(self, alignment: Tensor) -> dict[str, Tensor]:
        """By vectorised vector-Jacobian products of all steps, where torch can."""
        if not self._in_step:
            return {}
        delta = {name: value * expand_like(alignment, value) for name, value in self.delta.items()}
        return gradients_of_steps(self._here, self._model, self._in_step, delta)

    def recurrent_norm(self) -> Tensor:
        """By one vector-Jacobian product a step and sample."""
        return norms_of_shares(self._here, self._model, self._recurrent, self.delta)


def parameters_in_step(model: Recurrence, here: SegmentStates) -> Values:
    """The parameters that the first step of a segment uses."""
    s, u = ({name: value[0] for name, value in values.items()} for values in (here.states, here.u))
    return parameters_used(model, lambda step: step(s, u, here.times[0]), "step")


def gradients_of_steps(here: SegmentStates, model: Recurrence, parameters: Values, delta: Values) -> Values:
    """:func:`~gradscope.dynamics.parameter_gradients.step_gradients`, for any code."""

    def looped() -> Values:
        rows = next(iter(delta.values())).shape[1:3]
        sums = {name: value.new_zeros((*rows, *value.shape)) for name, value in parameters.items()}
        for _, active, sample, grads in _each(here, model, parameters, delta, through_prepare=False):
            for name, grad in grads.items():
                sums[name][active, sample] += grad
        return sums

    return _vectorised_or(lambda: step_gradients(here, model, parameters, delta), looped)


def norms_of_shares(here: SegmentStates, model: Recurrence, names: tuple[str, ...], delta: Values) -> Tensor:
    """:func:`~gradscope.dynamics.parameter_gradients.recurrent_norms`, for any code."""

    def looped() -> Tensor:
        parameters = {name: model.get_parameter(name).detach() for name in names}
        like = next(iter(delta.values()))
        found = like.real.new_zeros(like.shape[:3])
        for step, active, sample, grads in _each(here, model, parameters, delta, through_prepare=True):
            squares = [torch.linalg.vector_norm(grad).square() for grad in grads.values()]
            found[step, active, sample] = torch.stack(squares).sum().sqrt() if squares else 0.0
        return found

    return _vectorised_or(lambda: recurrent_norms(here, model, names, delta), looped)


def _vectorised_or(vectorised: Callable[[], _Found], looped: Callable[[], _Found]) -> _Found:
    try:
        return vectorised()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError):  # torch.func refuses with one of them what it cannot batch
        return looped()


def _each(
    here: SegmentStates, model: Recurrence, parameters: Values, delta: Values, *, through_prepare: bool
) -> Iterator[tuple[int, int, int, Values]]:
    """Step, length and sample with the gradients of what that sample's δ reaches through that step."""
    step, prepare = with_parameters(model, "step"), with_parameters(model, "prepare")
    reach = len(here.x) - here.segment.steps
    for index in range(here.segment.steps):
        with torch.enable_grad():
            leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
            s = {name: value[index].clone() for name, value in here.before.items()}
            u = {name: value[index] for name, value in here.u.items()}
            if through_prepare:
                window = here.x[index : index + reach + 1].transpose(0, 1)
                u = {name: value[:, -1] for name, value in prepare(leaves, window).items()}
            after = step(leaves, s, u, here.times[index])
            reached = {name: after[name] for name in delta if after[name].requires_grad}
            for active in range(next(iter(delta.values())).shape[1]):
                for sample in range(here.x.shape[1]):
                    if not reached:
                        continue
                    bars = [delta[name][index, active, sample] for name in reached]
                    total = inner_product([value[sample] for value in reached.values()], bars)
                    grads = torch.autograd.grad(total, list(leaves.values()), retain_graph=True, allow_unused=True)
                    yield index, active, sample, {n: g for n, g in zip(leaves, grads, strict=True) if g is not None}
