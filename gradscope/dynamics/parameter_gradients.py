"""Per-sample gradients of a recurrence's parameters, summed over time in scaled arithmetic.

Parameters act in ``prepare``, in the steps or in ``readout``. Affine maps give theirs by products; what is left is one
vector-Jacobian product per length and sample, vectorised with ``torch.func.vmap``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import State
from gradscope.dynamics.affine_maps import AffineCalls, AffineMap
from gradscope.dynamics.cotangents import Cotangents, LocalSteps
from gradscope.dynamics.decomposed_cells import DecomposedCells
from gradscope.dynamics.pullbacks import PreparePullback, inner_product, over_lengths
from gradscope.dynamics.rank_one_sums import RankOneSum
from gradscope.dynamics.segments import SegmentStates
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.scaled import ZERO_EXPONENT, Scaled, add, expand_like, power_of_two, row_exponent

ABSORBED_BITS = 40  # what a segment of steps and the sizes of states and inputs can add to δ's own exponent
VMAP_NUMBERS = 1 << 24  # largest intermediate of one vectorised call, in numbers
Values = dict[str, Tensor]


class _Method(nn.Module):
    """Makes any method of a module callable with other parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, *args: Any) -> Any:
        return getattr(self.module, method)(*args)


def with_parameters(module: nn.Module, method: str) -> Callable[..., Any]:
    """``f(parameters, *args)``: the method with some parameters replaced, the module left as it is."""
    wrapped = _Method(module)

    def call(parameters: Values, *args: Any) -> Any:
        with DecomposedCells():
            return functional_call(wrapped, {f"module.{n}": p for n, p in parameters.items()}, (method, *args))

    return call


def parameters_used(module: nn.Module, call: Callable[[Callable[..., Any]], Any], method: str) -> Values:
    """The parameters that the outputs of a method depend on.

    Args:
        module: Owner of the method.
        call: Given ``f(*args)``, calls it with some arguments.
        method: Its name.
    """
    leaves = {name: p.detach().requires_grad_() for name, p in module.named_parameters()}
    with torch.enable_grad():
        outputs = call(lambda *args: with_parameters(module, method)(leaves, *args))
        tensors = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
        tensors = [v for v in tensors if v.requires_grad]
        if not leaves or not tensors:
            return {}
        total = inner_product(tensors, [torch.ones_like(v) for v in tensors])
        grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {n: p.detach() for (n, p), g in zip(leaves.items(), grads, strict=True) if g is not None}


class ParameterGradients:
    """Sums of per-sample gradients over the segments.

    Args:
        model: The recurrence.
        trajectory: What the segments are cut from.
        norms_alone: Whether a norm may stand for a gradient: a matrix's gradient then stays a list of factors where
            those of all its steps are fewer numbers than the matrix, length by length.
    """

    def __init__(self, model: Recurrence, trajectory: Trajectory, *, norms_alone: bool = False) -> None:
        self.model, self._norms_alone = model, norms_alone
        self._lengths: list[int] = []  # that have begun, from the longest
        self._sums: dict[str, Scaled] = {}  # of the first lengths, or of all
        self._summed_lengths = 0
        self._factors: dict[str, RankOneSum] = {}  # of the last lengths
        x, u = trajectory.x[:1], trajectory.prepared(0, 1)
        s = {name: value[1] for name, value in trajectory.states(0, 1).items()}
        u_t = {name: value[0] for name, value in u.items()}
        self.in_prepare = parameters_used(model, lambda f: f(x.transpose(0, 1)), "prepare")
        self._not_affine = self._used_otherwise(x.transpose(0, 1))
        self._in_readout = parameters_used(model, lambda f: f(s, u_t), "readout")

    def _used_otherwise(self, x: Tensor) -> frozenset[str]:
        """Which parameters act in ``prepare`` other than as matrix or bias of an affine map."""
        leaves = {name: p.detach().requires_grad_() for name, p in self.in_prepare.items()}
        with torch.enable_grad(), AffineCalls(leaves):
            u = with_parameters(self.model, "prepare")(leaves, x)
            outputs = [value for value in u.values() if value.requires_grad]
            if not outputs:
                return frozenset()
            total = inner_product(outputs, [torch.ones_like(v) for v in outputs])
            grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        return frozenset(name for name, g in zip(leaves, grads, strict=True) if g is not None)

    def add(
        self,
        here: SegmentStates,
        steps: LocalSteps,
        exponent: Tensor,
        u_bar: dict[str, Scaled],
        through_steps: dict[str, Scaled],
        maps: tuple[AffineMap, ...],
        cotangents: Cotangents,
        names: tuple[str, ...],
    ) -> tuple[Tensor, ...]:
        """Adds one segment; returns log10 of the norm of each step's share of the recurrent weights' gradient.

        Args:
            here: The segment.
            steps: Its linearised steps.
            exponent: Of the steps, ``(steps, active, batch)``.
            u_bar: ∂L/∂u_t.
            through_steps: The part of it that comes through the steps.
            maps: The affine maps of ``prepare`` with their cotangents.
            cotangents: ∂L/∂y.
            names: Of the recurrent parameters.
        """
        common = torch.stack([exponent, *(value.exponent for value in u_bar.values())]).amax((0, 1))
        self._lengths += [here.segment.stop] * (len(common) - len(self._lengths))
        absorbed = self._absorbed(common)
        if self._factors or not absorbed:
            own = [(one, frozenset[str]()) for one in steps.affine_maps(exponent)]
            self._add_maps([*own, *((one, self._not_affine) for one in maps)], common, absorbed=absorbed)
        if not absorbed:
            self._summed_lengths = len(common)
            for name, value in steps.parameter_gradients(power_of_two(exponent - common, here.x.dtype)).items():
                self._add(name, Scaled(value, common))
            rest = self._without(maps, self.in_prepare)
            if rest:
                self._add_prepare(here, u_bar, common, rest)
        if self._in_readout:
            self._add_readout(here, cotangents)
        if not names:
            return ()
        if not steps.through_prepare_alone:
            norm = steps.recurrent_norm()
        elif self.model.prepare_reach:
            norm = recurrent_norms(here, self.model, names, steps.delta)
        else:
            if len(u_bar) > len(through_steps) or any(u_bar[n] is not v for n, v in through_steps.items()):
                maps = PreparePullback(self.model, with_maps=True)(here, through_steps).maps
            norm = self._norm_through_prepare(here, through_steps, maps, names)
        return (torch.log10(norm.double()) + exponent.double() * math.log10(2),)

    def _without(self, maps: tuple[AffineMap, ...], parameters: Values) -> Values:
        """The parameters whose gradient the affine maps do not give."""
        given = {name for one in maps for name in (one.weight, one.bias)} - self._not_affine
        return {name: value for name, value in parameters.items() if name not in given}

    def _norm_through_prepare(
        self, here: SegmentStates, u_bar: dict[str, Scaled], maps: tuple[AffineMap, ...], names: tuple[str, ...]
    ) -> Tensor:
        """‖G_t‖ where parameters act in ``prepare`` alone, ``(steps, active, batch)`` at the exponents of ``u_bar``."""
        rest = self._without(maps, {name: self.in_prepare[name] for name in names if name in self.in_prepare})
        affine = tuple(name for name in names if name not in rest)
        squares = [one.squared_norms(affine) for one in maps]
        if rest:
            rows = next(iter(u_bar.values())).exponent.shape
            x = over_lengths(here.x, rows[1]).flatten(0, 2)
            cotangent = {name: value.mantissa.flatten(0, 2) for name, value in u_bar.items()}
            per_call = max(1, VMAP_NUMBERS // sum(p.numel() for p in rest.values()))
            parts = [
                self._prepare_squares(x[i : i + per_call], {n: v[i : i + per_call] for n, v in cotangent.items()}, rest)
                for i in range(0, len(x), per_call)
            ]
            squares.append(torch.cat(parts).unflatten(0, rows))
        return torch.stack(squares).sum(0).sqrt()

    def _prepare_squares(self, x: Tensor, u_bar: Values, parameters: Values) -> Tensor:
        """Σ ‖·‖² over the gradients of one step and sample a row."""
        prepare = with_parameters(self.model, "prepare")

        def product(copies: Values, x: Tensor, u_bar: Values) -> Tensor:
            u = prepare(copies, x.expand(1, 1, -1))
            return inner_product((u[name][0, 0] for name in u_bar), u_bar.values())

        grads = row_gradients(parameters, (len(x),), vmap(product), x, u_bar)
        norms = [torch.linalg.vector_norm(g.flatten(1), dim=-1, dtype=torch.float64) for g in grads.values()]
        return torch.stack(norms).square().sum(0)

    def _absorbed(self, exponent: Tensor) -> bool:
        """Whether what a segment would add lies so far below every sum that no digit of it would change.

        δ shrinks for good in most models: the steps further back than its digits reach cost nothing.
        """
        if not self._sums or len(exponent) > self._summed_lengths:
            return False
        sums = [(value, exponent[: len(value.exponent)]) for value in self._sums.values()]
        digits = ABSORBED_BITS - math.log2(torch.finfo(sums[0][0].mantissa.dtype).eps)
        if not all(bool((value.exponent - new > digits).all()) for value, new in sums):
            return False
        return all(
            bool((row_exponent([value.mantissa], 2) + value.exponent - new > digits).all()) for value, new in sums
        )

    @property
    def sums(self) -> dict[str, Scaled]:
        """Parameter name to its gradient so far, or to what has its norm; rows ``(active, batch)``."""
        found = dict(self._sums)
        for name, factors in self._factors.items():
            found[name] = self._joined(found[name], factors) if name in found else factors.norm()
        return found

    def _joined(self, stored: Scaled, factors: RankOneSum) -> Scaled:
        """Norms of the lengths that are stored and of those that are factors; sums where something adds to both."""
        if len(stored.exponent) == factors.before:
            first, last = stored.norm(), factors.norm()
            return Scaled(torch.cat([first.mantissa, last.mantissa]), torch.cat([first.exponent, last.exponent]))
        total, active = factors.total(), len(self._lengths)
        total = _with_zeros(total, before=factors.before, after=active - factors.before - len(total.exponent))
        return add(_with_zeros(stored, after=active - len(stored.exponent)).normalized(), total.normalized())

    def _add(self, name: str, term: Scaled) -> None:
        if name not in self._sums:
            self._sums[name] = Scaled(term.mantissa.contiguous(), term.exponent)
            return
        before = self._sums[name]
        before = _with_zeros(before, after=len(term.exponent) - len(before.exponent))
        if bool((before.exponent >= term.exponent).all()):
            factor = power_of_two(term.exponent - before.exponent, before.mantissa.dtype)
            self._sums[name] = Scaled(
                before.mantissa.addcmul_(term.mantissa, expand_like(factor, term.mantissa)), before.exponent
            )
        else:
            self._sums[name] = add(before, term.normalized())

    def _add_maps(self, maps: list[tuple[AffineMap, frozenset[str]]], common: Tensor, *, absorbed: bool) -> None:
        """Σ_t ā_t ⊗ y_t and Σ_t ā_t of each map, but for the parameters named beside it."""
        count = Counter(one.weight for one, without in maps if one.weight not in without)
        for one, without in maps:
            stored = 0
            if one.weight not in without:
                stored = self._stored_lengths(one, count[one.weight])
                if stored < len(common):
                    rest = Scaled(one.cotangent.mantissa[:, stored:], one.cotangent.exponent[:, stored:])
                    self._factors.setdefault(one.weight, RankOneSum(stored)).append(one.input, rest)
            bias = None if one.bias in without else one.bias
            if absorbed or not (stored or bias):
                continue
            a_bar = one.cotangent.at(common.expand_as(one.cotangent.exponent)).movedim(0, 2)
            if stored:  # (active, batch, rows, steps) @ (batch, steps, columns)
                self._add(one.weight, Scaled(a_bar[:stored].mT @ one.input.movedim(0, 1), common[:stored]))
            if bias:
                self._add(bias, Scaled(a_bar.sum(2), common))

    def _stored_lengths(self, one: AffineMap, maps: int) -> int:
        """Of how many lengths, from the longest, a matrix's gradient is stored rather than the factors of its steps.

        Args:
            one: The map.
            maps: How many maps of a step have the matrix.
        """
        if one.weight in self._factors:
            return self._factors[one.weight].before
        if not self._norms_alone or one.cotangent.mantissa.is_complex():
            return len(self._lengths)
        rows, columns = one.cotangent.mantissa.shape[-1], one.input.shape[-1]
        return sum(maps * length * (rows + columns) >= rows * columns for length in self._lengths)

    def _add_prepare(self, here: SegmentStates, u_bar: dict[str, Scaled], common: Tensor, parameters: Values) -> None:
        # (steps, active, batch, *) -> (active, batch, steps, *)
        cotangent = {name: value.at(common.expand_as(value.exponent)).movedim(0, 2) for name, value in u_bar.items()}
        prepare, skip = with_parameters(self.model, "prepare"), len(here.x) - here.segment.steps

        def product(copies: Values, x: Tensor, u_row: Values) -> Tensor:
            u = prepare(copies, x.unsqueeze(0))
            return inner_product((u[name][0, skip:] for name in u_row), u_row.values())

        over_batch = vmap(product, in_dims=(0, 1, 0))
        over_active = vmap(over_batch, in_dims=(0, None, 0))
        for name, grad in row_gradients(parameters, tuple(common.shape), over_active, here.x, cotangent).items():
            self._add(name, Scaled(grad, common))

    def _add_readout(self, here: SegmentStates, cotangents: Cotangents) -> None:
        ends: list[tuple[Scaled, State, State]] = []
        if cotangents.every is not None:
            ends.append((cotangents.every, here.after, here.u))
        if cotangents.last is not None:
            last = Scaled(cotangents.last.mantissa.unsqueeze(0), cotangents.last.exponent.unsqueeze(0))
            ends.append((last, {n: v[-1:] for n, v in here.after.items()}, {n: v[-1:] for n, v in here.u.items()}))
        readout = with_parameters(self.model, "readout")

        def product(copies: Values, s: Values, u: Values, y_bar: Tensor) -> Tensor:
            return inner_product([readout(copies, s, u)], [y_bar])

        for y_bar, s, u in ends:
            common = y_bar.exponent.amax(0)
            over_batch = vmap(product, in_dims=(0, 1, 1, 1))
            over_active = vmap(over_batch, in_dims=(0, None, None, 1))
            mantissa = y_bar.at(common.expand_as(y_bar.exponent))
            grads = row_gradients(self._in_readout, tuple(common.shape), over_active, s, u, mantissa)
            for name, grad in grads.items():
                self._add(name, Scaled(grad, common))


def _with_zeros(value: Scaled, before: int = 0, after: int = 0) -> Scaled:
    """With zeros for so many lengths before its own, and after them."""
    if not before and not after:
        return value
    mantissas, exponents = [value.mantissa], [value.exponent]
    for count, place in ((before, 0), (after, 2)):
        mantissas.insert(place, value.mantissa.new_zeros((count, *value.mantissa.shape[1:])))
        exponents.insert(place, value.exponent.new_full((count, *value.exponent.shape[1:]), ZERO_EXPONENT))
    return Scaled(torch.cat(mantissas), torch.cat(exponents))


def row_gradients(parameters: Values, rows: tuple[int, ...], product: Callable[..., Tensor], *args: Any) -> Values:
    """Gradients of one real number a row, for each row alone: every row has a copy of the parameters.

    Args:
        parameters: By name.
        rows: Their number, in one dimension or several.
        product: Given the copies ``(*rows, *)`` and ``args``, the numbers ``(*rows)``.
        args: What else it takes.

    Returns:
        Parameter name to ``(*rows, *parameter shape)``.
    """
    with torch.enable_grad():
        copies = {name: p.detach().expand(*rows, *p.shape).requires_grad_() for name, p in parameters.items()}
        found = torch.autograd.grad(product(copies, *args).sum(), list(copies.values()), allow_unused=True)
    grads = zip(copies.items(), found, strict=True)
    return {name: torch.zeros_like(copy) if g is None else g for (name, copy), g in grads}


def step_gradients(here: SegmentStates, model: Recurrence, parameters: Values, delta: Values) -> Values:
    """Gradients of parameters that act in ``step``, summed over the steps of a segment, for any recurrence.

    Args:
        here: The segment.
        model: The recurrence.
        parameters: Those that act in ``step``.
        delta: δ_t at one common exponent, ``(steps, active, batch, *)``.

    Returns:
        Parameter name to ``(active, batch, *)``.
    """
    step = with_parameters(model, "step")

    def row(s: Values, u: Values, cotangent: Values) -> Values:
        def steps(values: Values) -> Values:
            return vmap(lambda s_t, u_t, t: _single(step, values, s_t, u_t, t))(s, u, here.times)

        return vjp(steps, parameters)[1](cotangent)[0]  # type: ignore[no-any-return]

    over_batch = vmap(row, in_dims=(1, 1, 1))
    return vmap(over_batch, in_dims=(None, None, 1))(here.before, here.u, delta)


def recurrent_norms(here: SegmentStates, model: Recurrence, names: tuple[str, ...], delta: Values) -> Tensor:
    """‖G_t‖ of every step's share of the recurrent parameters' gradient, for any recurrence.

    The share of step t is what reaches the parameters through that step, by way of ``step`` and of ``prepare``.

    Returns:
        ``(steps, active, batch)``, at the exponents of ``delta``.
    """
    parameters = {name: model.get_parameter(name).detach() for name in names}
    prepare, step = with_parameters(model, "prepare"), with_parameters(model, "step")
    reach = len(here.x) - here.segment.steps
    windows = here.x.unfold(0, reach + 1, 1).movedim(-1, 1) if reach else here.x.unsqueeze(1)

    def share(window: Tensor, s: Values, t: Tensor, cotangent: Values) -> Tensor:
        def one(values: Values) -> Values:
            u = prepare(values, window.unsqueeze(0))
            return _single(step, values, s, {name: value[0, -1] for name, value in u.items()}, t)

        grads = vjp(one, parameters)[1](cotangent)[0]
        return torch.stack([torch.linalg.vector_norm(g) for g in grads.values()])

    numbers = sum(p.numel() for p in parameters.values())
    over_batch = vmap(share, in_dims=(1, 0, None, 0))
    over_active = vmap(over_batch, in_dims=(None, None, None, 0))
    per_call = max(1, VMAP_NUMBERS // max(1, numbers * delta[next(iter(delta))].shape[1] * here.x.shape[1]))
    over_steps = vmap(over_active, in_dims=(0, 0, 0, 0), chunk_size=per_call)
    norms = over_steps(windows, here.before, here.times, delta)
    return torch.linalg.vector_norm(norms, dim=-1)  # type: ignore[no-any-return]


def _single(step: Callable[..., State], parameters: Values, s: Values, u: Values, t: Tensor) -> Values:
    """``step`` for one sample without a batch dimension."""
    batched = step(parameters, {n: v.unsqueeze(0) for n, v in s.items()}, {n: v.unsqueeze(0) for n, v in u.items()}, t)
    return {name: batched[name][0] for name in s}
