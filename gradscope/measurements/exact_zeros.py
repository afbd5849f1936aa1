"""What an exact zero is: a path that does not exist, or a factor that rounded to zero in the dtype.

The gradient is measured once more in float64. Is it a number there, the dtype was the reason. Is it zero there too, no
path leads to it, or a unit is saturated in float64 as well: then it is measured with σ and tanh replaced by functions
of the same shape that flatten slowly, whose slopes are never zero. What is zero even so is a cut.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradscope.contract.component import judged_component
from gradscope.contract.model import Model
from gradscope.contract.sequence import SequenceModel
from gradscope.dynamics.decomposed_cells import plain_cell
from gradscope.measurements.gradient_result import GradientNorms, Status
from gradscope.measurements.verdict import Zeros

# Where a sequence module's gradient was so small one step before it is zero, it has come to float64's end by and by.
END_OF_FLOAT64 = -250.0

FUSED = frozenset(
    ("lstm", "gru", "rnn_tanh", "rnn_relu", "multi_head_attention_forward", "scaled_dot_product_attention")
)
SATURATING = (
    "Tanh",
    "Sigmoid",
    "Softmax",
    "Rnn",
    "Lstm",
    "Gru",
    "Attention",
    "Exp",
)  # in the names of autograd's functions

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
        return result
    witnesses = _Witnesses(model, x, name, again)
    zeros: list[Zeros] = []
    statuses: list[Status] = []
    for index, status in enumerate(result.status):
        zeros.append(witnesses.say(index) if _is_zero(result, name, index) else "")
        statuses.append("saturated" if status == "ok" and zeros[-1] == "saturated" else status)
    return replace(result, zeros=tuple(zeros), status=tuple(statuses))


def _is_zero(result: GradientNorms, name: str, index: int) -> bool:
    """Whether the gradient at step 1 is exactly zero for every sample."""
    return bool(result.log10_norm[name][index, :, 0].isneginf().all())


class Unsaturated(TorchFunctionMode):
    """While active, tanh x is x / (1 + |x|) and σ(x) the same between 0 and 1.

    Attributes:
        is_opaque: Whether a fused kernel ran, inside of which nothing is replaced.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_opaque = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = plain_cell(func)
        if plain is not None:
            with self:
                return plain(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in ("tanh", "tanh_"):
            return nn.functional.softsign(args[0])
        if name in ("sigmoid", "sigmoid_"):
            return (1 + nn.functional.softsign(args[0])) / 2
        self.is_opaque |= name in FUSED
        return func(*args, **(kwargs or {}))


class _Witnesses:
    """The same model in float64, and there without saturation; each measured when it is first asked.

    Args:
        model: The model.
        x: Its inputs.
        name: The component that is zero.
        again: Measures some components of a model.
    """

    def __init__(self, model: Model, x: Tensor, name: str, again: Again) -> None:
        self._model, self._x, self._name, self._again = model, x, name, again
        self._exact = self._measured()
        self._unsaturated: GradientNorms | None = None
        self._is_opaque: bool | None = None

    def say(self, index: int) -> Zeros:
        """What the zero of a length is."""
        if self._exact is None:
            return "cut or saturated"
        if not _is_zero(self._exact, self._name, index) or self._has_run_out(self._exact, index):
            return "saturated"
        if self._is_opaque is None:
            with Unsaturated() as mode:
                self._unsaturated = self._measured()
            self._is_opaque = mode.is_opaque and not self._is_beyond_kernels()
        other = self._unsaturated
        if other is None or self._is_opaque or not _is_zero(other, self._name, index):
            return "cut or saturated"
        return "cut or saturated" if self._has_run_out(other, index) else "cut"

    def _is_beyond_kernels(self) -> bool:
        """Whether no unit that may be saturated lies between the node and the output, by autograd's graph."""
        if not isinstance(self._model, SequenceModel):
            return self._model.built_as != ""  # kernels give their states alone; slopes are taken one by one
        try:
            with torch.enable_grad():
                x = self._x[:1].detach().clone().requires_grad_()
                y, nodes = self._model.forward_with_nodes(x)
            node = nodes.get(self._name)
            end = None if node is None else node.grad_fn
        except Exception:
            return False
        seen: set[Any] = {end}
        waiting = [y.grad_fn]
        while waiting:
            function = waiting.pop()
            if function is None or function in seen:
                continue
            seen.add(function)
            if any(word in type(function).__name__ for word in SATURATING):
                return False
            waiting += [following for following, _ in function.next_functions]
        return end is not None

    def _has_run_out(self, result: GradientNorms, index: int) -> bool:
        """Whether the norm came down to where float64 ends, step by step: recurrences are followed beyond it."""
        if self._model.state_size:
            return False
        by_lag = result.by_lag(index, self._name)
        finite = by_lag[by_lag > -torch.inf]
        return bool(len(finite) and finite[-1] < END_OF_FLOAT64)

    def _measured(self) -> GradientNorms | None:
        """None where the user's code does not run in float64, or cannot be copied."""
        try:
            model = copy.deepcopy(self._model).double()
            found = self._again(model, self._x.double(), [self._name])
        except Exception:
            return None
        return None if "non-finite" in found.status else found
