"""Curvature at the optimum of the linear teacher–student task, exactly, and what Adam makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jacfwd

from gradscope.errors import UnknownName, UsageError
from gradscope.experiments.adam_learning_rates import Response, adam_learning_rates
from gradscope.experiments.linear_students import LINEAR_STUDENTS, LinearStudent, Parameters
from gradscope.experiments.linear_teacher import linear_teacher
from gradscope.measurements.gradient_result import Status

LEADING = 10


@dataclass(frozen=True)
class TeacherStudentHessian:
    """Hessian of the expected loss at the teacher's solution; P coordinates.

    Attributes:
        student: Name of the parametrisation.
        modulus: ν_0 of the teacher.
        length: T.
        coordinates: Group of each coordinate (``"A"``, ``"lambda"``, ``"angle"``, …), P of them.
        hessian: ``(P, P)`` float64.
        eigenvalues: ``(P,)``, descending.
        eigenvectors: Unit columns in the same order, ``(P, P)``.
        adam_learning_rates: lr/(√v̂ + ε) of each coordinate after Adam's run, ``(P,)``.
        adam_last_loss: The loss of the last batch of that run; it says whether Adam stayed near the optimum.
    """

    student: str
    modulus: float
    length: int
    coordinates: tuple[str, ...]
    hessian: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor
    adam_learning_rates: Tensor
    adam_last_loss: float

    @property
    def status(self) -> Status:
        """Non-finite where Adam's run overflowed; the Hessian does not depend on it."""
        is_finite = math.isfinite(self.adam_last_loss) and bool(torch.isfinite(self.adam_learning_rates).all())
        return "ok" if is_finite else "non-finite"

    @property
    def diagonal_share(self) -> float:
        """Σ_i H_ii² / ‖H‖_F²: 1 where coordinates do not interact and a learning rate each is all it takes."""
        return float((self.hessian.diagonal() ** 2).sum() / (self.hessian**2).sum())

    @property
    def rank(self) -> int:
        """Directions that change the loss; the others change the basis of the hidden state."""
        singular = self.eigenvalues.sqrt()
        return int((singular > singular[0] * len(singular) * torch.finfo(singular.dtype).eps * 10).sum())

    @property
    def participation(self) -> Tensor:
        """1 / Σ_i v_i⁴ of the ten leading eigenvectors, fewer where the rank is: coordinates each spreads over."""
        leading = self.eigenvectors[:, : min(LEADING, self.rank)]
        return 1 / (leading**4).sum(dim=0)

    def share_of(self, group: str) -> Tensor:
        """Squared weight of a group's coordinates in every eigenvector, ``(P,)``."""
        members = torch.tensor([name == group for name in self.coordinates])
        return (self.eigenvectors[members] ** 2).sum(dim=0)


def teacher_student_hessian(
    student: str,
    modulus: float = 0.99,
    length: int = 300,
    seed: int = 0,
    *,
    pairs: int = 2,
    adam_steps: int = 200,
    learning_rate: float = 1e-3,
    batch: int = 64,
) -> TeacherStudentHessian:
    """The Hessian of L = ½ mean_t E(y_t − y*_t)² where the student is the teacher, and Adam's learning rates there.

    Definition:
        For white inputs of unit variance and impulse responses k: L = ½ Σ_n w_n (k_n − k*_n)², w_n = (T − n)/T, the
        share of the T steps that have seen lag n. At k = k*: H = Σ_n w_n ∂k_n/∂θ ∂k_n/∂θᵀ, nothing sampled.

    Args:
        student: A name of ``LINEAR_STUDENTS``.
        modulus: ν_0; the teacher's |λ| lie in [ν_0, ν_0 + 0.3 (1 − ν_0)].
        length: T.
        seed: Teacher from the stream ``weights``, Adam's start from ``probes``, its batches from ``inputs``.
        pairs: Conjugate pairs of eigenvalues of the teacher, n/2.
        adam_steps: Steps of torch's Adam from θ* ⊙ (1 + 10⁻³ N(0, 1)), each on a fresh white batch.
        learning_rate: Adam's, constant.
        batch: Sequences of a batch.

    Raises:
        UnknownName: No such student.
        UsageError: A modulus outside (0, 1), a count below 1, or a learning rate that is not positive.

    Cost:
        O(P² T), P ≤ (n + 1)², and 200 convolutions of ``(batch, T)``.

    Source:
        Zucchet & Orvieto (2024), arXiv:2405.21064, section 4.2, figures 4 and 9.

    Example:
        the direction of D alone has curvature one: y changes by x
        >>> result = teacher_student_hessian("complex-diagonal", modulus=0.9, length=50, adam_steps=1)
        >>> result.coordinates[-1], round(float(result.hessian[-1, -1]), 12)
        ('D', 1.0)
    """
    if student not in LINEAR_STUDENTS:
        raise UnknownName("student", student, LINEAR_STUDENTS)
    for name, count in {"length": length, "adam_steps": adam_steps, "batch": batch}.items():
        if count < 1:
            raise UsageError(f"{name} should be 1 or more, but {count} was given.")
    if learning_rate <= 0:
        raise UsageError(f"learning_rate should be positive, but {learning_rate:g} was given.")
    entry = LINEAR_STUDENTS[student]
    at_teacher = entry.at_teacher(linear_teacher(modulus, pairs, seed))
    optimum = torch.cat([value.flatten() for value in at_teacher.values()])
    response = _flat_response(entry, at_teacher, length)
    jacobian = jacfwd(response)(optimum)  # (T, P)
    steps_that_see = torch.arange(length, 0, -1).to(jacobian)  # lag n
    weighted = jacobian * (steps_that_see / length).sqrt().unsqueeze(-1)
    # singular values: eigenvalues of the product would lose the small ones, and they range over many decades
    _, singular, vectors = torch.linalg.svd(weighted, full_matrices=length < len(optimum))
    eigenvalues = torch.zeros_like(optimum)
    eigenvalues[: len(singular)] = singular**2
    hessian = weighted.mT @ weighted
    adam = adam_learning_rates(response, optimum, length, seed, adam_steps, learning_rate, batch)
    return TeacherStudentHessian(
        student=student,
        modulus=modulus,
        length=length,
        coordinates=tuple(name for name, value in at_teacher.items() for _ in range(value.numel())),
        hessian=(hessian + hessian.mT) / 2,  # a product of matrices is symmetric up to rounding only
        eigenvalues=eigenvalues,
        eigenvectors=vectors.mT,
        adam_learning_rates=adam.learning_rates,
        adam_last_loss=adam.last_loss,
    )


def _flat_response(entry: LinearStudent, like: Parameters, length: int) -> Response:
    sizes = [value.numel() for value in like.values()]

    def response(flat: Tensor) -> Tensor:
        parts = zip(like.items(), flat.split(sizes), strict=True)
        return entry.impulse_response({name: part.reshape(value.shape) for (name, value), part in parts}, length)

    return response
