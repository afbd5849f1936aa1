"""Students of the linear teacher–student task: parametrisations of one and the same impulse response.

Every student starts at the teacher's solution and has its size: n real states, or n/2 complex ones whose real part is
read, one for each conjugate pair. Where the solution leaves a scale and a phase free, b_k = c_k = √r_k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.experiments.linear_teacher import LinearTeacher

Parameters = dict[str, Tensor]  # group of parameters to their values, real float64


@dataclass(frozen=True)
class LinearStudent:
    """One parametrisation.

    Attributes:
        at_teacher: The parameters with which the student is the teacher.
        system: From parameters to A ``(m, k, k)``, B ``(m, k)``, C ``(m, k)`` of m blocks of k states, and D ``()``.
    """

    at_teacher: Callable[[LinearTeacher], Parameters]
    system: Callable[[Parameters], tuple[Tensor, Tensor, Tensor, Tensor]]

    def impulse_response(self, parameters: Parameters, length: int) -> Tensor:
        """Answer k_n to an impulse after n = 0, …, length − 1 steps: Re C A^n B, and + D at n = 0; ``(length,)``."""
        A, B, C, D = self.system(parameters)
        states, power = B.unsqueeze(-1), A  # (m, k, steps): A^n B, twice as many steps each time
        while states.shape[-1] < length:
            states = torch.cat([states, power @ states], dim=-1)
            power = power @ power
        response = torch.einsum("mk,mkn->n", C, states[..., :length])
        response = response.real if response.is_complex() else response
        return torch.cat([(response[0] + D).unsqueeze(0), response[1:]])


def _dense_at(teacher: LinearTeacher) -> Parameters:
    one = {"A": teacher.A, "B": teacher.B, "C": teacher.C}
    return {**{name: value.unsqueeze(0) for name, value in one.items()}, "D": teacher.D}


def _blocks_at(teacher: LinearTeacher) -> Parameters:
    """λ = a + ib as ((a, −b), (b, a)) on (Re h, Im h)."""
    re, im, root = teacher.poles.real, teacher.poles.imag, teacher.residues.sqrt()
    A = torch.stack([torch.stack([re, -im], -1), torch.stack([im, re], -1)], -2)
    C = torch.stack([root.real, -root.imag], -1)  # Re(c h) = Re c Re h − Im c Im h
    return {"A": A, "B": torch.view_as_real(root), "C": C, "D": teacher.D}


def _real_system(p: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return p["A"], p["B"], p["C"], p["D"]


def _complex_at(teacher: LinearTeacher) -> Parameters:
    root = torch.view_as_real(teacher.residues.sqrt())
    return {"lambda": torch.view_as_real(teacher.poles), "B": root, "C": root, "D": teacher.D}


def _complex_system(p: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _as_complex(p["lambda"]).unsqueeze(-1), _as_complex(p["B"]), _as_complex(p["C"]), p["D"]


def _lru_at(teacher: LinearTeacher) -> Parameters:
    modulus, root = teacher.poles.abs(), teacher.residues.sqrt()
    gamma = torch.sqrt(1 - modulus**2)
    return {
        "magnitude": torch.log(-torch.log(modulus)),
        "angle": torch.log(teacher.poles.angle()),
        "gamma": torch.log(gamma),
        "B": torch.view_as_real(root / gamma),
        "C": torch.view_as_real(root),
        "D": teacher.D,
    }


def _lru_system(p: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """λ = exp(−e^ν + i e^θ), input scaled by e^γ."""
    poles = torch.polar(torch.exp(-torch.exp(p["magnitude"])), torch.exp(p["angle"]))
    B = torch.exp(p["gamma"]).unsqueeze(-1) * _as_complex(p["B"])
    return poles.reshape(-1, 1, 1), B, _as_complex(p["C"]), p["D"]


def _as_complex(pairs: Tensor) -> Tensor:
    """``(m, 2)`` to one complex state a block, ``(m, 1)``."""
    return torch.complex(pairs[:, :1], pairs[:, 1:])


LINEAR_STUDENTS = {
    "dense": LinearStudent(_dense_at, _real_system),
    "block-diagonal": LinearStudent(_blocks_at, _real_system),
    "complex-diagonal": LinearStudent(_complex_at, _complex_system),
    "lru": LinearStudent(_lru_at, _lru_system),
}
