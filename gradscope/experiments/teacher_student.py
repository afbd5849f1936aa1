"""Curvature at the optimum of the linear teacher–student task, exactly, and what Adam makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor
from torch.func import jacfwd

from gradscope.errors import UnknownName, UsageError
from gradscope.experiments.adam_learning_rates import Response, adam_learning_rates
from gradscope.experiments.linear_students import LINEAR_STUDENTS, LinearStudent, Parameters
from gradscope.experiments.linear_teacher import linear_teacher
from gradscope.measurements.description import Described, Description, counted, number, percent, shape, some
from gradscope.measurements.gradient_result import Status

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

HessianTable = Literal["hessian", "coordinates", "students"]

LEADING = 10
RECURRENT = ("A", "lambda", "magnitude", "angle")  # groups of the recurrence's own coordinates


@dataclass(frozen=True, repr=False)
class TeacherStudentHessian(Described):
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

    @property
    def median_adam_learning_rate(self) -> float:
        """Over all coordinates; of an even number the lower of the two in the middle."""
        return float(self.adam_learning_rates.median())

    @property
    def median_recurrent_adam_learning_rate(self) -> float:
        """The same over the recurrence's own coordinates."""
        return float(self.adam_learning_rates[[group in RECURRENT for group in self.coordinates]].median())

    def to_dataframe(self, table: HessianTable = "hessian") -> pd.DataFrame:
        """A table with the columns of the file of the same name that ``gradscope sensitivity --hessian`` writes.

        Args:
            table: ``"hessian"``, one row an eigenvalue, with the participation of its eigenvector; ``"coordinates"``,
                one row a coordinate; ``"students"``, one row.

        Raises:
            UnknownName: No such table.
        """
        import pandas as pd

        identity = {"student": self.student, "teacher": self.modulus, "length": self.length}
        count = len(self.coordinates)
        columns: dict[str, Any]
        if table == "hessian":
            spread = self.participation.tolist()
            spread += [math.nan] * (count - len(spread))
            columns = {"index": range(count), "eigenvalue": self.eigenvalues.numpy(), "participation": spread}
        elif table == "coordinates":
            columns = {"index": range(count), "group": self.coordinates}
            columns |= {"hessian_diagonal": self.hessian.diagonal().numpy()}
            columns |= {"adam_learning_rate": self.adam_learning_rates.numpy()}
        elif table == "students":
            columns = {name: [value] for name, value in self._scalars().items()}
        else:
            raise UnknownName("table of a Hessian", table, get_args(HessianTable))
        return pd.DataFrame(identity | columns)

    def plot(self, **options: Any) -> Figure:
        """Eigenvalues, and Adam's learning rate of each coordinate against its own curvature.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.experiments.hessian_figure import plot_curvature

        tables = [self.to_dataframe(name).assign(seed=0) for name in get_args(HessianTable)]
        title = f"Curvature at the teacher, λ* = {self.modulus:g}, T = {self.length}"
        return plot_curvature(*tables, title=title, **options)

    def _scalars(self) -> dict[str, float]:
        return {
            "parameters": len(self.coordinates),
            "rank": self.rank,
            "diagonal_share": self.diagonal_share,
            "largest_eigenvalue": float(self.eigenvalues[0]),
            "median_recurrent_adam_learning_rate": self.median_recurrent_adam_learning_rate,
            "median_adam_learning_rate": self.median_adam_learning_rate,
            "adam_last_loss": self.adam_last_loss,
        }

    def _description(self) -> Description:
        found = self._scalars()
        groups = [f"{group} {self.coordinates.count(group)}" for group in dict.fromkeys(self.coordinates)]
        adam = {
            "Adam's rate, recurrence": number(found["median_recurrent_adam_learning_rate"]),
            "Adam's rate, all": number(found["median_adam_learning_rate"]),
            "Adam's last loss": number(self.adam_last_loss),
        }
        rows = {
            "rank": f"{self.rank:,} of {counted(len(self.coordinates), 'coordinate')} ({some(groups)})",
            "largest eigenvalue": number(found["largest_eigenvalue"]),
            "diagonal share": percent(self.diagonal_share),
            **adam,
        }
        overflow = () if self.status == "ok" else (f"status: {self.status}; Adam's run overflowed",)
        return Description(
            f"Curvature of {self.student} at its teacher, λ* = {number(self.modulus)}, T = {self.length:,}",
            list(rows.items()),
            remarks=(f"hessian {shape(self.hessian)}", *overflow),
        )


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
