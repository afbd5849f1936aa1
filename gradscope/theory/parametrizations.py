"""Maps ω → |λ| (or ω → arg λ) and how fast they move λ: |dλ/dω| as a function of ν = |λ|.

Source: Zucchet & Orvieto (2024), arXiv:2405.21064, section 3 and appendix B.3; section 12 of the architectures' papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Parametrization:
    """One way to write λ.

    Attributes:
        value: ν of ω; for an angle, the angle.
        inverse: ω of ν.
        factor: |dλ/dω| at ν = |λ|.
        is_angle: ω moves the angle of λ and not its modulus.
        used_by: Who.
    """

    value: Callable[[float], float]
    inverse: Callable[[float], float]
    factor: Callable[[float], float]
    used_by: str
    is_angle: bool = False


def _same(omega: float) -> float:
    return omega


PARAMETRIZATIONS: dict[str, Parametrization] = {
    "direct": Parametrization(_same, _same, lambda nu: 1.0, "linear RNN"),
    "exp-exp": Parametrization(
        lambda omega: math.exp(-math.exp(omega)),
        lambda nu: math.log(-math.log(nu)),
        lambda nu: -nu * math.log(nu),
        "LRU",
    ),
    "sigmoid": Parametrization(
        lambda omega: 1 / (1 + math.exp(-omega)),
        lambda nu: math.log(nu) - math.log1p(-nu),
        lambda nu: nu * (1 - nu),
        "LSTM, GRU",
    ),
    "softplus": Parametrization(
        lambda omega: math.exp(-(max(omega, 0.0) + math.log1p(math.exp(-abs(omega))))),
        lambda nu: math.log1p(-nu) - math.log(nu),
        lambda nu: nu * (1 - nu),
        "Mamba, a = 1",
    ),
    "tanh": Parametrization(math.tanh, math.atanh, lambda nu: (1 - nu) * (1 + nu), "the optimum for white inputs"),
    "log-delta": Parametrization(
        lambda omega: math.exp(-math.exp(omega)),
        lambda nu: math.log(-math.log(nu)),
        lambda nu: -nu * math.log(nu),
        "S4, S5: λ = exp(−Δ), Δ = e^ω",
    ),
    "polar": Parametrization(_same, _same, lambda nu: nu, "the angle itself", is_angle=True),
}
