"""Eigenvalues and singular values of the state Jacobians J_t along a trajectory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradscope.dynamics.linearize import Linearization
from gradscope.dynamics.state_jacobians import StateJacobians
from gradscope.errors import UsageError
from gradscope.measurements.conditions import exact_matrix_products, linearized, overflow_step
from gradscope.numerics.spectrum import Spectrum, union

NEAR_UNIT = 0.99  # moduli above count as near the unit circle
MEMORY = 0.9  # and those from here to there as memory of tens of steps


@dataclass(frozen=True)
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

    @property
    def spectral_radius_per_step(self) -> Tensor:
        """Largest modulus to the power 1/period, ``(batch, steps)``."""
        return self.log_modulus_per_step.nan_to_num(nan=-math.inf, neginf=-math.inf).amax(-1).exp()


@dataclass(frozen=True)
class JacobianSpectrum:
    """Eigenvalues and singular values of J_t = ∂s_t/∂s_{t−1} at some steps.

    Attributes:
        steps: Which t.
        state_size: Real numbers in the state, n.
        layers: Eigenvalues of each layer, values ``(batch, steps, count)`` complex128.
        singular: Singular values of the whole J_t, values ``(batch, steps, count)`` float64.
        periods: Layer to the spectrum of the product over its period, where that is more than one step.
        overflow_step: The step from which on states are not finite, and with them the values NaN; None for none.
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
        """Largest by smallest singular value, ``(batch, steps)``; inf for a singular J_t."""
        return self.largest_singular_value / self.smallest_singular_value

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

    def _share(self, above: float, up_to: float) -> Tensor:
        moduli = union(list(self.layers)).expanded.abs()
        inside = ((moduli > above) & (moduli <= up_to)).double().mean(-1)
        inside = torch.where(moduli.isnan().any(-1), math.nan, inside)
        return inside if self.has_all_eigenvalues else torch.full_like(inside, math.nan)

    def _if_complete(self, values: Tensor) -> Tensor:
        return values if self.is_complete else torch.full_like(values, math.nan)


def time_constants(modulus: Tensor) -> Tensor:
    """−1/log|λ|: steps in which a mode shrinks by a factor of e; inf from 1 on, 0 for 0."""
    return torch.where(modulus >= 1, math.inf, -1 / modulus.log()).abs()


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
    linearization = linearized(model, x)
    return spectrum_of(linearization, checked_steps(steps, x.shape[1]), leading)


def spectrum_of(linearization: Linearization, steps: Sequence[int], leading: int | None = None) -> JacobianSpectrum:
    """:func:`jacobian_spectrum` along a trajectory that is at hand."""
    with exact_matrix_products():
        layers = tuple(
            union([_at_steps([part.eigenvalues(step, leading) for step in steps]) for part in layer])
            for layer in linearization.layers
        )
        singular = union([_singular(part, steps, leading) for part in linearization.coupled])
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
    given = [steps] if isinstance(steps, int) else list(steps)
    asked = tuple(dict.fromkeys(int(step) for step in given))
    outside = [step for step in given if step != int(step) or not 1 <= step <= length]
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
