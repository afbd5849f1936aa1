"""What an adjoint is asked for, what it is given, what it finds, and the linearised steps that it walks through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor

from gradscope.contract.state import Prepared, State
from gradscope.dynamics.affine_maps import AffineMap
from gradscope.numerics.scaled import Scaled


class Only(Enum):
    """Less than all of something."""

    NORMS = "norms"


@dataclass(frozen=True)
class Wants:
    """What an adjoint is asked for; what is not asked for is not computed.

    Attributes:
        components: Names of the nodes whose total derivative is wanted.
        state: The adjoint of the whole Markov state.
        inputs: ∂L/∂x_t.
        parameters: Per-sample gradients of the parameters, and the steps' shares of the recurrent ones. With
            ``Only.NORMS`` anything of the same norm may stand for a gradient, which takes far less memory.
    """

    components: frozenset[str]
    state: bool = False
    inputs: bool = False
    parameters: bool | Only = False


@dataclass(frozen=True)
class Cotangents:
    """∂L/∂y for the outputs of one segment, and ∂L/∂s where a loss reads the state itself.

    Attributes:
        every: At every step, rows ``(steps, active, batch)``; None where it is zero.
        last: At the segment's last step alone, rows ``(active, batch)``; None where it is zero.
        last_state: At the segment's last step, by block of the state, rows ``(active, batch)``; for the walk of a
            single recurrence.
    """

    every: Scaled | None = None
    last: Scaled | None = None
    last_state: dict[str, Scaled] = field(default_factory=dict)


@dataclass(frozen=True)
class Pulled:
    """What the adjoint finds in one segment; rows are ``(steps, active, batch)``.

    Attributes:
        nodes: Total derivative at each component asked for.
        state: Adjoint of the Markov state, one entry per block of the state.
        inputs: ∂L/∂x_t.
        recurrent_norms: log10 ‖G_t‖ of the step's share in the recurrent weights' gradient, one entry per recurrence.
    """

    nodes: dict[str, Scaled] = field(default_factory=dict)
    state: tuple[Scaled, ...] = ()
    inputs: Scaled | None = None
    recurrent_norms: tuple[Tensor, ...] = ()


class LocalSteps(ABC):
    """The linearised steps of one segment, in one of the shapes; values are mantissas ``(steps, active, batch, *)``.

    Attributes:
        delta: The adjoint δ_t of every step, block by block, filled by ``pull``.
    """

    delta: State
    through_prepare_alone: bool = False  # whether no parameter acts in the steps themselves

    @abstractmethod
    def pull(self, first: int, last: int, delta: State, direct: State | None) -> State:
        """Runs the recurrence over the segment's steps ``last, last − 1, …, first + 1``, counted from 1.

        Args:
            first: The step before the earliest one.
            last: The latest step.
            delta: Adjoint at the latest step, without its direct term, ``(active, batch, *)``.
            direct: Direct terms of these steps, ``(last − first, active, batch, *)``.

        Returns:
            The adjoint at step ``first`` without its direct term.
        """

    @abstractmethod
    def total(self, name: str) -> Tensor:
        """Total derivative at a component."""

    @abstractmethod
    def prepared_cotangent(self) -> Prepared:
        """∂L/∂u_t through the steps."""

    def affine_maps(self, exponent: Tensor) -> tuple[AffineMap, ...]:
        """The affine maps W y + b in the steps themselves whose W and b are parameters, with their cotangents.

        What they hold is valid until the next segment's steps are made.

        Args:
            exponent: Of the steps, ``(steps, active, batch)``.
        """
        return ()

    @abstractmethod
    def parameter_gradients(self, alignment: Tensor) -> dict[str, Tensor]:
        """Gradients of the parameters that act in the steps other than in ``affine_maps``, summed over the segment.

        Args:
            alignment: Powers of two ``(steps, active, batch)`` that bring all steps to one exponent.

        Returns:
            Parameter name to ``(active, batch, *parameter shape)``.
        """

    def recurrent_norm(self) -> Tensor:
        """Norm of each step's share in the gradient of the recurrent weights, ``(steps, active, batch)``.

        Asked for where parameters act in the steps.
        """
        raise NotImplementedError
