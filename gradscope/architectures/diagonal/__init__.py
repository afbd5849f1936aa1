"""Diagonal recurrences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradscope.architectures.keeping import keeping_modulus
from gradscope.architectures.spec import ArchitectureSpec, Situation
from gradscope.contract.option import Option, OptionValue

_diagonal = partial(ArchitectureSpec, "diagonal")


def _outer_ring(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    return [{"r_min": max(given["r_min"], keeping_modulus(situation.length)), "r_max": 1.0}]


DIAGONAL = {
    "lru": _diagonal(
        home="gradscope.architectures.diagonal.lru:LRU",
        equation="h_t = λ ⊙ h_{t-1} + γ ⊙ B x_t; y_t = Re(C h_t) + D ⊙ x_t",
        paper="Orvieto et al. 2023, arXiv:2303.06349",
        gradient_path="k (one number λ^k a unit)",
        parallelisable=True,
        state_size="2H",
        options=(
            Option("r_min", 0.0, "inner radius of the ring of |λ|", minimum=0.0, maximum=1.0),
            Option("r_max", 1.0, "outer radius of the ring of |λ|", minimum=0.0, maximum=1.0),
            Option("max_phase", 6.28, "largest angle of λ", minimum=0.0),
        ),
        memory_dial="ν of every unit, with the γ that normalises it",
        remedies=_outer_ring,
        memory_rank=1,
    ),
    "min-gru": _diagonal(
        home="gradscope.architectures.diagonal.min_gru:MinGRU",
        equation="h_t = (1-z_t) ⊙ h_{t-1} + z_t ⊙ (W_h x_t + b_h), z_t = σ(W_z x_t + b_z)",
        paper="Feng et al. 2024, arXiv:2410.01201",
        gradient_path="k (one number a unit)",
        parallelisable=True,
        state_size="H",
        memory_dial="bias of the gate",
    ),
}
