"""Cotangents carried through the parts of a recurrence that are parallel in time: ``readout`` and ``prepare``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.contract.recurrence import Recurrence, prepare_time_major
from gradscope.contract.state import Prepared, State
from gradscope.dynamics.affine_maps import AffineCalls, AffineMap
from gradscope.dynamics.segments import SegmentStates
from gradscope.numerics.scaled import Scaled, add


def over_lengths(value: Tensor, active: int) -> Tensor:
    """``(steps, batch, *)`` repeated for every active length: ``(steps, active, batch, *)``, without a copy."""
    return value.unsqueeze(1).expand(value.shape[0], active, *value.shape[1:])


def inner_product(values: Iterable[Tensor], cotangents: Iterable[Tensor]) -> Tensor:
    """Σ Re(v · conj(v̄)), whose gradient is what autograd makes of the cotangents v̄.

    ``torch.autograd.grad`` with cotangents imports sympy, and ``torch.func.vjp`` torch._dynamo: a second that most
    measurements do not take.
    """
    terms = []
    for value, cotangent in zip(values, cotangents, strict=True):
        if value.is_complex():
            value, cotangent = torch.view_as_real(value.resolve_conj()), torch.view_as_real(cotangent.resolve_conj())
        terms.append((value * cotangent).sum())
    return torch.stack(terms).sum()


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
        grads = torch.autograd.grad(inner_product([y], [y_bar.mantissa.flatten(0, 2)]), leaves, allow_unused=True)
    found = [None if g is None else Scaled(g.unflatten(0, rows), y_bar.exponent) for g in grads]
    direct = {n: g for n, g in zip(s_leaves, found, strict=False) if g is not None}
    return direct, {n: g for n, g in zip(u_leaves, found[len(s_leaves) :], strict=True) if g is not None}


@dataclass(frozen=True)
class PulledThroughPrepare:
    """What ``prepare`` makes of ∂L/∂u_t in one segment.

    Attributes:
        inputs: ∂L/∂x_t, rows ``(steps, active, batch)``.
        maps: The affine maps with cotangents, where they were asked for and caught.
    """

    inputs: Scaled
    maps: tuple[AffineMap, ...]


def nothing_pulled(here: SegmentStates, exponent: Tensor) -> PulledThroughPrepare:
    """Of steps that consume nothing."""
    zeros = here.x.new_zeros((*exponent.shape, *here.x.shape[2:]))
    return PulledThroughPrepare(Scaled(zeros, exponent), ())


class PreparePullback:
    """∂L/∂x_t from ∂L/∂u_t, segment after segment towards the first step.

    A ``prepare`` that is local in time keeps every step at its own exponent. One that reaches back shares a segment's
    exponent, and what it sends to steps before the segment waits for the next call.

    Args:
        model: The recurrence.
        with_maps: Also catch the affine maps of a ``prepare`` that is local in time.
    """

    def __init__(self, model: Recurrence, *, with_maps: bool = False) -> None:
        self._model = model
        self._waiting: Scaled | None = None
        self._with_maps = with_maps and not model.prepare_reach

    def __call__(self, here: SegmentStates, u_bar: dict[str, Scaled]) -> PulledThroughPrepare:
        """One segment."""
        exponents = [value.exponent for value in u_bar.values()]
        exponent = exponents[0]
        if self._model.prepare_reach:
            exponent = torch.stack(exponents).amax((0, 1)).expand_as(exponent)
        elif any(other is not exponent for other in exponents):
            exponent = torch.stack(exponents).amax(0)
        mantissas = {n: v.mantissa if v.exponent is exponent else v.at(exponent) for n, v in u_bar.items()}
        mantissa, maps = self._differentiate(here.x, mantissas, exponent)
        pulled = Scaled(mantissa, exponent)
        if not self._model.prepare_reach:
            return PulledThroughPrepare(pulled, maps)
        early = len(pulled.mantissa) - here.segment.steps
        pulled = Scaled(pulled.mantissa, exponent[:1].expand(len(pulled.mantissa), *exponent.shape[1:]))
        if self._waiting is not None:
            pulled = _add_to_end(pulled, self._waiting)
        self._waiting = Scaled(pulled.mantissa[:early], pulled.exponent[:early])
        return PulledThroughPrepare(Scaled(pulled.mantissa[early:], pulled.exponent[early:]), ())

    def _differentiate(
        self, x: Tensor, u_bar: dict[str, Tensor], exponent: Tensor
    ) -> tuple[Tensor, tuple[AffineMap, ...]]:
        steps, active, batch = next(iter(u_bar.values())).shape[:3]
        affine = AffineCalls(dict(self._model.named_parameters()) if self._with_maps else {})
        with torch.enable_grad():
            leaf = over_lengths(x.detach(), active).flatten(1, 2).requires_grad_()
            with affine:
                u = prepare_time_major(self._model, leaf, skip=len(x) - steps)
            names = [name for name in u_bar if u[name].requires_grad]
            calls = affine.calls
            if not names:
                return x.new_zeros((len(x), active, *x.shape[1:])), ()
            product = inner_product((u[name] for name in names), (u_bar[name].flatten(1, 2) for name in names))
            leaves = [leaf, *(call.value for call in calls)]
            grads: tuple[Tensor | None, ...] = torch.autograd.grad(product, leaves, allow_unused=True)
        rows = (len(x), active * batch)
        maps = []
        if affine.are_as_recorded and all(call.value.shape[:-1] == call.input.shape[:-1] == rows for call in calls):
            for call, found in zip(calls, grads[1:], strict=True):
                value = torch.zeros_like(call.value) if found is None else found
                y = call.input.detach().unflatten(1, (active, batch))[:, 0]  # x is the same for all lengths
                cotangent = Scaled(value.detach().unflatten(1, (active, batch)), exponent)
                maps.append(AffineMap(call.weight, call.bias, y, cotangent))
        x_bar = torch.zeros_like(leaf) if grads[0] is None else grads[0]
        return x_bar.detach().reshape(len(x), active, batch, *x.shape[2:]), tuple(maps)


def _add_to_end(pulled: Scaled, waiting: Scaled) -> Scaled:
    """Adds what later steps sent back to the last steps of a range; lengths that begin here received nothing."""
    count, active = waiting.exponent.shape[:2]
    mantissa, exponent = pulled.mantissa.clone(), pulled.exponent.clone()
    end = slice(len(exponent) - count, None), slice(0, active)
    both = add(Scaled(mantissa[end], exponent[end]), waiting)
    mantissa[end], exponent[end] = both.mantissa, both.exponent
    return Scaled(mantissa, exponent)
