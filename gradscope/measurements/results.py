"""The frozen result of a gradient measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Status = Literal["ok", "saturated", "non-finite", "underflow"]


@dataclass(frozen=True)
class RecurrentWeightSteps:
    """What each step adds to the gradient of the recurrent weights, norms over all of them.

    Attributes:
        log10_step_norm: ‖G_t‖ of step t's contribution, ``(lengths, batch, time)``; NaN after the last step.
        log10_sum_norm: ‖Σ_t G_t‖, ``(lengths, batch)``.
    """

    log10_step_norm: Tensor
    log10_sum_norm: Tensor


@dataclass(frozen=True)
class GradientNorms:
    """Norms of ∂L/∂node_t for every step, sample and length.

    Attributes:
        lengths: The sequence lengths, as asked for.
        primary_component: The component that tables and verdicts are about.
        reference_lag: The lag that norms are shown relative to.
        log10_norm: Component (``"h"``, ``"c"``, ``"x"``, …, ``"<state>"``) to log10 of the Euclidean norm, float64,
            ``(lengths, batch, time)``; NaN where t > T, −inf for an exact zero. Time index 0 is step 1.
        log10_largest_entry: The primary component's largest absolute entry, shaped alike.
        log10_weight_gradient_norm: Parameter name to log10 of the per-sample gradient's norm, ``(lengths, batch)``.
        recurrent_weight_steps: Contributions of the steps to the recurrent weights' gradient; None where there are no
            recurrent weights or weight gradients were not asked for.
        layers: Component to the layer it belongs to, 0 at the bottom.
        status: One per length.
        notes: What the measurement did that its reader should know.
    """

    lengths: tuple[int, ...]
    primary_component: str
    reference_lag: int
    log10_norm: dict[str, Tensor]
    log10_largest_entry: Tensor | None
    log10_weight_gradient_norm: dict[str, Tensor]
    recurrent_weight_steps: RecurrentWeightSteps | None
    layers: dict[str, int]
    status: tuple[Status, ...]
    notes: tuple[str, ...] = ()

    def to_dataframe(self) -> pd.DataFrame:
        """One row per length, component and step: root mean square and median over the batch."""
        from gradscope.report.frames import gradient_frame

        return gradient_frame(self)

    def plot(self, **options: Any) -> Figure:
        """Relative norm against steps back, log scale, one line per length."""
        from gradscope.report.plots import plot_result

        return plot_result(self, **options)
