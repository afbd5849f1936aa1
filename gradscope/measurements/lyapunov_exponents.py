"""Lyapunov exponents of a recurrence along a trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradscope.dynamics.linearize import Linearization
from gradscope.dynamics.state_jacobians import StateJacobians
from gradscope.errors import UsageError
from gradscope.measurements.conditions import full_precision, linearize, measurement, overflow_step, whole_number
from gradscope.measurements.description import Described, Description, counted, number, overflowed
from gradscope.measurements.tidy import stacked, tidy
from gradscope.numerics.logarithms import descending_order

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WARM_UP = 50
SECTIONS = 20  # of the measured steps: their scatter over the second half gives the standard error
FEWEST_SECTIONS = 4
SIGNIFICANT = 4.0  # standard errors between the two halves from which on an exponent has not converged
LEADING = 6  # exponents that a result prints


@dataclass(frozen=True, repr=False)
class LyapunovExponents(Described):
    """Lyapunov exponents, descending; those of several layers or branches together.

    It prints as the leading ones, means over the samples.

    Attributes:
        warm_up: Steps in which the frame aligned itself before the measurement.
        length: Steps of the trajectory; the exponents are means over ``length − warm_up`` steps.
        state_size: Real numbers in the state, n.
        layers: The exponents of each layer in nats per step, ``(batch, count)`` float64; −inf for directions that are
            null by construction, NaN for those so far below the others that they are rounding.
        layers_standard_error: Standard error of each, from the scatter over the second half of the steps; NaN where
            there are too few of them.
        layers_converged: Whether the two halves agree, ``(batch, count)``; False where the exponent is NaN.
        overflow_step: The step from which on states are not finite, and the exponents NaN; None for none.
    """

    warm_up: int
    length: int
    state_size: int
    layers: tuple[Tensor, ...]
    layers_standard_error: tuple[Tensor, ...]
    layers_converged: tuple[Tensor, ...]
    overflow_step: int | None

    @property
    def exponents_nats_per_step(self) -> Tensor:
        """Of the whole state, ``(batch, count)``: the union of the layers', descending, NaN last."""
        return self._merged(self.layers)

    @property
    def standard_error(self) -> Tensor:
        """Of each of them, ``(batch, count)``."""
        return self._merged(self.layers_standard_error)

    @property
    def converged(self) -> Tensor:
        """Whether the two halves of the measured steps agree, ``(batch, count)``; False where the exponent is NaN."""
        return self._merged(self.layers_converged)

    @property
    def is_complete(self) -> bool:
        """Whether these are all exponents of the state."""
        return sum(layer.shape[-1] for layer in self.layers) == self.state_size

    def to_dataframe(self) -> pd.DataFrame:
        """One row a sample, layer and exponent, with the columns of ``lyapunov.csv``; layers count from 0."""
        places = ("sample", "layer", "index")
        parts = [
            tidy(places, {"exponent_nats_per_step": values, "standard_error": errors}, layer=layer)
            for layer, (values, errors) in enumerate(zip(self.layers, self.layers_standard_error, strict=True))
        ]
        return stacked(parts, ())

    def plot(self, **options: Any) -> Figure:
        """Exponents by rank, the slowest direction first, one line a layer; the samples' range as a band.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.measurements.exponent_figure import plot_exponents

        frame = self.to_dataframe()
        names = "layer " + (frame["layer"] + 1).astype(str) if len(self.layers) > 1 else "exponents"
        return plot_exponents(frame.assign(arch=names, seed=0), **options)

    def _description(self) -> Description:
        exponents, errors, converged = self.exponents_nats_per_step, self.standard_error, self.converged
        batch, count = exponents.shape
        means = exponents[:, :LEADING].mean(0).tolist()
        rows = [
            [
                str(index + 1),
                number(mean),
                number(error_of_mean(exponents[:, index], errors[:, index])),
                f"×{number(growth_per_step(mean))}",
                f"{int(converged[:, index].sum())} of {batch}",
            ]
            for index, mean in enumerate(means)
        ]
        which = "all" if self.is_complete else f"the leading {count:,}"
        return Description(
            f"Lyapunov exponents over {counted(self.length - self.warm_up, 'step')} after {self.warm_up}, "
            f"means over {counted(batch, 'sample')}",
            rows,
            ("rank", "nats/step", "standard error", "growth/step", "converged"),
            texts=(),
            remarks=(
                f"{which} of a state of {counted(self.state_size, 'number')}: exponents_nats_per_step {(batch, count)}",
                *overflowed(self.overflow_step),
            ),
        )

    def _merged(self, values: tuple[Tensor, ...]) -> Tensor:
        order = descending_order(torch.cat(self.layers, dim=-1))
        return torch.take_along_dim(torch.cat(values, dim=-1), order, dim=-1)


def growth_per_step(exponent_nats: float) -> float:
    """e^Λ, the factor of one step; at most e^700, which is as good as infinite."""
    return math.exp(min(exponent_nats, 700.0))


def error_of_mean(values: Tensor, errors: Tensor) -> float:
    """Of the samples' mean: from their scatter where there are several, from the sections of one where there is one.

    Args:
        values: One for each sample.
        errors: Their standard errors.
    """
    if len(values) == 1:
        return float(errors[0])
    return float(values.std() / math.sqrt(len(values)))


@measurement
def lyapunov_exponents(
    model: nn.Module, x: Tensor, count: int | None = None, *, warm_up: int = WARM_UP
) -> LyapunovExponents:
    """Lyapunov exponents of the recurrence along the trajectory that an input drives.

    Definition:
        Λ_i = mean over t > warm_up of log |R_t[i, i]|, with Q_t R_t = J_t Q_{t−1} and Q_0 in general position.

    A stack has those of its layers. A recurrence with a period is measured over whole periods: its warm-up is made
    longer by what is left over.

    Args:
        model: A recurrent model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        count: How many leading exponents of each layer; all by default.
        warm_up: Steps in which the frame aligns itself, not counted.

    Returns:
        Exponents in nats per step with their standard errors.

    Raises:
        NoRecurrentState: The model has no recurrent state (a transformer, a sequence module).
        UsageError: A warm-up that leaves nothing, or more exponents than the state has numbers.

    Cost:
        O(T (n² k + n k²/m)) time for k exponents, with QR once in m steps, as seldom as the frame stays well
        conditioned; memory of the trajectory and a few Jacobians. O(T n) for a diagonal recurrence.

    Source:
        Benettin et al. (1980); Engelken, Wolf & Abbott (2023), arXiv:2006.02427, section 2; Vogt et al. (2022),
        arXiv:2006.14123.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4, init="orthogonal", radius=0.5)
        >>> x = gradscope.make_inputs("white", batch=1, length=100, input_size=1)
        >>> float(gradscope.lyapunov_exponents(model, x).exponents_nats_per_step[0, 0].exp().round(decimals=6))
        0.5
    """
    linearization, warm_up = linearize(model, x), whole_number(warm_up, "The warm-up")
    if count is not None:
        count = whole_number(count, "The number of exponents")
    return exponents_of(linearization, count, warm_up)


def exponents_of(
    linearization: Linearization, count: int | None = None, warm_up: int = WARM_UP, *, every_step: bool = False
) -> LyapunovExponents:
    """:func:`lyapunov_exponents` along a trajectory that is at hand; ``every_step`` is the slow twin."""
    length = linearization.length
    if not 0 <= warm_up < length:
        raise UsageError(
            f"The warm-up takes {warm_up} steps, but the sequence has {length}, which leaves nothing to measure; "
            "take a longer sequence or a shorter warm-up."
        )
    sizes = [sum(part.size for part in layer) for layer in linearization.layers]
    if count is not None and not 1 <= count <= min(sizes):
        raise UsageError(
            f"Exponents: {count} were asked for, but the state has {min(sizes)} numbers; ask for 1 to {min(sizes)}."
        )
    period = max(part.period for layer in linearization.layers for part in layer)
    first = length - max(1, (length - warm_up) // period) * period
    warm_up = first if first >= 0 else warm_up
    overflow = overflow_step(linearization)
    with full_precision():
        found = [_of_layer(layer, count, _cuts(warm_up, length, period), every_step) for layer in linearization.layers]
    if overflow is not None:
        found = [(torch.full_like(e, math.nan), torch.full_like(s, math.nan), torch.zeros_like(c)) for e, s, c in found]
    exponents, errors, converged = zip(*found, strict=True)
    return LyapunovExponents(warm_up, length, sum(sizes), exponents, errors, converged, overflow)


def _cuts(warm_up: int, length: int, period: int) -> list[int]:
    """The end of the warm-up and of each section of whole periods after it."""
    periods = max(1, (length - warm_up) // period)
    sections = min(SECTIONS, periods)
    return [warm_up + round(index * periods / sections) * period for index in range(sections)] + [length]


def _of_layer(
    layer: tuple[StateJacobians, ...], count: int | None, cuts: list[int], every_step: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Exponents, standard errors and convergence of all branches of a layer, descending, the leading ``count``."""
    found = [_of_recurrence(part, count, cuts, every_step) for part in layer]
    exponents, errors, converged = (torch.cat(values, dim=-1) for values in zip(*found, strict=True))
    order = descending_order(exponents)
    order = order if count is None else order[:, :count]
    exponents, errors, converged = (torch.take_along_dim(v, order, dim=-1) for v in (exponents, errors, converged))
    return exponents, errors, converged


def _of_recurrence(
    jacobians: StateJacobians, count: int | None, cuts: list[int], every_step: bool
) -> tuple[Tensor, Tensor, Tensor]:
    wanted = jacobians.size if count is None else min(count, jacobians.size)
    finite = min(jacobians.finite_directions(), math.ceil(wanted / jacobians.copies))
    found = jacobians.stretching(finite, cuts, every_step=every_step)
    ends = torch.tensor(found.stops)
    sections = []
    for start, stop in pairwise(cuts):
        inside = (ends > start) & (ends <= stop)
        sections.append(found.log_stretch[inside].sum(0) / (stop - start))
    steps = torch.tensor([stop - start for start, stop in pairwise(cuts)], dtype=torch.float64)
    exponents, errors, converged = _statistics(torch.stack(sections), steps)
    exponents, errors = (torch.where(found.unresolved, math.nan, values) for values in (exponents, errors))
    converged = converged & ~exponents.isnan()
    null = wanted - min(wanted, finite * jacobians.copies)
    values = []
    for value, of_null in ((exponents, -math.inf), (errors, 0.0), (converged, True)):
        copied = value.repeat_interleave(jacobians.copies, dim=-1)[:, : wanted - null]
        values.append(torch.cat([copied, copied.new_full((len(copied), null), of_null)], dim=-1))
    return values[0], values[1], values[2]


def _statistics(rates: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, its standard error and convergence from the rates of consecutive sections, ``(sections, batch, count)``."""
    weights = (steps / steps.sum()).reshape(-1, 1, 1)
    exponents = (weights * rates).sum(0)
    if len(rates) < FEWEST_SECTIONS:
        unknown = torch.full_like(exponents, math.nan)
        return exponents, unknown, torch.zeros_like(exponents, dtype=torch.bool)
    half = len(rates) // 2
    earlier, later = rates[:half], rates[half:]
    errors = later.std(0) / math.sqrt(len(later))
    drift = (later.mean(0) - earlier.mean(0)).abs()
    limit = torch.clamp(SIGNIFICANT * math.sqrt(2) * errors, min=2 / float(steps.sum()))
    null = exponents == -math.inf
    return exponents, torch.where(null, 0.0, errors), (drift <= limit) | null
