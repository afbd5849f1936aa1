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
from gradscope.measurements.stability import FAR, NO_DIAL, OK, TOO_SHORT, curse
from gradscope.numerics.fits import Exponent, fit_exponent
from gradscope.running.cell import SUMMARY, CellResult

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
STATE, TANGENT, SECOND, LOSS = "state_power", "dh_domega_power", "d2h_domega2_power", "loss_gradient_power"
FAR_EXPONENTS = 0.25  # between theory's fit over the sweep and its limit


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

    @property
    def means(self) -> Array:
        """``(lambdas,)``."""
        return np.asarray(self.powers.mean(axis=1))

    @property
    def errors(self) -> Array:
        """Standard errors of the means, from the scatter of the blocks; NaN for a single one."""
        if self.blocks < 2:
            return np.full(len(self.powers), math.nan)
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

    def fit(self, moduli: Array) -> Exponent:
        """The exponent over the λ whose length is long enough, or over all where fewer than two are; NaN of a zero."""
        if self.is_zero:
            return Exponent(math.nan, math.nan)
        used = self._used
        return fit_exponent(1 - moduli[used], self.powers[used], self.blocks)

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
        moduli: Achieved medians.
        largest: Largest |λ|, of a dense matrix its spectral radius.
        lengths: Steps at each λ.
    """

    cell: SweptCell
    lambdas: Sequence[float]
    moduli: Array
    largest: Array
    lengths: Sequence[int]

    def result(
        self, series: Sequence[Series], summary: Sequence[dict[str, Any]], notes: tuple[str, ...] = ()
    ) -> CellResult:
        """Values and exponents of all series, with the rows of the summary."""
        values = [row for one in series for row in self._values(one)]
        rows = {"sensitivity": values, "exponents": [self._exponent(one) for one in series], SUMMARY: summary}
        return CellResult({name: pd.DataFrame(each) for name, each in rows.items()}, notes)

    def _exponent(self, one: Series) -> dict[str, Any]:
        fitted = one.fit(self.moduli)
        errors = {"exponent": fitted.exponent, "standard_error": fitted.standard_error, "theory": one.limit}
        return self._identity(one) | {"quantity": one.quantity} | errors

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
        }
        identity = self._identity(one) | {"quantity": one.quantity}
        places = range(len(self.moduli))
        return [identity | {name: column[index] for name, column in columns.items()} for index in places]

    def summary(self, one: Series, state: Series) -> dict[str, Any]:
        """The row of a group's sensitivity and of the state that it belongs to."""
        fitted, of_state = one.fit(self.moduli), state.fit(self.moduli)
        # without a dial there is no sweep: what was measured once stands at its |λ|
        ends = self.moduli if math.isnan(self.lambdas[0]) else self.lambdas
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
            "exponent": fitted.exponent,
            "exponent_standard_error": fitted.standard_error,
            "exponent_theory": one.limit,
            "exponent_theory_finite": one.theory_fit(self.moduli),
            "verdict": "mitigated" if one.is_zero else curse(fitted.exponent if one.has_horizon else math.nan),
            "status": self._status(one),
        }

    def _status(self, one: Series) -> str:
        if math.isnan(self.lambdas[0]):
            return NO_DIAL
        if not (one.has_horizon or one.is_zero):
            return TOO_SHORT
        return FAR if abs(one.theory_fit(self.moduli) - one.limit) > FAR_EXPONENTS else OK  # NaN is not far

    def _identity(self, one: Series) -> dict[str, Any]:
        return {
            "arch": self.cell.label,
            "parametrization": one.names[0],
            "normalization": one.names[1],
            "input": self.cell.input.choice.label,
            "group": one.group,
        }
