"""What ``gradscope compare`` says of one model: norms, rate, horizons, where a dtype loses the signal, what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from gradscope.contract.model import Model
from gradscope.measurements.conditions import check_shape, measurement, whole_numbers
from gradscope.measurements.description import Described, Description
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.losses import Loss
from gradscope.measurements.summary import LengthSummary, summarize
from gradscope.measurements.summary_cells import (
    TEXT_COLUMNS,
    Columns,
    SummaryRow,
    hint_line,
    summary_headers,
    summary_row,
    summary_title,
)
from gradscope.measurements.verdict import Verdict, verdict
from gradscope.own.as_model import measurable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Diagnosis(Described):
    """Of one model; single numbers are those at the longest length.

    It prints as its row in ``gradscope compare``, with what to try below.

    Attributes:
        label: What the model is called.
        parameters: Numbers of parameters with one bias per affine map.
        parameters_stored: Numbers that the module holds.
        state_size: Real numbers in the state; 0 for a model without a recurrent state.
        summaries: The numbers of each length, ascending: norms at both ends, rate, horizons, limits of dtypes.
        norms: The measurement behind them.
    """

    label: str
    parameters: int
    parameters_stored: int
    state_size: int
    summaries: tuple[LengthSummary, ...]
    norms: GradientNorms

    @property
    def longest(self) -> LengthSummary:
        """The numbers at the longest length."""
        return self.summaries[-1]

    @property
    def component(self) -> str:
        """The node that the numbers are about."""
        return self.longest.component

    @property
    def log10_relative_norms(self) -> dict[int, float]:
        """Length to log10 of the norm at step 1 relative to the reference lag."""
        return {summary.length: summary.log10_relative_norm for summary in self.summaries}

    @property
    def decades_per_step(self) -> float:
        """What the norm gains with each step back, log10; negative: vanishing."""
        return self.longest.decades_per_step

    @property
    def horizon_steps(self) -> float:
        """Steps back from which on two decades and more are lost; the length where that is never the case."""
        return self.longest.horizon_steps

    @property
    def horizon_censored(self) -> bool:
        """Whether the horizon lies beyond the length."""
        return self.longest.horizon_censored

    @property
    def weight_gradient_horizon_steps(self) -> float:
        """The last steps from which 90 % of the recurrent weights' gradient comes; NaN where there are no such."""
        return self.longest.weight_gradient_horizon_steps

    @property
    def float32_lost_steps_back(self) -> float:
        """Steps back from which on a plain float32 backward pass has zeros; inf: not within the length."""
        return self.longest.float32_lost_steps_back

    @property
    def float16_lost_steps_back(self) -> float:
        """The same for float16."""
        return self.longest.float16_lost_steps_back

    @property
    def verdict(self) -> Verdict:
        """``"vanishing"``, ``"stable"``, ``"exploding"``, ``"saturated"`` or ``"unknown"``."""
        return verdict(self.longest)

    @property
    def advice(self) -> str:
        """What to try, in the words of the command line; empty where nothing is wrong."""
        return self._row().hint

    @property
    def cells(self) -> dict[str, str]:
        """Header to text of the row in ``gradscope compare``."""
        return dict(zip(self._headers(), self._row().cells, strict=True))

    def to_dataframe(self) -> pd.DataFrame:
        """One row a length, with the columns of ``summary.csv``."""
        import pandas as pd

        frame = pd.DataFrame([asdict(summary) for summary in self.summaries])
        frame.insert(1, "parameters", self.parameters)
        frame.insert(2, "state_size", self.state_size)
        frame.insert(list(frame).index("status"), "verdict", [verdict(summary) for summary in self.summaries])
        frame.insert(list(frame).index("exact_zeros"), "parameters_stored", self.parameters_stored)
        return frame

    def plot(self, **options: Any) -> Figure:
        """Relative norm of the component against steps back, log scale, one line per length.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        return self.norms.plot(self.component, **options)

    @property
    def _has_direct_path(self) -> bool:
        return self.longest.reference_lag > 0

    def _headers(self) -> list[str]:
        return summary_headers(list(self.log10_relative_norms), has_direct_path=self._has_direct_path)

    def _row(self) -> SummaryRow:
        lengths = list(self.log10_relative_norms)
        return summary_row(self.label, self._columns(), lengths, has_direct_path=self._has_direct_path)

    def _columns(self) -> Columns:
        sizes = {"parameters": self.parameters, "state_size": self.state_size}
        rows = [asdict(summary) | sizes | {"verdict": verdict(summary)} for summary in self.summaries]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def _description(self) -> Description:
        row = self._row()
        return Description(
            summary_title([self.longest.reference_lag]),
            [row.cells],
            [header.replace(" ", "\n") for header in self._headers()],
            texts=TEXT_COLUMNS,
            remarks=(*([hint_line(self.label, row.verdict, row.hint)] if row.hint else []), *self.norms.notes),
        )


@measurement
def diagnose(
    model: nn.Module,
    x: Tensor,
    lengths: int | Sequence[int] | None = None,
    *,
    loss: Loss = "last",
    seed: int = 0,
    component: str | None = None,
    label: str | None = None,
) -> Diagnosis:
    """Whether a model's gradient survives the way back through time, and what to try where it does not.

    Definition:
        The relative norm is ‖∂L/∂n_1‖ divided by that at the last step (one step back where the last input has a
        direct path to the output), root mean squares over the batch. From two decades on it is vanishing or exploding;
        the horizon is the smallest lag from which on two decades are lost.

    Args:
        model: From :func:`gradscope.build`, or a module of torch; see :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        lengths: One or several sequence lengths, all from one forward and one reverse pass; that of the inputs by
            default.
        loss: As in :func:`gradscope.gradient_norms`.
        seed: Of the loss's targets and probes.
        component: What it is about; the model's primary component by default.
        label: What the model is called. By default the catalogue's name and options that it was built by, or else the
            name of its class. Advice on an architecture's own options is given where the label begins with the
            catalogue's name.

    Returns:
        The numbers, the verdict and the advice; it prints as a row of ``gradscope compare``.

    Raises:
        UnknownName: No such component or loss.
        UsageError: Lengths or inputs that do not fit.
        Unmeasurable: Dropout or batch norm in training mode.

    Cost:
        One forward and one reverse pass of the longest length.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4, init="orthogonal", radius=0.1)
        >>> x = gradscope.make_inputs("white", batch=1, length=100, input_size=1)
        >>> found = gradscope.diagnose(model, x)
        >>> found.verdict, round(found.decades_per_step, 6), found.horizon_steps
        ('vanishing', -1.0, 2.0)
    """
    check_shape(x)
    measured = measurable(model, x)
    primary = measured.primary_component
    wanted = component or primary
    norms = gradient_norms(
        measured,
        x,
        sorted(whole_numbers(lengths, "Lengths")) if lengths is not None else None,
        loss=loss,
        seed=seed,
        # the primary component comes along: its largest entries decide where a dtype loses the gradient
        components=list(dict.fromkeys((wanted, primary))),
        largest_entries=True,
    )
    return diagnosis_of(norms, measured, label or measured.built_as or measured.called, component)


def diagnosis_of(norms: GradientNorms, model: Model, label: str, component: str | None = None) -> Diagnosis:
    """:func:`diagnose` from norms that are at hand, measured with their largest entries."""
    return Diagnosis(
        label=label,
        parameters=model.parameters_counted,
        parameters_stored=model.parameters_stored,
        state_size=model.state_size,
        summaries=summarize(norms, component),
        norms=norms,
    )
