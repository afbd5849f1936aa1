"""Inputs that are linear filters of white noise, for recurrences that are run together with their input.

white       R(Δ) = 1[Δ = 0]
ar1         R(Δ) = ρ^|Δ|
constant    one value held for the whole sequence: ρ = 1
wiki-like   R(Δ) = 0.332 · 1[Δ = 0] + 0.043056 · 0.997005^|Δ|, embedded Wikipedia text (arXiv:2405.21064, section 5)
"""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.errors import UnknownName
from gradscope.inputs.processes import RHO, SLOW, WHITE

KINDS = ("white", "ar1", "constant", "wiki-like")


@dataclass(frozen=True)
class DrivenInput:
    """A sum of independent AR(1) processes, stationary from the first step.

    Attributes:
        label: As the user writes it.
        weights: Variance of each process.
        rhos: Correlation of neighbouring steps of each; 0 is white, 1 is constant.
    """

    label: str
    weights: tuple[float, ...]
    rhos: tuple[float, ...]


def driven_input(kind: str, rho: float = 0.9) -> DrivenInput:
    """One of the kinds above.

    Raises:
        UnknownName: No such kind.
    """
    if kind == "white":
        return DrivenInput("white", (1.0,), (0.0,))
    if kind == "ar1":
        return DrivenInput(f"ar1:rho={rho:g}", (1.0,), (rho,))
    if kind == "constant":
        return DrivenInput("constant", (1.0,), (1.0,))
    if kind == "wiki-like":
        return DrivenInput("wiki-like", (WHITE, SLOW), (0.0, RHO))
    raise UnknownName("input of the scalar law", kind, KINDS)
