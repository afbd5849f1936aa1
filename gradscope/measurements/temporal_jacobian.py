"""The temporal Jacobian ∂y_T/∂x_t: how the last output sees each input, for every model alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradscope.contract.component import INPUT
from gradscope.contract.model import Model
from gradscope.contract.probe import PROBE_STEPS, check_answers
from gradscope.contract.sequence import SequenceModel
from gradscope.dynamics.cotangents import Cotangents, Wants
from gradscope.dynamics.linearize import linearize_model, segment_steps
from gradscope.dynamics.segments import Segment
from gradscope.errors import Unmeasurable
from gradscope.measurements.conditions import measurement, model_and_input
from gradscope.measurements.description import Described, Description, counted, middle, number, shape
from gradscope.measurements.lags import LAGS_SHOWN, sampled_lags
from gradscope.measurements.sequence_gradients import scaled_gradients
from gradscope.measurements.tidy import tidy
from gradscope.numerics.scaled import Scaled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SMALLEST_SEGMENT = 4


@dataclass(frozen=True, repr=False)
class TemporalJacobian(Described):
    """Singular values of the blocks ∂y_T/∂x_t, one for each lag T − t = 0 … T − 1.

    It prints as medians over the samples at some lags.

    Attributes:
        length: T.
        log10_singular_values: ``(batch, lags, min(output_size, input_size))`` float64, descending; −inf for zeros.
        log10_frobenius_norm: ``(batch, lags)``.
    """

    length: int
    log10_singular_values: Tensor
    log10_frobenius_norm: Tensor

    def to_dataframe(self) -> pd.DataFrame:
        """One row a sample and lag, with the columns of ``temporal.csv``."""
        frame = tidy(("sample", "step"), self._by_lag(), {"step": range(self.length, 0, -1)})
        frame.insert(2, "steps_back", self.length - frame["step"])
        return frame

    def plot(self, **options: Any) -> Figure:
        """Largest and smallest singular value against steps back, means over the samples.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.measurements.singular_value_figure import plot_singular_values

        title = "What the last output sees of each input: singular values of ∂y_T/∂x_t"
        return plot_singular_values(self.to_dataframe().assign(arch="∂y_T/∂x_t", seed=0), title, **options)

    def _by_lag(self) -> dict[str, Tensor]:
        values = self.log10_singular_values
        return {
            "log10_largest_singular_value": values[..., 0],
            "log10_smallest_singular_value": values[..., -1],
            "log10_frobenius_norm": self.log10_frobenius_norm,
        }

    def _description(self) -> Description:
        rows = [
            [str(lag), *(number(middle(values[:, lag])) for values in self._by_lag().values())]
            for lag in sampled_lags(self.length, LAGS_SHOWN)
        ]
        batch = len(self.log10_frobenius_norm)
        return Description(
            f"∂y_T/∂x_t at T = {self.length:,}: log10 of its singular values, medians over {counted(batch, 'sample')}",
            rows,
            ("steps\nback", "largest\nlog10", "smallest\nlog10", "Frobenius norm\nlog10"),
            texts=(),
            remarks=(f"log10_singular_values {shape(self.log10_singular_values)}",),
        )


@measurement
def temporal_jacobian(model: nn.Module, x: Tensor) -> TemporalJacobian:
    """Singular values of ∂y_T/∂x_t for every t, exact at any length for a recurrent model.

    What the state Jacobian's spectrum is for a recurrence, this is for every model: attention and convolutions too.

    Args:
        model: Any model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.

    Returns:
        The singular values as log10.

    Raises:
        Unmeasurable: A model that cannot be measured as it is, or a block that is not finite.

    Cost:
        One reverse pass for each output feature (together for a recurrent model), and T small decompositions.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=2, hidden_size=2, init="orthogonal", radius=0.1)
        >>> x = gradscope.make_inputs("white", batch=1, length=400, input_size=2)
        >>> norms = gradscope.temporal_jacobian(model, x).log10_frobenius_norm[0]
        >>> round(float(norms[399] - norms[0]), 2)  # 399 factors of 1/10
        -399.0
    """
    model, x = model_and_input(model, x)
    blocks = _of_sequence(model, x) if isinstance(model, SequenceModel) else _of_recurrent(model, x)
    common = blocks.exponent.amax(-1)  # rows of one block at one exponent
    matrices = blocks.at(common.unsqueeze(-1)).to("cpu", torch.float64)
    if not bool(torch.isfinite(matrices).all()):
        raise Unmeasurable("The temporal Jacobian is not finite; the forward or the backward pass overflows.")
    scale = common.cpu().double() * math.log10(2)
    values = torch.log10(torch.linalg.svdvals(matrices)) + scale.unsqueeze(-1)
    frobenius = torch.log10(torch.linalg.matrix_norm(matrices)) + scale
    return TemporalJacobian(x.shape[1], values.flip(0).transpose(0, 1), frobenius.flip(0).transpose(0, 1))


def _of_recurrent(model: Model, x: Tensor) -> Scaled:
    """Unit vectors of y_T are pulled back together, as if they were lengths; rows ``(length, batch, output_size)``."""
    linearization = linearize_model(model, x)
    length, rows = linearization.length, model.output_size
    size = max(SMALLEST_SEGMENT, segment_steps(linearization) // rows)
    eye = torch.eye(rows, dtype=x.dtype, device=x.device).unsqueeze(1).expand(-1, len(x), -1)
    found: list[Scaled] = []
    with torch.no_grad():
        walk = linearization.adjoint(Wants(frozenset(), inputs=True))
        for stop in range(length, 0, -size):
            cotangents = Cotangents(last=Scaled.of(eye.contiguous(), 2)) if stop == length else Cotangents()
            pulled = walk.pull(Segment(max(0, stop - size), stop, rows), cotangents).inputs
            assert pulled is not None
            found.append(pulled)
    mantissa = torch.cat([part.mantissa for part in reversed(found)])
    exponent = torch.cat([part.exponent for part in reversed(found)])
    return Scaled(mantissa.transpose(1, 2), exponent.transpose(1, 2))


def _of_sequence(model: SequenceModel, x: Tensor) -> Scaled:
    """One backward pass for each output feature, and another where that underflows."""
    check_answers(model, x[:2, :PROBE_STEPS])
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        y = model(leaf)
        rows = []
        for index in range(y.shape[-1]):
            y_bar = torch.zeros_like(y)
            y_bar[:, -1, index] = 1
            rows.append(scaled_gradients(model, y, {INPUT: leaf}, y_bar)[INPUT])
    mantissa = torch.stack([row.mantissa for row in rows], dim=2).transpose(0, 1)
    return Scaled(mantissa, torch.stack([row.exponent for row in rows], dim=2).transpose(0, 1))
