"""How sensitive a model's state is to its parameters: E‖∂s_T/∂θ‖², exactly for each sample, by random probes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, as_state, as_vector
from gradscope.dynamics.cotangents import Cotangents, Wants
from gradscope.dynamics.linearize import Linearization, adjoint_segments, linearize_model
from gradscope.dynamics.segments import Segment
from gradscope.errors import UsageError
from gradscope.measurements.conditions import measurement, model_and_input, whole_number
from gradscope.measurements.description import Described, Description, counted, number
from gradscope.measurements.losses import output_cotangents
from gradscope.measurements.stability import has_horizon
from gradscope.numerics.random_streams import random_stream
from gradscope.numerics.scaled import Scaled

if TYPE_CHECKING:
    import pandas as pd

STATE_POWER, TANGENT_POWER, LOSS_POWER = "state_power", "dh_domega_power", "loss_gradient_power"  # as in the files


@dataclass(frozen=True, repr=False)
class MemorySensitivity(Described):
    """Of one model at one length.

    It prints as means over the samples with their standard errors.

    Attributes:
        length: T.
        units: Real numbers in what was probed: the state at T, or the output of a model of several recurrences.
        moduli: |λ| over units, samples and steps of a gate, or a matrix's spectral radius, flat float64; empty for a
            model without a memory dial.
        state_power: Mean over the units of s_T², ``(batch,)`` float64.
        dh_domega_power: Group of parameters to mean over the units of ‖∂s_T/∂θ‖², ``(batch,)``; unbiased.
        loss_gradient_power: Group to ‖∂L/∂θ‖² of the loss ``last``, ``(batch,)``.
        state_power_halfway: ``state_power`` at ⌈T/2⌉; a state that has forgotten its start is as large there, one that
            explodes much smaller.
    """

    length: int
    units: int
    moduli: Tensor
    state_power: Tensor
    dh_domega_power: dict[str, Tensor]
    loss_gradient_power: dict[str, Tensor]
    state_power_halfway: Tensor

    @property
    def achieved_lambda_modulus(self) -> float:
        """Median of ``moduli``, of a matrix its spectral radius; NaN for a model without a memory dial."""
        return float(self.moduli.median()) if len(self.moduli) else math.nan

    def to_dataframe(self) -> pd.DataFrame:
        """One row a group and quantity: mean over the samples, and its standard error from their scatter.

        The columns are those of ``sensitivity.csv`` that one measurement knows. ``group`` is ``"state"`` for E[s_T²];
        ``long_enough`` says whether the length is as good as an infinite one.
        """
        import pandas as pd

        modulus = self.achieved_lambda_modulus
        known = {"achieved_lambda_modulus": modulus, "length": self.length}
        long_enough = {"long_enough": math.nan if math.isnan(modulus) else has_horizon(modulus, self.length)}
        return pd.DataFrame([known | row | long_enough for row in self._rows()])

    def _rows(self) -> list[dict[str, Any]]:
        found = [("state", STATE_POWER, self.state_power)]
        found += [(group, TANGENT_POWER, power) for group, power in self.dh_domega_power.items()]
        found += [(group, LOSS_POWER, power) for group, power in self.loss_gradient_power.items()]
        rows = []
        for group, quantity, power in found:
            error = float(power.std() / math.sqrt(len(power))) if len(power) > 1 else math.nan
            where = {"group": group, "quantity": quantity}
            rows.append(where | {"measured": float(power.mean()), "standard_error": error})
        return rows

    def _description(self) -> Description:
        named = {STATE_POWER: "E s_T²", TANGENT_POWER: "E ‖∂s_T/∂θ‖²", LOSS_POWER: "‖∂L/∂θ‖²"}
        rows = [
            [named[row["quantity"]], row["group"], number(row["measured"]), number(row["standard_error"])]
            for row in self._rows()
        ]
        which = "median |λ|" if len(self.moduli) > 1 else "|λ|"
        dial = f"{which} {number(self.achieved_lambda_modulus)}" if len(self.moduli) else "no memory dial"
        return Description(
            f"Sensitivity of {counted(self.units, 'unit')} at T = {self.length:,}, {dial}: means over "
            f"{counted(len(self.state_power), 'sample')}",
            rows,
            ("power", "group", "mean", "standard error"),
        )


@measurement
def memory_sensitivity(model: nn.Module, x: Tensor, *, probes: int = 4, seed: int = 0) -> MemorySensitivity:
    """Squared sensitivity of the last state to the parameters, by group, and the squared gradient of a loss.

    Definition:
        ‖∂s_T/∂θ‖_F² = E_u ‖(∂s_T/∂θ)ᵀ u‖² with u ~ N(0, I): the squared gradient of the loss u·s_T with respect to θ,
        one adjoint pass; the mean over the units of s_T is reported. A bias that torch stores twice (``bias_ih`` and
        ``bias_hh``) counts twice.

    Args:
        model: A recurrent model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        probes: Probes for each sample.
        seed: Of the streams ``probes`` and ``targets``.

    Returns:
        Powers by group of parameters.

    Raises:
        NoRecurrentState: The model has no recurrent state.
        UsageError: Inputs that do not fit.

    Cost:
        One forward pass, and one adjoint pass of ``probes + 1`` losses with weight gradients.

    Source:
        Zucchet & Orvieto (2024), arXiv:2405.21064; Hutchinson (1990) for the probes.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("lru", input_size=2, hidden_size=4)
        >>> x = gradscope.make_inputs("white", batch=2, length=30, input_size=2)
        >>> sorted(gradscope.memory_sensitivity(model, x).dh_domega_power)
        ['angle', 'input', 'magnitude']
    """
    model, x = model_and_input(model, x)
    probes = whole_number(probes, "The number of probes")
    if probes < 1:
        raise UsageError(f"It takes at least one probe, but {probes} was given.")
    linearization = linearize_model(model, x)
    last = last_values(model, linearization)
    # every probe is a loss of its own, and the last one is the loss: one trajectory, one adjoint pass
    probe = last.new_zeros((probes + 1, *last.shape))
    drawn = random_stream("probes", seed).standard_normal((len(x), probes, last.shape[1]))
    probe[:probes] = torch.from_numpy(drawn).transpose(0, 1)
    outputs = linearization.outputs
    loss = outputs.new_zeros((probes + 1, *outputs.shape[1:]))
    loss[probes] = output_cotangents("last", outputs, [x.shape[1]], seed)[x.shape[1]]
    by_group = _gradient_power(model, linearization, probe, loss)
    return MemorySensitivity(
        length=x.shape[1],
        units=last.shape[1],
        moduli=_moduli(model, x, linearization),
        state_power=_power_of(last),
        dh_domega_power={
            group: power[:probes].mean(0) / last.shape[1]
            for group, power in by_group.items()
            if power[:probes].any()  # what reads the state does not move it
        },
        loss_gradient_power={group: power[probes] for group, power in by_group.items()},
        state_power_halfway=_power_of(values_at(model, linearization, (x.shape[1] + 1) // 2)),
    )


def _moduli(model: Model, x: Tensor, linearization: Linearization) -> Tensor:
    """What the dial reads along the trajectory, which is not run anew where it is that of one recurrence."""
    if not model.has_memory_dial:
        return torch.zeros(0, dtype=torch.float64)
    if not isinstance(model, Recurrence):
        return model.memory_moduli(x)
    (trajectory,) = linearization.recurrences
    with model.knowing(x, lambda: (trajectory.prepared(0, trajectory.length), trajectory.states(0, trajectory.length))):
        return model.memory_moduli(x)


def last_values(model: Model, linearization: Linearization) -> Tensor:
    """What is probed, ``(batch, units)``: :func:`values_at` T."""
    return values_at(model, linearization, linearization.length)


def values_at(model: Model, linearization: Linearization, step: int) -> Tensor:
    """The state after a step as real numbers, without the copies that buffers are, ``(batch, units)``.

    Of a model of several recurrences it is the output.

    Args:
        model: The model.
        linearization: Along the samples' trajectories.
        step: From 1 on.
    """
    if not isinstance(model, Recurrence):
        return linearization.outputs[step - 1]
    (trajectory,) = linearization.recurrences
    states = trajectory.states(step - 1, step)
    return as_vector({block.name: states[block.name][1] for block in _probed_blocks(model)})


def _power_of(values: Tensor) -> Tensor:
    """Mean of the squares over the units, ``(batch,)`` float64."""
    return values.double().square().mean(-1).cpu()


def _probed_blocks(model: Recurrence) -> tuple[Block, ...]:
    return tuple(block for block in model.state_spec if not block.is_buffer)


def weight_gradients(model: Model, linearization: Linearization, probe: Tensor, loss: Tensor) -> dict[str, Scaled]:
    """∂(probe · last values + loss · y_T)/∂θ of each sample for several such losses, one adjoint pass.

    Args:
        model: The model.
        linearization: Along the samples' trajectories.
        probe: ``(losses, batch, units)``.
        loss: ``(losses, batch, output_size)``.

    Returns:
        By parameter, rows ``(losses, batch)``.
    """
    length = linearization.length

    def cotangents(segment: Segment) -> Cotangents:
        if segment.stop != length:
            return Cotangents()
        if not isinstance(model, Recurrence):
            return Cotangents(last=Scaled.of(probe + loss, 2))
        blocks = as_state(probe, _probed_blocks(model))
        return Cotangents(
            last=Scaled.of(loss, 2), last_state={name: Scaled.of(value, 2) for name, value in blocks.items()}
        )

    segments = adjoint_segments(linearization, [length] * len(probe), cotangents, Wants(frozenset(), parameters=True))
    _, _, walk = deque(segments, maxlen=1).pop()  # the gradients are complete after the last segment
    return walk.weight_gradients()


def _gradient_power(model: Model, linearization: Linearization, probe: Tensor, loss: Tensor) -> dict[str, Tensor]:
    """The squared norm of :func:`weight_gradients` by group of parameters, ``(losses, batch)`` float64."""
    gradients = weight_gradients(model, linearization, probe, loss)
    found: dict[str, Tensor] = {}
    for name, groups in model.memory_groups.items():
        if name not in gradients:
            continue
        gradient = gradients[name]
        for group, rows in groups:
            part = Scaled(
                gradient.mantissa[:, :, rows] if gradient.mantissa.dim() > 2 else gradient.mantissa, gradient.exponent
            )
            power = 10.0 ** (2 * part.log10_norm().cpu())
            found[group] = found[group] + power if group in found else power
    return found
