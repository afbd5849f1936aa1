"""The adjoint of a followed step: the coefficients of all steps at once, then the loop over time, then the rest.

The states are known, so the derivatives of every step of a segment are found together. The gradients of inputs and
parameters follow from the cotangents that the loop leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.adjoint import RecurrenceAdjoint
from gradscope.dynamics.affine_maps import AffineMap
from gradscope.dynamics.cotangents import LocalSteps, Wants
from gradscope.dynamics.looped_gradients import norms_of_shares
from gradscope.dynamics.program.linearised import Linearised
from gradscope.dynamics.program.outside import Outside, Share, parameter_of
from gradscope.dynamics.program.program import Program
from gradscope.dynamics.program.recurrent import parameters_behind
from gradscope.dynamics.program.reverse import ReverseLoop
from gradscope.dynamics.program.trace import Value, all_trainable
from gradscope.dynamics.segments import SegmentStates
from gradscope.dynamics.trajectory import Trajectory
from gradscope.numerics.scaled import Scaled


class ProgramSteps(LocalSteps):
    """Linearised steps of a followed step."""

    def __init__(self, adjoint: ProgramAdjoint, here: SegmentStates, given: Linearised, loop: ReverseLoop) -> None:
        self._adjoint, self._here, self._given, self._loop = adjoint, here, given, loop
        self._steps = here.segment.steps
        self.delta = {name: value[1 : self._steps + 1] for name, value in loop.delta.items()}
        self.through_prepare_alone = not any(adjoint.leaves.values())

    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """The loop over time."""
        loop = self._loop
        for name, value in delta.items():
            loop.delta[name][last] = value
        terms = {name: term.unbind(0) for name, term in (direct or {}).items()}
        for index in range(last - 1, first - 1, -1):
            for name, term in terms.items():
                loop.delta[name][index + 1].add_(term[index - first])
            for operation, operands in loop.operations:
                operation(*operands[index])
        return {name: loop.delta[name][first].clone() for name in delta}

    def total(self, name: str) -> Tensor:
        """δ, and for a block that others are computed from what comes through them."""
        found = self._loop.totals.get(name)
        return self.delta[name] if found is None else found[: self._steps].view(self.delta[name].shape)

    @property
    def _shares(self) -> list[Share]:
        return [share for share in self._outside.shares if self._adjoint.leaves[share.constant]]

    @cached_property
    def _outside(self) -> Outside:
        with torch.no_grad():
            return Outside(self._adjoint.program, self._given, self.delta, self._loop.bars)

    def prepared_cotangent(self) -> Prepared:
        """By the same rules, outside the loop."""
        return self._outside.prepared

    def affine_maps(self, exponent: Tensor) -> tuple[AffineMap, ...]:
        """The products by parameters."""
        names = self._adjoint.sources
        found = []
        for share, bias in self._affine:
            assert share.multiplied is not None
            bias_name = None if bias is None else names[bias.constant][0]
            cotangent = Scaled(share.cotangent, exponent)
            found.append(AffineMap(names[share.constant][0], bias_name, share.multiplied, cotangent))
        return tuple(found)

    @cached_property
    def _affine(self) -> list[tuple[Share, Share | None]]:
        """Shares of matrices that are parameters, each with that of the bias of its map."""
        found: list[tuple[Share, Share | None]] = []
        left = [share for share in self._shares if share.multiplied is None and self._adjoint.is_plain(share)]
        for share in self._shares:
            if share.multiplied is not None and self._adjoint.is_affine(share):
                bias = next((other for other in left if other.cotangent is share.cotangent), None)
                left = [other for other in left if other is not bias]
                found.append((share, bias))
        return found

    def parameter_gradients(self, alignment: Tensor) -> dict[str, Tensor]:
        """Of what is no affine map: constants, and through them the parameters that they are made of."""
        done = {id(share) for pair in self._affine for share in pair}
        found: dict[str, Tensor] = {}
        for share in self._shares:
            if id(share) not in done:
                for name, grad in self._adjoint.to_parameters(share.constant, share.summed(alignment)).items():
                    found[name] = found[name] + grad if name in found else grad
        return found

    def recurrent_norm(self) -> Tensor:
        """‖ā_t‖ ‖y_t‖ of each product by a matrix; by autograd where a parameter has several shares."""
        adjoint = self._adjoint
        names = adjoint.recurrent
        squares = []
        for name in names:
            shares = [share for share in self._shares if name in adjoint.leaves[share.constant]]
            if len(shares) != 1 or not adjoint.is_alone(shares[0].constant, name):
                return norms_of_shares(self._here, adjoint.model, names, self.delta)
            (share,) = shares
            features = tuple(range(3, share.cotangent.dim()))
            bar = share.cotangent
            if bar.is_complex() and not adjoint.program.dtype(share.constant).is_complex:
                return norms_of_shares(self._here, adjoint.model, names, self.delta)
            bar = bar.to(torch.complex128) if bar.is_complex() else bar.double()
            norm = torch.linalg.vector_norm(bar, dim=features) if features else bar.abs()
            if share.multiplied is not None:
                y = torch.linalg.vector_norm(share.multiplied, dim=-1)
                norm = norm * y.double().unsqueeze(1)
            squares.append(norm.square())
        return torch.stack(squares).sum(0).sqrt()


class ProgramAdjoint(RecurrenceAdjoint):
    """The adjoint of a recurrence whose step was followed.

    Args:
        program: The step.
        trajectory: The states.
        wants: What to compute.

    Attributes:
        sources: Constant of the program that parameters are behind to one of them, and whether the constant is its
            transpose; ``("", False)`` where it is computed from parameters.
    """

    def __init__(self, program: Program, trajectory: Trajectory, wants: Wants) -> None:
        super().__init__(trajectory, wants)
        self.program = program
        self.sources: dict[Value, tuple[str, bool]] = {}
        self.leaves: dict[Value, dict[str, Tensor]] = {}
        if wants.parameters:
            parameters: dict[str, Tensor] = dict(self.model.named_parameters())
            names = {id(parameter): name for name, parameter in parameters.items()}
            for value in program.traced.trained:
                constant = program.traced.constants[value]
                self.sources[value] = parameter_of(constant, names) or ("", False)
                self.leaves[value] = parameters_behind(self.model, constant, parameters)

    _loop: ReverseLoop | None = None

    def local_steps(self, here: SegmentStates) -> LocalSteps:
        """The coefficients of a segment."""
        given = Linearised(self.program, here, with_others=bool(self.wants.inputs or self.wants.parameters))
        segment, loop = here.segment, self._loop
        if loop is None or loop.active != segment.active or loop.steps < segment.steps:
            loop = self._loop = ReverseLoop(self.program, given, next(iter(here.after.values())), segment.active)
        else:
            loop.load(given)
        return ProgramSteps(self, here, given, loop)

    def is_plain(self, share: Share) -> bool:
        """Whether a share is that of a parameter as it stands."""
        name, transposed = self.sources[share.constant]
        return bool(name) and not transposed and share.cotangent.shape[3:] == self.leaves[share.constant][name].shape

    def is_affine(self, share: Share) -> bool:
        """Whether a share ā ⊗ y is that of a parameter W in W y."""
        name, transposed = self.sources[share.constant]
        return bool(name) and transposed == share.transposed

    def is_alone(self, constant: Value, name: str) -> bool:
        """Whether a parameter reaches the steps through this constant alone, and is it but for a transposition."""
        others = [value for value, leaves in self.leaves.items() if name in leaves]
        return others == [constant] and self.sources[constant][0] == name and not self.acts_in_prepare(name)

    def acts_in_prepare(self, name: str) -> bool:
        """Whether a parameter acts outside the steps too."""
        return self.gradients is not None and name in self.gradients.in_prepare

    def to_parameters(self, value: Value, grad: Tensor) -> Mapping[str, Tensor]:
        """The gradients ``(active, batch, *)`` of the parameters behind a constant, from its own."""
        name, transposed = self.sources[value]
        if name:
            return {name: grad.mT if transposed else grad}
        constant, leaves = self.program.traced.constants[value], self.leaves[value]
        rows = grad.flatten(0, 1).reshape(-1, *constant.shape).resolve_conj()

        def pulled(cotangents: Tensor, *, batched: bool) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(
                constant,
                list(leaves.values()),
                cotangents,
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=batched,
            )

        with all_trainable(self.model), torch.enable_grad():
            try:
                found = pulled(rows, batched=True)
            except RuntimeError:  # some functions cannot be batched
                each = [pulled(row, batched=False) for row in rows]
                found = tuple(
                    None if column[0] is None else torch.stack([g for g in column if g is not None])
                    for column in zip(*each, strict=True)
                )
        pairs = zip(leaves, found, strict=True)
        return {name: g.unflatten(0, grad.shape[:2]) for name, g in pairs if g is not None}
