"""What an exact zero is: a path that does not exist, or a factor that rounded to zero in the dtype.

The gradient is measured once more in float64. Is it a number there, the dtype was the reason. Is it zero there too, no
path leads to it, or a unit is saturated in float64 as well. The catalogue's architectures take the slopes of their
activations from the pre-activations, so theirs are zero late. Of a user's own code the weights and inputs are shrunk
towards 0, where no activation is saturated: what is zero even there is a cut.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gradscope.contract.component import judged_component
from gradscope.contract.model import Model
from gradscope.measurements.gradient_result import GradientNorms, Status
from gradscope.measurements.verdict import Zeros

SHRUNK = 2.0**-4  # of weights and inputs: tanh and sigmoid are nowhere near saturated
# Where a sequence module's gradient was so small one step before it is zero, it has come to float64's end by and by.
END_OF_FLOAT64 = -250.0

Again = Callable[[Model, Tensor, Sequence[str]], GradientNorms]


def with_zeros_told(result: GradientNorms, model: Model, x: Tensor, again: Again) -> GradientNorms:
    """A measurement with its zeros told apart, and the status that follows.

    Args:
        result: The measurement.
        model: What was measured.
        x: Its inputs.
        again: The same measurement of some components, for another model and inputs.
    """
    name = judged_component(model)
    if name not in result.log10_norm or not any(_is_zero(result, name, i) for i in range(len(result.lengths))):
        return replace(result, zeros=tuple("" for _ in result.lengths))
    told: list[Zeros] = []
    witnesses = _Witnesses(model, x, name, again)
    for index in range(len(result.lengths)):
        told.append(witnesses.say(index) if _is_zero(result, name, index) else "")
    return replace(
        result,
        zeros=tuple(told),
        status=tuple(_status(*pair) for pair in zip(result.status, told, strict=True)),
    )


def _status(status: Status, zeros: Zeros) -> Status:
    return "saturated" if status == "ok" and zeros == "saturated" else status


def _is_zero(result: GradientNorms, name: str, index: int) -> bool:
    """Whether the gradient at step 1 is exactly zero for every sample."""
    return bool(result.log10_norm[name][index, :, 0].isneginf().all())


class _Witnesses:
    """The same model in float64, and there with small weights; each measured when it is first asked.

    Args:
        model: The model.
        x: Its inputs.
        name: The component that is zero.
        again: Measures some components of a model.
    """

    def __init__(self, model: Model, x: Tensor, name: str, again: Again) -> None:
        self._model, self._x, self._name, self._again = model, x, name, again
        self._exact = self._measured(1.0)
        self._shrunk: GradientNorms | None = None

    def say(self, index: int) -> Zeros:
        """What the zero of a length is."""
        if self._exact is None:
            return "cut or saturated"
        if not _is_zero(self._exact, self._name, index) or self._has_run_out(self._exact, index):
            return "saturated"
        if self._model.built_as:
            return "cut"
        if self._shrunk is None:
            self._shrunk = self._measured(SHRUNK)
        if self._shrunk is None or not _is_zero(self._shrunk, self._name, index):
            return "cut or saturated"
        return "cut or saturated" if self._has_run_out(self._shrunk, index) else "cut"

    def _has_run_out(self, result: GradientNorms, index: int) -> bool:
        """Whether the norm came down to where float64 ends, step by step: recurrences are followed beyond it."""
        if self._model.state_size:
            return False
        by_lag = result.by_lag(index, self._name)
        finite = by_lag[by_lag > -torch.inf]
        return bool(len(finite) and finite[-1] < END_OF_FLOAT64)

    def _measured(self, factor: float) -> GradientNorms | None:
        """None where the user's code does not run in float64, or cannot be copied."""
        try:
            model = copy.deepcopy(self._model).double()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(factor)
            found = self._again(model, self._x.double() * factor, [self._name])
        except Exception:
            return None
        return None if "non-finite" in found.status else found
