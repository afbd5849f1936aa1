"""What every measurable model has in common, recurrent or not."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Model(nn.Module):
    """A map from ``(batch, length, input_size)`` to ``(batch, length, output_size)``, causal in time.

    Attributes:
        input_size: Features of the input.
        output_size: Features of the output.
        reference_lag: The lag that norms are shown relative to: 0 for a recurrent model, 1 for one with a direct
            path from the last input to the output.
        flat_parameter_names: Parameter names carry their layer, as torch's ``weight_ih_l0`` do, so that a stack need
            not add one.
    """

    input_size: int
    output_size: int
    reference_lag: ClassVar[int] = 0
    flat_parameter_names: ClassVar[bool] = False

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the nodes whose total derivative can be asked for, without ``x`` and ``<state>``."""
        raise NotImplementedError

    @property
    def primary_component(self) -> str:
        """The component that tables, horizon and verdict are about."""
        raise NotImplementedError

    @property
    def recurrent_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that make up the recurrence; empty where there is none."""
        return ()

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

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(batch, length, output_size)`` for inputs ``(batch, length, input_size)``."""
        raise NotImplementedError
