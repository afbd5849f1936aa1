"""Eigenvalues and singular values of the state Jacobians J_t along a trajectory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from gradscope.dynamics.linearize import Linearization
from gradscope.dynamics.state_jacobians import StateJacobians
from gradscope.errors import UnknownName, UsageError
from gradscope.measurements.conditions import (
    full_precision,
    linearize,
    measurement,
    overflow_step,
    whole_number,
    whole_numbers,
)
from gradscope.measurements.description import Described, Description, counted, middle, number, overflowed, percent
from gradscope.measurements.tidy import stacked, tidy
from gradscope.numerics.spectrum import Spectrum, union

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SpectrumTable = Literal["steps", "eigenvalues", "singular_values", "period_eigenvalues"]

PERIOD_COLUMNS = ("sample", "step", "layer", "index", "period", "modulus_per_step", "angle_per_period")
STEP_QUANTITIES = (
    "spectral_radius",
    "largest_singular_value",
    "median_singular_value",
    "smallest_singular_value",
    "condition_number",
    "henrici_departure",
    "near_unit_share",
    "memory_share",
    "longest_time_constant",
)
NEAR_UNIT = 0.99  # moduli above count as near the unit circle
MEMORY = 0.9  # and those from here to there as memory of tens of steps
MOST_PERIODS = 2  # that a result prints


@dataclass(frozen=True, repr=False)
class PeriodSpectrum:
    """Eigenvalues of the product of J_t over one period of a recurrence that repeats its form after some steps.

    Attributes:
        period: Its steps.
        steps: Last step of each product.
        log_modulus_per_step: Natural log of the modulus to the power 1/period, ``(batch, steps, n)``; −inf for null
            directions, NaN for what is rounding beside the largest one.
        angle_per_period: Angle of the eigenvalue as it is, in radians, ``(batch, steps, n)``.
    """

    period: int
    steps: tuple[int, ...]
    log_modulus_per_step: Tensor
    angle_per_period: Tensor

    def __repr__(self) -> str:
        values = f"log_modulus_per_step {tuple(self.log_modulus_per_step.shape)}, angle_per_period alike"
        return f"PeriodSpectrum: products of {self.period} steps that end at {_ends(self.steps)}, {values}"

    @property
    def spectral_radius_per_step(self) -> Tensor:
        """Largest modulus to the power 1/period, ``(batch, steps)``."""
        return self.log_modulus_per_step.nan_to_num(nan=-math.inf, neginf=-math.inf).amax(-1).exp()


@dataclass(frozen=True, repr=False)
class JacobianSpectrum(Described):
    """Eigenvalues and singular values of J_t = ∂s_t/∂s_{t−1} at some steps.

    It prints as medians over samples and steps.

    Attributes:
        steps: Which t.
        state_size: Real numbers in the state, n.
        layers: Eigenvalues of each layer, values ``(batch, steps, count)`` complex128.
        singular: Singular values of the whole J_t, values ``(batch, steps, count)`` float64.
        periods: Layer to the spectrum of the product over its period, where that is more than one step.
        overflow_step: The step from which on states are not finite; None for none. Values of J_t that depend on such
            a state are NaN; those that do not, as the slope of relu, stay finite.
        notes: What a reader should know.
    """

    steps: tuple[int, ...]
    state_size: int
    layers: tuple[Spectrum, ...]
    singular: Spectrum
    periods: dict[int, PeriodSpectrum]
    overflow_step: int | None
    notes: tuple[str, ...] = ()

    @property
    def eigenvalues(self) -> Tensor:
        """All of them, of all layers, each as often as it occurs, ``(batch, steps, n)``."""
        return union(list(self.layers)).expanded

    @property
    def singular_values(self) -> Tensor:
        """All of them, descending, ``(batch, steps, n)``."""
        return self.singular.expanded.sort(dim=-1, descending=True).values

    @property
    def is_complete(self) -> bool:
        """Whether these are all eigenvalues and singular values, not the leading ones of a large state alone."""
        return self.has_all_eigenvalues and self.singular.size == self.state_size

    @property
    def has_all_eigenvalues(self) -> bool:
        """Whether these are all eigenvalues."""
        return sum(layer.size for layer in self.layers) == self.state_size

    @property
    def spectral_radius(self) -> Tensor:
        """Largest modulus, ``(batch, steps)``."""
        return union(list(self.layers)).values.abs().amax(-1)

    @property
    def largest_singular_value(self) -> Tensor:
        """The 2-norm, ``(batch, steps)``."""
        return self.singular.values.amax(-1)

    @property
    def smallest_singular_value(self) -> Tensor:
        """``(batch, steps)``; NaN where only the leading ones are known."""
        return self._if_complete(self.singular.values.amin(-1))

    @property
    def median_singular_value(self) -> Tensor:
        """Median, ``(batch, steps)``; NaN where only the leading ones are known."""
        return self._if_complete(self.singular.expanded.quantile(0.5, dim=-1))

    @property
    def condition_number(self) -> Tensor:
        """Largest by smallest singular value, ``(batch, steps)``; inf for a singular J_t, and so for J_t = 0."""
        smallest = self.smallest_singular_value
        return torch.where(smallest == 0, math.inf, self.largest_singular_value / smallest)

    @property
    def henrici_departure(self) -> Tensor:
        """Henrici's departure from normality √(‖J‖_F² − Σ|λ|²), ``(batch, steps)``; 0 for a normal J_t."""
        moduli = union(list(self.layers)).expanded.abs()
        squares = self.singular.expanded.square().sum(-1) - moduli.square().sum(-1)
        return self._if_complete(squares.clamp(min=0).sqrt())

    @property
    def near_unit_share(self) -> Tensor:
        """Share of the eigenvalues with modulus above 0.99, ``(batch, steps)``."""
        return self._share(NEAR_UNIT, math.inf)

    @property
    def memory_share(self) -> Tensor:
        """Share of the eigenvalues with modulus in (0.9, 0.99], ``(batch, steps)``."""
        return self._share(MEMORY, NEAR_UNIT)

    @property
    def time_constants(self) -> Tensor:
        """−1/log|λ| in steps, ``(batch, steps, n)``; inf from modulus 1 on, 0 for λ = 0."""
        return time_constants(self.eigenvalues.abs())

    @property
    def longest_time_constant(self) -> Tensor:
        """That of the spectral radius, ``(batch, steps)``."""
        return time_constants(self.spectral_radius)

    def to_dataframe(self, table: SpectrumTable = "steps") -> pd.DataFrame:
        """A table with the columns of the file of the same name that ``gradscope spectrum --out`` writes.

        Args:
            table: ``"steps"``, one row a sample and step; ``"eigenvalues"`` and ``"singular_values"``, one row for each
                distinct value, with how often it counts as ``multiplicity``; ``"period_eigenvalues"``, of products over
                a period, without rows where no layer has one. Layers count from 0; ``"joint"`` is the whole state.

        Raises:
            UnknownName: No such table.
        """
        at = {"step": self.steps}
        if table == "steps":
            return tidy(("sample", "step"), {name: getattr(self, name) for name in STEP_QUANTITIES}, at)
        if table == "eigenvalues":
            parts = [self._eigenvalue_rows(layer) for layer in range(len(self.layers))]
            return stacked(parts, ())
        if table == "singular_values":
            values = self.singular.values
            order = values.argsort(dim=-1, descending=True)
            multiplicity = self.singular.multiplicity.expand(order.shape)
            columns = {"singular_value": values, "multiplicity": multiplicity}
            columns = {name: torch.take_along_dim(column, order, dim=-1) for name, column in columns.items()}
            whole = 0 if len(self.layers) == 1 else "joint"
            return tidy(("sample", "step", "layer", "index"), columns, at, layer=whole)
        if table == "period_eigenvalues":
            return stacked([_period_rows(*item) for item in self.periods.items()], PERIOD_COLUMNS)
        raise UnknownName("table of a spectrum", table, get_args(SpectrumTable))

    def plot(self, **options: Any) -> Figure:
        """Eigenvalues in the complex plane with the unit circle; rings are those of the product over a period.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.measurements.eigenvalue_figure import plot_eigenvalues

        return plot_eigenvalues(self.to_dataframe("eigenvalues"), self.to_dataframe("period_eigenvalues"), **options)

    def _eigenvalue_rows(self, layer: int) -> pd.DataFrame:
        values = self.layers[layer].values
        columns = {"real": values.real, "imag": values.imag, "modulus": values.abs()}
        columns |= {"multiplicity": self.layers[layer].multiplicity.expand(values.shape)}
        return tidy(("sample", "step", "layer", "index"), columns, {"step": self.steps}, layer=layer)

    def _description(self) -> Description:
        batch = len(self.singular.values)
        known = "" if self.has_all_eigenvalues else " (the leading ones)"
        rows = [
            ("spectral radius", number(middle(self.spectral_radius))),
            *((f"over {p.period} steps, a step", number(middle(p.spectral_radius_per_step))) for p in self._periods),
            ("largest singular value", number(middle(self.largest_singular_value))),
            ("condition number", number(middle(self.condition_number))),
            ("departure from normality", number(middle(self.henrici_departure))),
            (f"|λ| above {NEAR_UNIT}", percent(middle(self.near_unit_share))),
            (f"|λ| in ({MEMORY}, {NEAR_UNIT}]", percent(middle(self.memory_share))),
            ("longest time constant", f"{number(middle(self.longest_time_constant))} steps"),
        ]
        count = sum(layer.size for layer in self.layers)
        shapes = f"eigenvalues {(batch, len(self.steps), count)}{known} of {counted(len(self.layers), 'layer')}"
        return Description(
            f"∂s_t/∂s_{{t−1}} of a state of {counted(self.state_size, 'number')}: medians over "
            f"{counted(batch, 'sample')} and {counted(len(self.steps), 'step')} ({_ends(self.steps)})",
            rows,
            remarks=(shapes, *overflowed(self.overflow_step), *self.notes),
        )

    @property
    def _periods(self) -> list[PeriodSpectrum]:
        """One for each period; that of the largest radius where several layers have the same."""
        ordered = sorted(self.periods.values(), key=lambda found: middle(found.spectral_radius_per_step))
        return list({found.period: found for found in ordered}.values())[:MOST_PERIODS]

    def _share(self, above: float, up_to: float) -> Tensor:
        moduli = union(list(self.layers)).expanded.abs()
        inside = ((moduli > above) & (moduli <= up_to)).double().mean(-1)
        inside = torch.where(moduli.isnan().any(-1), math.nan, inside)
        return inside if self.has_all_eigenvalues else torch.full_like(inside, math.nan)

    def _if_complete(self, values: Tensor) -> Tensor:
        return values if self.is_complete else torch.full_like(values, math.nan)


def _period_rows(layer: int, found: PeriodSpectrum) -> pd.DataFrame:
    columns = {"modulus_per_step": found.log_modulus_per_step.exp(), "angle_per_period": found.angle_per_period}
    return tidy(PERIOD_COLUMNS[:5], columns, {"step": found.steps}, layer=layer, period=found.period)


def _ends(steps: Sequence[int]) -> str:
    return str(steps[0]) if len(steps) == 1 else f"{min(steps)} … {max(steps)}"


def time_constants(modulus: Tensor) -> Tensor:
    """−1/log|λ|: steps in which a mode shrinks by a factor of e; inf from 1 on, 0 for 0."""
    return torch.where(modulus >= 1, math.inf, -1 / modulus.log()).abs()


@measurement
def jacobian_spectrum(
    model: nn.Module, x: Tensor, steps: int | Sequence[int] | None = None, *, leading: int | None = None
) -> JacobianSpectrum:
    """Eigenvalues and singular values of J_t = ∂s_t/∂s_{t−1} along the trajectory that an input drives.

    By structure: a diagonal J_t gives its factors, a matrix state its A_t with multiplicities, a stack or a composite
    the union of its parts, skips the roots of a small polynomial, buffers and anchors exact ones and zeros. What is
    dense goes through LAPACK in float64; states above 512 give their leading values by ARPACK.

    Args:
        model: A recurrent model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        steps: Which t, from 1 to the length; about ten evenly spaced ones by default.
        leading: Only so many leading eigenvalues and singular values, by iteration, for large states.

    Returns:
        Eigenvalues by layer, singular values of the whole J_t, and what follows from them.

    Raises:
        NoRecurrentState: The model has no recurrent state (a transformer, a sequence module).
        UsageError: Steps outside the sequence, inputs that do not fit, or SciPy is needed and absent.

    Cost:
        One forward pass, and O(n³) a step for a dense J_t.

    Source:
        Pascanu et al. (2013), arXiv:1211.5063, section 2; Henrici (1962) for the departure from normality.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4, init="orthogonal", radius=0.5)
        >>> x = gradscope.make_inputs("white", batch=1, length=10, input_size=1)
        >>> float(gradscope.jacobian_spectrum(model, x, steps=[10]).spectral_radius.round(decimals=6))
        0.5
    """
    linearization = linearize(model, x)
    if leading is not None:
        leading = whole_number(leading, "The number of leading values")
    return spectrum_of(linearization, checked_steps(steps, x.shape[1]), leading)


def spectrum_of(linearization: Linearization, steps: Sequence[int], leading: int | None = None) -> JacobianSpectrum:
    """:func:`jacobian_spectrum` along a trajectory that is at hand."""
    with full_precision():
        layers = tuple(
            union([_at_steps([part.eigenvalues(step, leading) for step in steps]) for part in layer]).leading(leading)
            for layer in linearization.layers
        )
        singular = union([_singular(part, steps, leading) for part in linearization.coupled]).leading(leading)
        periods = {}
        for index, layer in enumerate(linearization.layers):
            period = max(part.period for part in layer)
            ends = tuple(dict.fromkeys(max(step, period) for step in steps if linearization.length >= period))
            if period > 1 and ends and leading is None:
                periods[index] = _period_spectrum(layer, period, ends)
    size = sum(part.size for layer in linearization.layers for part in layer)
    joint = [part.size for part in linearization.coupled if part.is_too_large]
    large = [part.size for layer in linearization.layers for part in layer if part.is_iterated(leading)]
    notes = [f"A state of {n} numbers: only its leading eigenvalues were sought, by ARPACK." for n in large]
    notes += [
        f"A joint state of {n:,} numbers: its singular values and products are left out; eigenvalues and exponents are "
        "those of the layers."
        for n in joint
    ]
    return JacobianSpectrum(
        tuple(steps), size, layers, singular, periods, overflow_step(linearization), tuple(dict.fromkeys(notes))
    )


def checked_steps(steps: int | Sequence[int] | None, length: int) -> tuple[int, ...]:
    """Steps as given, or about ten evenly spaced ones that end with the last.

    Raises:
        UsageError: None, or one outside the sequence.
    """
    if steps is None:
        stride = max(1, length // 10)
        return tuple(range(length - (length - 1) // stride * stride, length + 1, stride))
    asked = tuple(dict.fromkeys(whole_numbers(steps, "Steps")))
    outside = [step for step in asked if not 1 <= step <= length]
    if not asked or outside:
        which = f"step {outside[0]}" if outside else "none"
        raise UsageError(f"Steps should lie from 1 to {length}, the length of the sequence, but {which} was given.")
    return asked


def _at_steps(spectra: list[Spectrum]) -> Spectrum:
    return Spectrum(torch.stack([spectrum.values for spectrum in spectra], dim=1), spectra[0].multiplicity)


def _singular(part: StateJacobians, steps: Sequence[int], leading: int | None) -> Spectrum:
    """Singular values of a part of J_t; NaN for a joint state that is too large to decompose."""
    if part.is_too_large:
        return Spectrum(torch.full((part.batch, len(steps), 1), math.nan, dtype=torch.float64), torch.tensor([1]))
    return _at_steps([part.singular_values(step, leading) for step in steps])


def _period_spectrum(layer: tuple[StateJacobians, ...], period: int, ends: tuple[int, ...]) -> PeriodSpectrum:
    moduli, angles = [], []
    for end in ends:
        found = [part.period_eigenvalues(end, period) for part in layer]
        moduli.append(torch.cat([log_modulus for log_modulus, _ in found], dim=-1) / period)
        angles.append(torch.cat([angle for _, angle in found], dim=-1))
    return PeriodSpectrum(period, ends, torch.stack(moduli, dim=1), torch.stack(angles, dim=1))
