"""One statistic of a case: what it is called, and its values for every seed."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORM, SLOPE, WEIGHT_GRADIENT_NORM = "log10_norm", "slope", "log10_weight_gradient_norm"
EXPONENT, RADIUS, SENSITIVITY = "lyapunov_exponent", "spectral_radius", "sensitivity_exponent"
_TEXT = re.compile(r"(?:T=(?P<length>0|[1-9][0-9]{0,17}) )?(?P<quantity>[a-z0-9_]+)(?: (?P<of>.+))?", re.DOTALL)


@dataclass(frozen=True)
class StatisticName:
    """What a statistic is called; ``str`` writes the text that stands in files, :meth:`read` reads it.

    Attributes:
        quantity: What is measured; of a text in a file that is no such name, the whole text.
        length: Of the sequences; None for a quantity that belongs to none.
        of: The component, parameter or group of parameters; empty for a quantity of the whole model.

    Example:
        >>> StatisticName.read("T=200 log10_norm h")
        StatisticName(quantity='log10_norm', length=200, of='h')
        >>> str(StatisticName("lyapunov_exponent", 200))
        'T=200 lyapunov_exponent'
    """

    quantity: str
    length: int | None = None
    of: str = ""

    @classmethod
    def read(cls, text: str) -> StatisticName:
        """The name that a text stands for; any text is one, so that a file of another gradscope can be read."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return cls(text)
        return cls(found["quantity"], int(found["length"]) if found["length"] else None, found["of"] or "")

    def __str__(self) -> str:
        at = "" if self.length is None else f"T={self.length} "
        return f"{at}{self.quantity}{f' {self.of}' if self.of else ''}"

    @property
    def is_rate(self) -> bool:
        """Whether it tells how gradients grow on their way back: a rate per step, times the length."""
        return self.quantity in (SLOPE, EXPONENT, RADIUS)

    @property
    def is_of_parameter(self) -> bool:
        """Whether it belongs to one parameter, and so comes and goes with it."""
        return self.quantity == WEIGHT_GRADIENT_NORM


@dataclass(frozen=True)
class Statistic:
    """One gated quantity of one case, for every seed, on a scale on which every difference is in decades.

    A norm is its log10; a rate per step (slope, Lyapunov exponent, log10 of a spectral radius) is multiplied by the
    length, and so is what it makes of a gradient from the last step to the first.

    Attributes:
        values: ``(seeds, columns)``, float64; −inf is the norm 0.
        steps: The step t (1 is the first) of every column; empty for a single number per seed.
        noise_decades: The largest difference, over seeds and columns, that rounding alone was measured to make.
    """

    values: NDArray[np.float64]
    steps: tuple[int, ...]
    noise_decades: float
