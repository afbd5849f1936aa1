"""Maps ω → |λ| (or ω → arg λ) and how they move λ: |dλ/dω| and d²λ/dω² as functions of ν = |λ|.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, section 3 and appendix B.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gradscope.errors import UsageError

Map = Callable[[float], float]


@dataclass(frozen=True)
class Parametrization:
    """One way to write λ.

    Attributes:
        name: As in ``PARAMETRIZATIONS``.
        value: ν of ω; for an angle, the angle.
        omega: ω of ν, unchecked.
        speed: |dλ/dω| at ν = |λ|, unchecked.
        bend: d²λ/dω² in the direction of λ, unchecked.
        used_by: Who.
        least: ν lies above this, whatever ω is.
        most: ν lies below this.
        is_angle: ω moves the angle of λ and not its modulus.
    """

    name: str
    value: Map
    omega: Map
    speed: Map
    bend: Map
    used_by: str
    least: float = 0.0
    most: float = 1.0
    is_angle: bool = False

    def inverse(self, nu: float) -> float:
        """ω of ν.

        Raises:
            UsageError: No ω has this ν.
        """
        return self.omega(self._reached(nu))

    def factor(self, nu: float) -> float:
        """|dλ/dω| at ν = |λ|.

        Raises:
            UsageError: No ω has this ν.
        """
        return self.speed(self._reached(nu))

    def acceleration(self, nu: float) -> float:
        """d²λ/dω² in the direction of λ, at ν = |λ|; −ν for an angle.

        Raises:
            UsageError: No ω has this ν.
        """
        return self.bend(self._reached(nu))

    def reaches(self, nu: float) -> bool:
        """Whether some ω has this ν."""
        return self.least < nu < self.most

    def _reached(self, nu: float) -> float:
        if self.reaches(nu):
            return nu
        between = f"above {self.least:g} and below {self.most:g}" if math.isfinite(self.most) else "that are finite"
        raise UsageError(
            f"The parametrization '{self.name}' reaches values of {'arg λ' if self.is_angle else 'λ'} {between}, "
            f"but {nu:g} was given."
        )


def _same(omega: float) -> float:
    return omega


def _sigmoid(omega: float) -> float:
    small = math.exp(-abs(omega))
    return (1.0 if omega >= 0 else small) / (1 + small)


def _exp_minus_exp(omega: float) -> float:
    return math.exp(-math.exp(min(omega, 700.0)))  # 0 long before e^ω overflows


def _log_minus_log(nu: float) -> float:
    return math.log(-math.log(nu))


def _minus_nu_log_nu(nu: float) -> float:
    return -nu * math.log(nu)


def _nu_log_nu_bend(nu: float) -> float:
    return nu * math.log(nu) * (1 + math.log(nu))


def _logistic_bend(nu: float) -> float:
    return nu * (1 - nu) * (1 - 2 * nu)


PARAMETRIZATIONS: dict[str, Parametrization] = {
    entry.name: entry
    for entry in (
        Parametrization(
            "direct", _same, _same, lambda nu: 1.0, lambda nu: 0.0, "linear RNN", least=-math.inf, most=math.inf
        ),
        Parametrization("exp-exp", _exp_minus_exp, _log_minus_log, _minus_nu_log_nu, _nu_log_nu_bend, "LRU"),
        Parametrization(
            "sigmoid",
            _sigmoid,
            lambda nu: math.log(nu) - math.log1p(-nu),
            lambda nu: nu * (1 - nu),
            _logistic_bend,
            "LSTM, GRU",
        ),
        Parametrization(
            "softplus",
            lambda omega: _sigmoid(-omega),  # exp(−softplus(ω))
            lambda nu: math.log1p(-nu) - math.log(nu),
            lambda nu: nu * (1 - nu),
            _logistic_bend,
            "Mamba, a = 1",
        ),
        Parametrization(
            "tanh",
            math.tanh,
            math.atanh,
            lambda nu: (1 - nu) * (1 + nu),
            lambda nu: -2 * nu * (1 - nu) * (1 + nu),
            "the optimum for white inputs",
            least=-1.0,
        ),
        Parametrization(
            "log-delta",
            _exp_minus_exp,
            _log_minus_log,
            _minus_nu_log_nu,
            _nu_log_nu_bend,
            "S4, S5: λ = exp(−Δ), Δ = e^ω",
        ),
        Parametrization(
            "polar",
            _same,
            _same,
            lambda nu: nu,
            lambda nu: -nu,
            "the angle itself",
            least=-math.inf,
            most=math.inf,
            is_angle=True,
        ),
    )
}
