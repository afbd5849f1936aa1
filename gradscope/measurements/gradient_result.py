"""The frozen result of a gradient measurement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradscope.numerics.batch_statistics import log10_median, log10_root_mean_square

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SAMPLED_LAGS = 64

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

    def to_dataframe(self, *, every_step: bool = True) -> pd.DataFrame:
        """One row per length, component and step; root mean square and median over the batch.

        Args:
            every_step: All steps, or about 64 log-spaced lags of each length.
        """
        import pandas as pd

        parts = []
        for index, length in enumerate(self.lengths):
            lags = np.arange(length) if every_step else sampled_lags(length)
            steps = length - lags
            for name, norm in self.log10_norm.items():
                samples = norm[index].numpy()[:, steps - 1]
                columns = {
                    "length": length,
                    "layer": self.layers[name],
                    "component": name,
                    "step": steps,
                    "steps_back": lags,
                    "log10_norm": log10_root_mean_square(samples),
                    "log10_norm_median": log10_median(samples),
                }
                parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def plot(self, **options: Any) -> Figure:
        """Relative norm of the primary component against steps back, log scale, one line per length.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.measurements.gradient_figure import plot_profiles

        frame = self.to_dataframe()
        mine = frame[frame["component"] == self.primary_component]
        return plot_profiles(
            mine, self.primary_component, self.reference_lag, reference([self.reference_lag]), **options
        )


def sampled_lags(length: int, count: int = SAMPLED_LAGS) -> NDArray[np.int64]:
    """About ``count`` log-spaced lags from 0 to length − 1, both included; all of them where there are fewer."""
    if length <= count:
        return np.arange(length)
    spaced = np.geomspace(1, length - 1, count - 1).round().astype(np.int64)
    return np.unique(np.concatenate([[0], spaced]))


def reference(lags: Iterable[int]) -> str:
    """What norms are relative to, in words: lag 1 where the last step has a direct path to the output."""
    found = {"the last step" if lag == 0 else "one step back" for lag in lags}
    return found.pop() if len(found) == 1 else "the last step (direct path: one back)"
