"""Powers over a sweep of λ as rows: each value beside its theory, the exponent of each quantity, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradscope.commands.sensitivity.cell import SweptCell
from gradscope.measurements.stability import (
    EXPLODING,
    FALSE_ALARMS,
    FAR,
    NO_DIAL,
    NO_POWER_LAW,
    NON_FINITE,
    OK,
    ONE_DRAW,
    ONE_LAMBDA,
    SAME_SLOPE,
    SENSITIVITY_EXPLODES,
    STATE_EXPLODES,
    TOO_SHORT,
    UNDECIDED,
    curse,
)
from gradscope.numerics.fits import (
    Exponent,
    exponent_of_draws,
    fit_exponent,
    local_slopes,
    slopes_disagree,
    slopes_of_draws,
    slopes_of_samples,
)
from gradscope.running.cell import SUMMARY, CellResult

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
STATE, TANGENT, SECOND, LOSS = "state_power", "dh_domega_power", "d2h_domega2_power", "loss_gradient_power"
FAR_EXPONENTS = 0.25  # between theory's fit over the sweep and its limit


@dataclass(frozen=True)
class Fit:
    """A power law through a series.

    Attributes:
        exponent: NaN where local slopes disagree.
        local_slopes: Between the neighbouring λ that were fitted; their mean over draws of weights.
        is_bent: Whether local slopes disagree beyond their errors, and beyond what theory itself bends.
    """

    exponent: Exponent
    local_slopes: Array
    is_bent: bool

    @property
    def shown_slopes(self) -> str:
        """The local slopes in one word a slope, NaN for none."""
        return " ".join(f"{slope:+.2f}" for slope in self.local_slopes.tolist())


NO_FIT = Fit(Exponent(math.nan, math.nan), np.zeros(0), is_bent=False)


@dataclass(frozen=True)
class Series:
    """Squares of one quantity at every λ.

    Attributes:
        names: Parametrisation and normalisation.
        group: Of parameters.
        quantity: One of the four above.
        powers: ``(lambdas, samples)``.
        blocks: Runs of samples that are independent of each other.
        finite: Theory at the length that was run, ``(lambdas,)``; NaN where there is none.
        infinite: Theory of the infinite horizon.
        long_enough: Where the length is as good as an infinite one, ``(lambdas,)``.
        limit: The exponent in 1 − |λ| that theory has as |λ| → 1.
        draws: Of weights, as equal runs of the samples, whose scatter is the error of an exponent; 0 where there are no
            weights, and the samples' scatter is.
    """

    names: tuple[str, str]
    group: str
    quantity: str
    powers: Array
    blocks: int
    finite: Array
    infinite: Array
    long_enough: Flags
    limit: float
    draws: int = 0

    @property
    def means(self) -> Array:
        """``(lambdas,)``; not finite where a power is not."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(self.powers.mean(axis=1))

    @property
    def errors(self) -> Array:
        """Standard errors of the means, from the scatter of the blocks; NaN for a single one."""
        if self.blocks < 2:
            return np.full(len(self.powers), math.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            parts = np.array([part.mean(axis=1) for part in np.array_split(self.powers, self.blocks, axis=1)])
            return np.asarray(parts.std(axis=0, ddof=1) / math.sqrt(self.blocks))

    @property
    def ratios(self) -> Array:
        """Measured by theory; NaN where theory has nothing or 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.finite > 0, self.means / self.finite, math.nan)

    @property
    def has_horizon(self) -> bool:
        """Whether two λ or more have a length that is as good as infinite."""
        return int(self.long_enough.sum()) > 1

    @property
    def is_zero(self) -> bool:
        """Whether nothing is left at the infinite horizon, whatever λ is."""
        return not self.infinite.any()

    def fit(self, moduli: Array) -> Fit:
        """The power law over the λ whose length is long enough, or over all where fewer than two are."""
        used = self._used
        epsilon, powers = 1 - moduli[used], self.powers[used]
        if self.is_zero or not np.isfinite(powers).all():
            return NO_FIT
        if self.draws:
            by_draw = powers.reshape(len(powers), self.draws, -1).mean(axis=-1)
            slopes, found = slopes_of_draws(epsilon, by_draw), exponent_of_draws(epsilon, by_draw)
            local = slopes.mean(axis=1) if slopes.shape[1] else np.full(len(slopes), math.nan)
        else:
            slopes, found = slopes_of_samples(epsilon, powers, self.blocks), fit_exponent(epsilon, powers, self.blocks)
            local = local_slopes(epsilon, powers.mean(axis=1))
        bend = local_slopes(epsilon, self.finite[used])  # of theory, where there is one
        straight = slopes - np.where(np.isfinite(bend), bend, 0.0)[:, None]
        is_bent = slopes_disagree(straight, within=SAME_SLOPE, false_alarms=FALSE_ALARMS)
        return Fit(Exponent(math.nan, math.nan) if is_bent else found, local, is_bent)

    def theory_fit(self, moduli: Array) -> float:
        """The same of theory at finite length."""
        return fit_exponent(1 - moduli[self._used], self.finite[self._used, None]).exponent

    @property
    def _used(self) -> Flags:
        return self.long_enough if self.has_horizon else np.ones_like(self.long_enough)


@dataclass(frozen=True)
class Sweep:
    """What a cell has swept.

    Attributes:
        cell: The cell.
        lambdas: Asked for; NaN where an architecture without a dial was measured as it is.
        moduli: Achieved medians, of a matrix its spectral radius.
        largest: Largest |λ|, of a dense matrix its spectral radius.
        lengths: Steps at each λ.
        exploded: Where the state grows without end over the sequence, ``(lambdas,)``.
        jacobian_radius: Spectral radius of J_t at the last λ, where the dial is a matrix's; NaN elsewhere.
    """

    cell: SweptCell
    lambdas: Sequence[float]
    moduli: Array
    largest: Array
    lengths: Sequence[int]
    exploded: Flags
    jacobian_radius: float = math.nan

    def result(
        self, series: Sequence[Series], summary: Sequence[dict[str, Any]], notes: tuple[str, ...] = ()
    ) -> CellResult:
        """Values and exponents of all series, with the rows of the summary."""
        values = [row for one in series for row in self._values(one)]
        rows = {"sensitivity": values, "exponents": [self._exponent(one) for one in series], SUMMARY: summary}
        return CellResult({name: pd.DataFrame(each) for name, each in rows.items()}, notes)

    def _exponent(self, one: Series) -> dict[str, Any]:
        fit = self._fit(one)
        errors = {"exponent": fit.exponent.exponent, "standard_error": fit.exponent.standard_error, "theory": one.limit}
        status = NO_POWER_LAW if fit.is_bent else OK
        if fit is NO_FIT and not one.is_zero:
            status = STATE_EXPLODES if self.exploded.any() else NON_FINITE
        of_fit = {"local_slopes": fit.shown_slopes, "draws": one.draws, "status": status}
        return self._identity(one) | {"quantity": one.quantity} | errors | of_fit

    def _fit(self, one: Series) -> Fit:
        """None of what explodes, though it may be finite."""
        return NO_FIT if self.exploded.any() else one.fit(self.moduli)

    def _values(self, one: Series) -> list[dict[str, Any]]:
        columns: dict[str, Sequence[float] | Array] = {
            "lambda_modulus": self.lambdas,
            "achieved_lambda_modulus": self.moduli,
            "length": self.lengths,
            "measured": one.means,
            "standard_error": one.errors,
            "theory_finite": one.finite,
            "theory_infinite": one.infinite,
            "spectral_radius": self.largest,
            "ratio": one.ratios,
            "long_enough": one.long_enough.tolist(),
        }
        identity = self._identity(one) | {"quantity": one.quantity}
        places = range(len(self.moduli))
        return [identity | {name: column[index] for name, column in columns.items()} for index in places]

    def summary(self, one: Series, state: Series) -> dict[str, Any]:
        """The row of a group's sensitivity and of the state that it belongs to."""
        fit, of_state = self._fit(one), self._fit(state).exponent
        verdict, status = self._answer(one, state, fit)
        # without a dial there is no sweep: what was measured once stands at its |λ|
        ends = self.moduli if self._is_undialled else self.lambdas
        return self._identity(one) | {
            "lambda_first": float(ends[0]),
            "lambda_last": float(ends[-1]),
            "state_power_first": float(state.means[0]),
            "state_power_last": float(state.means[-1]),
            "dh_domega_power_first": float(one.means[0]),
            "dh_domega_power_last": float(one.means[-1]),
            "dh_domega_power_ratio_last": float(one.ratios[-1]),
            "state_exponent": of_state.exponent,
            "state_exponent_standard_error": of_state.standard_error,
            "state_exponent_theory": state.limit,
            "exponent": fit.exponent.exponent,
            "exponent_standard_error": fit.exponent.standard_error,
            "exponent_theory": one.limit,
            "exponent_theory_finite": one.theory_fit(self.moduli),
            "verdict": verdict,
            "status": status,
            "local_slopes": fit.shown_slopes,
            "draws": one.draws,
            "state_long_enough_last": bool(state.long_enough[-1]),
            "long_enough_last": bool(one.long_enough[-1]),
            "state_jacobian_radius_last": self.jacobian_radius,
        }

    @property
    def _is_undialled(self) -> bool:
        return math.isnan(self.lambdas[0])

    def _answer(self, one: Series, state: Series, fit: Fit) -> tuple[str, str]:
        """Verdict and status of a group; the first reason why there is none is the one that is said."""
        explosion = self._explosion(one, state)
        if explosion:
            return EXPLODING, explosion
        if self._is_undialled:
            return curse(math.nan), NO_DIAL
        if one.is_zero:
            return "mitigated", OK
        if not one.has_horizon:
            is_single = len(self.lambdas) == 1 and one.long_enough.all()
            return curse(math.nan), ONE_LAMBDA if is_single else TOO_SHORT
        if one.draws == 1:
            return curse(math.nan), ONE_DRAW
        if fit.is_bent:
            return NO_POWER_LAW, NO_POWER_LAW
        verdict = curse(fit.exponent.exponent, fit.exponent.standard_error)
        if abs(one.theory_fit(self.moduli) - one.limit) > FAR_EXPONENTS:  # NaN is not far
            return verdict, FAR
        return verdict, UNDECIDED if verdict == "unknown" else OK

    def _explosion(self, one: Series, state: Series) -> str:
        """What explodes and at which λ first; empty for nothing."""
        states, tangents = np.isfinite(state.means), np.isfinite(one.means)
        explodes = self.exploded | ~states | ~tangents
        if not explodes.any():
            return ""
        first = int(explodes.argmax())
        what = STATE_EXPLODES if self.exploded[first] or not states[first] else SENSITIVITY_EXPLODES
        said = what if self._is_undialled else f"{what} at λ = {self.lambdas[first]:.6g}"
        return said if states.all() and tangents.all() else f"{NON_FINITE}: {said}"

    def _identity(self, one: Series) -> dict[str, Any]:
        return {
            "arch": self.cell.label,
            "parametrization": one.names[0],
            "normalization": one.names[1],
            "input": self.cell.input.choice.label,
            "group": one.group,
        }
