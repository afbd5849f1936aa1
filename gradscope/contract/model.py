"""What every measurable model has in common, recurrent or not."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gradscope.contract.memory_dial import HookedDial, MemoryDial, MemoryGroups, grouped, plain_moduli
from gradscope.contract.symmetry import Symmetry
from gradscope.errors import Unmeasurable, UsageError


class Model(nn.Module):
    """A map from ``(batch, length, input_size)`` to ``(batch, length, output_size)``, causal in time.

    Attributes:
        input_size: Features of the input.
        output_size: Features of the output.
        reference_lag: The lag that norms are shown relative to: 0 for a recurrent model, 1 for one with a direct
            path from the last input to the output.
        memory_law: Parametrisation λ(ω) and input normalisation γ(λ) of a unit whose gates are constant, by their names
            in ``gradscope.theory``; None where no unit is one of the scalar law.
        flat_parameter_names: Parameter names carry their layer, as torch's ``weight_ih_l0`` do, so that a stack need
            not add one.
        symmetry: How the model's units can be permuted without changing what it computes: the axes of every
            parameter, such as ``"(gate hidden) input"``. A constructor sets it; None where it is not declared.
        built_as: The catalogue's name and the options that the model was built by, ``lstm:forget_bias=1``; empty for
            a class that is not the catalogue's.
    """

    input_size: int
    output_size: int
    symmetry: Symmetry | None = None
    built_as: str = ""
    reference_lag: ClassVar[int] = 0
    memory_law: ClassVar[tuple[str, str] | None] = None
    flat_parameter_names: ClassVar[bool] = False

    @property
    def called(self) -> str:
        """What messages call the model: its class, or the user's class that it stands for."""
        return type(self).__name__

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the nodes whose total derivative can be asked for, without ``x`` and ``<state>``."""
        raise NotImplementedError

    @property
    def primary_component(self) -> str:
        """The component that tables, horizon and verdict are about."""
        raise NotImplementedError

    @property
    def state_size(self) -> int:
        """Real numbers in the Markov state of one sample; 0 for a model without a recurrent state."""
        return 0

    @property
    def parameters_stored(self) -> int:
        """Numbers that the module holds as parameters (a complex one counts twice)."""
        return sum(p.numel() * (2 if p.is_complex() else 1) for p in self.parameters())

    @property
    def parameters_counted(self) -> int:
        """Numbers of parameters with one bias per affine map (torch's RNN, LSTM and GRU store two)."""
        return self.parameters_stored

    @property
    def memory_dial(self) -> MemoryDial | None:
        """What sets |λ| at initialisation; None where no parameter does."""
        turn: Any = getattr(self, "turn_memory_dial", None)
        if turn is None:
            return None
        reads: Any = self.dialled_moduli
        warnings.warn(
            f"{type(self).__name__} has turn_memory_dial and dialled_moduli; define the property memory_dial instead, "
            "which returns a gradscope.MemoryDial.",
            DeprecationWarning,
            stacklevel=2,
        )
        return HookedDial(turn, reads)

    @property
    def has_memory_dial(self) -> bool:
        """Whether :meth:`set_memory` can set the model's |λ|."""
        return self.memory_dial is not None

    def set_memory(self, modulus: float) -> None:
        """Sets |λ| at initialisation, through the parameter that the architecture has for it.

        |λ| is the median over units, samples and steps of a gate, and the spectral radius of a recurrent matrix.

        Raises:
            Unmeasurable: The architecture has no such parameter.
            UsageError: A modulus that is not between 0 and 1.
        """
        dial = self.required_dial
        if not 0 < modulus < 1:
            raise UsageError(f"|λ| should lie between 0 and 1, but {modulus:g} was given.")
        with torch.no_grad():
            dial.turn(modulus)

    def memory_moduli(self, x: Tensor) -> Tensor:
        """The |λ| that the dial is about: over units, samples and steps of a gate; of a matrix its spectral radius.

        Args:
            x: Inputs, ``(batch, length, input_size)``.

        Returns:
            Flat, float64, on the CPU; its ``median()``, of an even number the lower of the two in the middle, is what
            :meth:`set_memory` sets.
        """
        dial = self.required_dial
        with torch.no_grad():
            return plain_moduli(dial, x)

    @property
    def memory_groups(self) -> MemoryGroups:
        """Every parameter by its role in the recurrence."""
        return grouped(rest=tuple(name for name, _ in self.named_parameters()))

    @property
    def required_dial(self) -> MemoryDial:
        """:attr:`memory_dial`; raises :class:`Unmeasurable` where there is none."""
        dial = self.memory_dial
        if dial is None:
            raise Unmeasurable(f"{self.called} has no memory dial: no parameter of it sets |λ| at initialisation.")
        return dial

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(batch, length, output_size)`` for inputs ``(batch, length, input_size)``."""
        raise NotImplementedError
