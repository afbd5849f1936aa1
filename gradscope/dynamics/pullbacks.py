"""Cotangents carried through the parts of a recurrence that are parallel in time: ``readout`` and ``prepare``."""

from __future__ import annotations

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence, prepare_time_major
from gradscope.contract.state import Prepared, State
from gradscope.dynamics.segments import SegmentStates
from gradscope.numerics.scaled import Scaled, add


def over_lengths(value: Tensor, active: int) -> Tensor:
    """``(steps, batch, *)`` repeated for every active length: ``(steps, active, batch, *)``, without a copy."""
    return value.unsqueeze(1).expand(value.shape[0], active, *value.shape[1:])


def readout_vjp(model: Recurrence, s: State, u: Prepared, y_bar: Scaled) -> tuple[dict[str, Scaled], dict[str, Scaled]]:
    """∂L/∂s_t and ∂L/∂u_t through the readout of several steps.

    Args:
        model: The recurrence.
        s: States, ``(steps, batch, *)``.
        u: What the steps consume, ``(steps, batch, *)``.
        y_bar: ∂L/∂y_t, rows ``(steps, active, batch)``.

    Returns:
        For the blocks of the state and for the values of u that the readout uses, rows as ``y_bar``'s.
    """
    if type(model).readout is Recurrence.readout:
        return {model.state_spec[0].name: y_bar}, {}
    rows = y_bar.exponent.shape
    with torch.enable_grad():
        s_leaves, u_leaves = (
            {n: over_lengths(v.detach(), rows[1]).flatten(0, 2).requires_grad_() for n, v in values.items()}
            for values in (s, u)
        )
        y = model.readout(s_leaves, u_leaves)
        leaves = [*s_leaves.values(), *u_leaves.values()]
        grads = torch.autograd.grad(y, leaves, y_bar.mantissa.flatten(0, 2), allow_unused=True)
    found = [None if g is None else Scaled(g.unflatten(0, rows), y_bar.exponent) for g in grads]
    direct = {n: g for n, g in zip(s_leaves, found, strict=False) if g is not None}
    return direct, {n: g for n, g in zip(u_leaves, found[len(s_leaves) :], strict=True) if g is not None}


class PreparePullback:
    """∂L/∂x_t from ∂L/∂u_t, segment after segment towards the first step.

    A ``prepare`` that is local in time keeps every step at its own exponent. One that reaches back shares a segment's
    exponent, and what it sends to steps before the segment waits for the next call.
    """

    def __init__(self, model: Recurrence) -> None:
        self._model = model
        self._waiting: Scaled | None = None

    def __call__(self, here: SegmentStates, u_bar: dict[str, Scaled]) -> Scaled:
        """Rows ``(steps, active, batch)`` of ∂L/∂x_t for one segment."""
        exponents = [value.exponent for value in u_bar.values()]
        exponent = exponents[0]
        if self._model.prepare_reach:
            exponent = torch.stack(exponents).amax((0, 1)).expand_as(exponent)
        elif any(other is not exponent for other in exponents):
            exponent = torch.stack(exponents).amax(0)
        mantissas = {n: v.mantissa if v.exponent is exponent else v.at(exponent) for n, v in u_bar.items()}
        pulled = Scaled(_vjp(self._model, here.x, mantissas), exponent)
        if not self._model.prepare_reach:
            return pulled
        early = len(pulled.mantissa) - here.segment.steps
        pulled = Scaled(pulled.mantissa, exponent[:1].expand(len(pulled.mantissa), *exponent.shape[1:]))
        if self._waiting is not None:
            pulled = _add_to_end(pulled, self._waiting)
        self._waiting = Scaled(pulled.mantissa[:early], pulled.exponent[:early])
        return Scaled(pulled.mantissa[early:], pulled.exponent[early:])


def _vjp(model: Recurrence, x: Tensor, u_bar: dict[str, Tensor]) -> Tensor:
    steps, active, batch = next(iter(u_bar.values())).shape[:3]
    with torch.enable_grad():
        leaf = over_lengths(x.detach(), active).flatten(1, 2).requires_grad_()
        u = prepare_time_major(model, leaf, skip=len(x) - steps)
        names = [name for name in u_bar if u[name].requires_grad]
        outputs = [u[name] for name in names]
        cotangents = [u_bar[name].flatten(1, 2) for name in names]
        grad = torch.autograd.grad(outputs, leaf, cotangents, allow_unused=True)[0]
    found: Tensor | None = grad
    if found is None:
        return x.new_zeros((len(x), active, *x.shape[1:]))
    return found.reshape(len(x), active, batch, *x.shape[2:])


def _add_to_end(pulled: Scaled, waiting: Scaled) -> Scaled:
    """Adds what later steps sent back to the last steps of a range; lengths that begin here received nothing."""
    count, active = waiting.exponent.shape[:2]
    mantissa, exponent = pulled.mantissa.clone(), pulled.exponent.clone()
    end = slice(len(exponent) - count, None), slice(0, active)
    both = add(Scaled(mantissa[end], exponent[end]), waiting)
    mantissa[end], exponent[end] = both.mantissa, both.exponent
    return Scaled(mantissa, exponent)
