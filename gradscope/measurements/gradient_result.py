"""The frozen result of a gradient measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradscope.errors import UnknownName
from gradscope.measurements.description import Described, Description, counted, number, shape, some
from gradscope.measurements.lags import reference, sampled_lags
from gradscope.measurements.verdict import Zeros
from gradscope.numerics.averages import log10_median, log10_root_mean_square
from gradscope.numerics.fits import decades_between, decades_per_step

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Status = Literal["ok", "saturated", "non-finite"]


@dataclass(frozen=True)
class RecurrentWeightSteps:
    """What each step adds to the gradient of the recurrent weights, norms over all of them.

    Attributes:
        log10_step_norm: ‖G_t‖ of step t's contribution, ``(lengths, batch, time)``; NaN after the last step.
        log10_sum_norm: ‖Σ_t G_t‖, ``(lengths, batch)``.
    """

    log10_step_norm: Tensor
    log10_sum_norm: Tensor


@dataclass(frozen=True, repr=False)
class GradientNorms(Described):
    """Norms of ∂L/∂node_t for every step, sample and length.

    It prints as what they amount to at each length; ``to_dataframe`` has the columns of ``gradients.csv``.

    Attributes:
        lengths: The sequence lengths, as asked for.
        primary_component: The component that tables and verdicts are about.
        reference_lag: The lag that norms are shown relative to.
        log10_norm: Component (``"h"``, ``"c"``, ``"x"``, …, ``"<state>"``) to log10 of the Euclidean norm, float64,
            ``(lengths, batch, time)``; NaN where t > T, −inf for an exact zero. Time index 0 is step 1.
        log10_largest_entry: Component to log10 of its largest absolute entry, shaped alike; empty where it was not
            asked for.
        log10_last_output_gradient: log10 ‖∂L/∂y_T‖, ``(lengths, batch)``.
        log10_weight_gradient_norm: Parameter name to log10 of the per-sample gradient's norm, ``(lengths, batch)``.
        recurrent_weight_steps: Contributions of the steps to the recurrent weights' gradient; None where there are no
            recurrent weights or weight gradients were not asked for.
        layers: Component to the layer it belongs to, 0 at the bottom.
        status: One per length: ``non-finite`` where a norm is infinite or no number, ``saturated`` where the judged
            gradient is exactly zero at step 1 in this dtype and not in float64.
        zeros: One per length: what it is that the judged gradient is exactly zero at step 1; empty where it is not.
        notes: What the measurement did that its reader should know.
    """

    lengths: tuple[int, ...]
    primary_component: str
    reference_lag: int
    log10_norm: dict[str, Tensor]
    log10_largest_entry: dict[str, Tensor]
    log10_last_output_gradient: Tensor
    log10_weight_gradient_norm: dict[str, Tensor]
    recurrent_weight_steps: RecurrentWeightSteps | None
    layers: dict[str, int]
    status: tuple[Status, ...]
    zeros: tuple[Zeros, ...]
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

    def by_lag(self, index: int, component: str) -> NDArray[np.float64]:
        """log10 of the root mean square over the batch of a component's norms against the lag, ``(length,)``.

        Args:
            index: Of the length.
            component: Its name.
        """
        samples = self.log10_norm[component][index, :, : self.lengths[index]].numpy()
        return log10_root_mean_square(samples)[::-1]

    def plot(self, component: str | None = None, **options: Any) -> Figure:
        """Relative norm of a component against steps back, log scale, one line per length.

        Args:
            component: Its name; the first one measured by default, the primary one where that was.
            options: Passed on to matplotlib's ``Figure``.

        Raises:
            UnknownName: The component was not measured.
        """
        from gradscope.measurements.gradient_figure import plot_profiles

        name = component or self._shown_component
        if name not in self.log10_norm:
            raise UnknownName("measured component", name, self.log10_norm)
        frame = self.to_dataframe()
        mine = frame[frame["component"] == name]
        return plot_profiles(mine, name, self.reference_lag, reference([self.reference_lag]), **options)

    @property
    def _shown_component(self) -> str:
        return self.primary_component if self.primary_component in self.log10_norm else next(iter(self.log10_norm))

    def _description(self) -> Description:
        name = self._shown_component
        norms = self.log10_norm[name]
        samples, relative_to = counted(norms.shape[1], "sample"), reference([self.reference_lag])
        parts = [f"components {some(self.log10_norm)}: log10_norm {shape(norms)} each"]
        if self.log10_weight_gradient_norm:
            weights = next(iter(self.log10_weight_gradient_norm.values()))
            parts.append(
                f"weights {some(self.log10_weight_gradient_norm)}: log10_weight_gradient_norm {shape(weights)} each"
            )
        return Description(
            f"‖∂L/∂{name}‖ of {samples}, step 1 relative to {relative_to}",
            [self._row(index, name) for index in range(len(self.lengths))],
            ("T", "at step 1, log10", "decades/step", "status"),
            texts=(-1,),
            remarks=(*parts, *self.notes),
        )

    def _row(self, index: int, component: str) -> list[str]:
        norms, length = self.by_lag(index, component), self.lengths[index]
        relative = decades_between(norms[-1], norms[min(self.reference_lag, length - 1)])
        return [str(length), number(relative), number(decades_per_step(norms)), self.status[index]]
