"""What ``gradscope compare`` says of one model: norms, rate, horizons, where a dtype loses the signal, what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from gradscope.contract.component import INPUT, judged_component
from gradscope.contract.model import Model
from gradscope.measurements.advice import Trial, advice
from gradscope.measurements.conditions import check_shape, measurement, whole_numbers
from gradscope.measurements.description import Described, Description
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.judgement import Judgement, judge
from gradscope.measurements.loss_names import LAST_OUTPUT
from gradscope.measurements.losses import Loss
from gradscope.measurements.summary import LengthSummary, summarize
from gradscope.measurements.summary_cells import (
    TEXT_COLUMNS,
    Columns,
    SummaryRow,
    summary_headers,
    summary_row,
    summary_title,
)
from gradscope.measurements.trial import tried
from gradscope.measurements.verdict import TROUBLES, Verdict
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
        judgements: What follows from the whole state's gradient at each length: what is carried, verdict, forecast.
        trials: What was tried where something is wrong, at the longest length.
        norms: The measurement behind them.
    """

    label: str
    parameters: int
    parameters_stored: int
    state_size: int
    summaries: tuple[LengthSummary, ...]
    judgements: tuple[Judgement, ...]
    trials: tuple[Trial, ...]
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
    def judgement(self) -> Judgement:
        """What is said of the longest length."""
        return self.judgements[-1]

    @property
    def decades_per_step(self) -> float:
        """What the component's norm gains with each step back, log10, least squares; negative: fading."""
        return self.longest.decades_per_step

    @property
    def rate_decades_per_step(self) -> float:
        """What the judged norm gains with each step back after the drop, robust against single steps."""
        return self.judgement.rate_decades_per_step

    @property
    def drop_decades(self) -> float:
        """What is lost once, in the first steps back; 0 or less."""
        return self.judgement.drop_decades

    @property
    def carried_decades(self) -> float:
        """The judged norm at step 1 relative to the reference lag, without the drop, log10."""
        return self.judgement.carried_decades

    @property
    def memory_horizon_steps(self) -> float:
        """Steps back from which on two decades and more are lost, the drop not counted; inf: not within the length."""
        return self.judgement.memory_horizon_steps

    @property
    def forecast(self) -> float:
        """How well the last output can learn from the first input, before training; higher is better."""
        return self.judgement.forecast

    @property
    def horizon_steps(self) -> float:
        """Steps back from which on the component lies two decades below; the length where that is never the case."""
        return self.longest.horizon_steps

    @property
    def horizon_censored(self) -> bool:
        """Whether that horizon lies beyond the length."""
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
        """One of :data:`~gradscope.measurements.verdict.VERDICTS`, which says what each means."""
        return self.judgement.verdict

    @property
    def advice(self) -> str:
        """What was tried and helps, in the words of the command line; empty where nothing is wrong."""
        return advice(self.trials)

    @property
    def cells(self) -> dict[str, str]:
        """Header to text of the row in ``gradscope compare``."""
        return dict(zip(self._headers(), self._row().cells, strict=True))

    def to_dataframe(self) -> pd.DataFrame:
        """One row a length, with the columns of ``summary.csv``."""
        import pandas as pd

        return pd.DataFrame(self._rows())

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
        rows = self._rows()
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def _rows(self) -> list[dict[str, Any]]:
        """With the columns of ``summary.csv`` in their order."""
        rows = []
        for summary, judgement in zip(self.summaries, self.judgements, strict=True):
            numbers, said = asdict(summary), asdict(judgement)
            row = {"length": numbers.pop("length"), "parameters": self.parameters, "state_size": self.state_size}
            for name, value in numbers.items():
                if name == "status":
                    row["verdict"] = said.pop("verdict")
                if name == "exact_zeros":
                    row["parameters_stored"] = self.parameters_stored
                row[name] = value
            rows.append(row | said)
        return rows

    def _description(self) -> Description:
        row = self._row()
        said = f"{self.label} ({row.verdict}): {self.advice}."
        return Description(
            summary_title([self.longest.reference_lag]),
            [row.cells],
            [header.replace(" ", "\n") for header in self._headers()],
            texts=TEXT_COLUMNS,
            remarks=(*([said] if self.trials else []), *self.norms.notes),
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
    remedies: bool = True,
) -> Diagnosis:
    """Whether a model's gradient survives the way back through time, and what helps where it does not.

    Definition:
        Judged is the gradient of the whole state, ‖∂L/∂s_1‖ relative to that at the last step (of a model without a
        recurrent state that of its primary component, relative to one step back), root mean squares over the batch. A
        one-off drop in the first steps back is told from what is lost with every step: carried is what is left without
        it. Verdicts and thresholds: :data:`gradscope.measurements.verdict.VERDICTS`.

    Args:
        model: From :func:`gradscope.build`, or a module of torch; see :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        lengths: One or several sequence lengths, all from one forward and one reverse pass; that of the inputs by
            default.
        loss: As in :func:`gradscope.gradient_norms`.
        seed: Of the loss's targets and probes, and of the weights of what is tried.
        component: What norms and dtypes' limits are shown of; the model's primary component by default.
        label: What the model is called. By default the catalogue's name and options that it was built by, or else the
            name of its class.
        remedies: Whether to measure what may help where something is wrong: at most three other models, with fresh
            weights, at the longest length.

    Returns:
        The numbers, the verdict and the advice; it prints as a row of ``gradscope compare``.

    Raises:
        UnknownName: No such component or loss.
        UsageError: Lengths or inputs that do not fit.
        Unmeasurable: Dropout or batch norm in training mode.

    Cost:
        One forward and one reverse pass of the longest length, and as much for each remedy that is tried.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4, init="orthogonal", radius=0.1)
        >>> x = gradscope.make_inputs("white", batch=1, length=100, input_size=1)
        >>> found = gradscope.diagnose(model, x)
        >>> found.verdict, round(found.decades_per_step, 6), found.horizon_steps
        ('lost', -1.0, 2.0)
    """
    check_shape(x)
    measured = measurable(model, x)
    judged = judged_component(measured)
    norms = gradient_norms(
        measured,
        x,
        sorted(whole_numbers(lengths, "Lengths")) if lengths is not None else None,
        loss=loss,
        seed=seed,
        components=list(dict.fromkeys((component or measured.primary_component, judged, INPUT))),
        largest_entries=True,
    )
    probed = probed_norms(measured, x, norms.lengths, loss, seed)
    found = diagnosis_of(norms, measured, label or measured.built_as or measured.called, component, probed)
    if not (remedies and found.verdict in TROUBLES):
        return found
    return replace(found, trials=tried(measured, x[:, : norms.lengths[-1]], loss, seed))


def probed_norms(model: Model, x: Tensor, lengths: Sequence[int], loss: Loss, seed: int) -> GradientNorms | None:
    """Norms of ∂L/∂x under a probe of the last output, for the forecast; None where the loss is about it alone."""
    if loss in LAST_OUTPUT:
        return None
    return gradient_norms(model, x, lengths, "last-probe", seed, [INPUT], weight_gradients=False)


def diagnosis_of(
    norms: GradientNorms,
    model: Model,
    label: str,
    component: str | None = None,
    probed: GradientNorms | None = None,
) -> Diagnosis:
    """:func:`diagnose` from norms that are at hand, measured with their largest entries; nothing is tried."""
    return Diagnosis(
        label=label,
        parameters=model.parameters_counted,
        parameters_stored=model.parameters_stored,
        state_size=model.state_size,
        summaries=summarize(norms, component),
        judgements=judge(norms, model, probed),
        trials=(),
        norms=norms,
    )
