"""Signal propagation through a deep recurrent network at initialisation, forward and backward, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradscope.contract.initializer import Initializer
from gradscope.errors import UnknownName, UsageError
from gradscope.experiments.residual_network import RECURRENCES, ResidualBlock, ResidualNetwork
from gradscope.measurements.conditions import check_shape, full_precision
from gradscope.measurements.description import Described, Description, counted, number
from gradscope.measurements.gradient_result import Status
from gradscope.measurements.tidy import stacked, tidy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FEED_FORWARD = "feed-forward"
OTHER_RECURRENT = "recurrent"
OWN_GROUPS = ("lambda", "magnitude", "angle")


@dataclass(frozen=True, repr=False)
class SignalPropagation(Described):
    """Of one network at initialisation; the first layer is the bottom one.

    It prints as one line a layer.

    Attributes:
        recurrence: A name of ``RECURRENCES``.
        modulus: ν_0; |λ| lie in [ν_0, (1 + ν_0)/2].
        state_power: Mean over sequences, neurons and steps of the recurrent layer's squared output, ``(depth,)``.
        gradient_power: Group of parameters to the mean over its parameters of (∂L/∂θ)², ``(depth,)`` each:
            ``"lambda"`` or ``"magnitude"`` and ``"angle"``, the recurrence's others ``"recurrent"``, and
            ``"feed-forward"``.
        loss: L.
        status: ``"non-finite"`` where a power overflowed.
    """

    recurrence: str
    modulus: float
    state_power: Tensor
    gradient_power: dict[str, Tensor]
    loss: float
    status: Status

    def to_dataframe(self) -> pd.DataFrame:
        """One row a group and layer, with the columns of ``depth.csv`` that one network knows; layers count from 0.

        ``quantity`` is ``"state_power"`` in the group ``"state"`` and ``"loss_gradient_power"`` in the others, and
        ``measured`` its value.
        """
        powers = {("state", "state_power"): self.state_power}
        powers |= {(group, "loss_gradient_power"): power for group, power in self.gradient_power.items()}
        parts = [
            tidy(("layer", "group", "quantity"), {"measured": power}, group=group, quantity=quantity)
            for (group, quantity), power in powers.items()
        ]
        frame = stacked(parts, ())
        frame.insert(0, "recurrence", self.recurrence)
        frame.insert(1, "lambda_modulus", self.modulus)
        return frame

    def plot(self, **options: Any) -> Figure:
        """Output power and squared gradients by group against the layer.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.experiments.depth_figure import plot_layers

        return plot_layers(self.to_dataframe(), **options)

    def _description(self) -> Description:
        columns = [self.state_power, *self.gradient_power.values()]
        rows = [
            [str(layer + 1), *(number(column[layer]) for column in columns)] for layer in range(len(self.state_power))
        ]
        overflow = () if self.status == "ok" else (f"status: {self.status}",)
        return Description(
            f"Signal propagation through {counted(len(rows), 'block')} with {self.recurrence} at |λ| ≥ "
            f"{number(self.modulus)}: mean squares, loss {number(self.loss)}",
            rows,
            ("layer", "output", *(f"∂L/∂θ\n{group}" for group in self.gradient_power)),
            texts=(),
            remarks=overflow,
        )


def signal_propagation(
    recurrence: str,
    modulus: float,
    x: Tensor | NDArray[np.float64],
    depth: int = 4,
    width: int = 32,
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float64,
) -> SignalPropagation:
    """State power and squared gradients of a next-step predictor, by layer and group of parameters.

    Definition:
        L = mean over sequences and t < T of ½ ‖x̂_t − x_{t+1}‖², where x̂ is a linear encoder, ``depth`` blocks
        x + GLU(GELU(recurrence(x))) without normalisation, and a linear decoder.

    Args:
        recurrence: ``cRNN`` (complex diagonal, no γ, λ as real and imaginary part), ``lru``, or ``gru`` with chrono
            initialisation of the update gate, T_min = 1/(1 − ν_0), T_max = 2 T_min.
        modulus: ν_0, from 0 to 1, exclusive of 1.
        x: ``(batch, length, features)``.
        depth: Blocks.
        width: Neurons of each.
        seed: Of the stream ``weights``. Seeds draw the same numbers at every modulus.
        dtype: Of the computation.

    Returns:
        Powers by layer, float64 on the CPU.

    Raises:
        UnknownName: No such recurrence.
        UsageError: A modulus outside [0, 1), or inputs that do not fit.

    Cost:
        One forward and one backward pass.

    Source:
        Zucchet & Orvieto (2024), arXiv:2405.21064, section 5 and appendix D. The gradient is that of the loss of the
        whole batch. The authors' notebook compares the prediction made from x_t with x_{t−1}; here it is x_{t+1}.

    Example:
        >>> sorted(signal_propagation("lru", 0.9, torch.ones(2, 5, 3), depth=2, width=4).gradient_power)
        ['angle', 'feed-forward', 'magnitude', 'recurrent']
    """
    if recurrence not in RECURRENCES:
        raise UnknownName("recurrence", recurrence, RECURRENCES)
    x = _checked(x, modulus, depth, width).to(dtype).transpose(0, 1)  # (length, batch, features)
    network = ResidualNetwork(recurrence, modulus, x.shape[-1], width, depth, Initializer(seed)).to(x)
    with torch.enable_grad(), full_precision():
        predicted, recurrent = network(x)
        loss = 0.5 * (predicted[:-1] - x[1:]).square().sum(dim=-1).mean()
        names, parameters = zip(*network.named_parameters(), strict=True)
        gradients = dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))
    state_power = torch.stack([y.detach().double().square().mean() for y in recurrent]).cpu()
    layers = [_layer_powers(block, f"blocks.{k}.", gradients) for k, block in enumerate(network.blocks)]
    gradient_power = {group: torch.stack([layer[group] for layer in layers]) for group in layers[0]}
    finite = all(bool(torch.isfinite(power).all()) for power in (state_power, *gradient_power.values()))
    status: Status = "ok" if finite else "non-finite"
    return SignalPropagation(recurrence, modulus, state_power, gradient_power, float(loss.detach()), status)


def _layer_powers(block: ResidualBlock, prefix: str, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """Group to the mean of the squared gradient over its parameters."""
    parts: dict[str, list[Tensor]] = {}
    recurrent = block.recurrence.memory_groups
    for name, _ in block.named_parameters():
        gradient = gradients[prefix + name].detach().double().cpu()
        own = recurrent.get(name.removeprefix("recurrence."))
        for group, rows in own or ((FEED_FORWARD, slice(None)),):
            shown = group if group in (*OWN_GROUPS, FEED_FORWARD) else OTHER_RECURRENT
            parts.setdefault(shown, []).append(gradient[rows].flatten())
    return {group: torch.cat(values).square().mean() for group, values in parts.items()}


def _checked(x: Tensor | NDArray[np.float64], modulus: float, depth: int, width: int) -> Tensor:
    x = torch.as_tensor(x).detach()
    check_shape(x)
    if x.shape[1] < 2:
        raise UsageError("Predicting the next step takes sequences of two steps or more, but these have one.")
    if not bool(torch.isfinite(x).all()):
        raise UsageError("The inputs hold NaN or infinite values.")
    if not 0 <= modulus < 1:
        raise UsageError(f"The smallest |λ| should lie between 0 and 1, exclusive of 1, but {modulus:g} was given.")
    for name, count in {"depth": depth, "width": width}.items():
        if count < 1:
            raise UsageError(f"{name} should be 1 or more, but {count} was given.")
    return x
