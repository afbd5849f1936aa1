"""The Hessian at the teacher's solution against closed forms, double backward and simulated systems."""

import math

import numpy as np
import pytest
import torch

from gradscope.errors import UnknownName, UsageError
from gradscope.experiments.linear_students import LINEAR_STUDENTS
from gradscope.experiments.linear_teacher import linear_teacher
from gradscope.experiments.teacher_student import teacher_student_hessian
from gradscope.numerics.random_streams import random_stream
from tests.tolerances import RELATIVE

EXACT = RELATIVE[torch.float64]
GROUPS = {
    "dense": {"A": 16, "B": 4, "C": 4, "D": 1},
    "block-diagonal": {"A": 8, "B": 4, "C": 4, "D": 1},
    "complex-diagonal": {"lambda": 4, "B": 4, "C": 4, "D": 1},
    "lru": {"magnitude": 2, "angle": 2, "gamma": 2, "B": 4, "C": 4, "D": 1},
}


def quick(student, **options):
    return teacher_student_hessian(student, **{"modulus": 0.9, "length": 40, "adam_steps": 1, "batch": 2} | options)


def members(result, group):
    return [index for index, name in enumerate(result.coordinates) if name == group]


def outputs(parameters, student, x):
    """y_t by the equations of each student, one step and one unit at a time, complex numbers as Python writes them."""
    p = {name: value.detach().numpy() for name, value in parameters.items()}
    y = np.zeros(len(x))
    if student in ("dense", "block-diagonal"):
        for A, B, C in zip(p["A"], p["B"], p["C"], strict=True):
            h = np.zeros(len(B))
            for t, x_t in enumerate(x):
                h = A @ h + B * x_t
                y[t] += C @ h
    else:
        b, c = p["B"][:, 0] + 1j * p["B"][:, 1], p["C"][:, 0] + 1j * p["C"][:, 1]
        if student == "lru":
            poles = np.exp(-np.exp(p["magnitude"]) + 1j * np.exp(p["angle"]))
            b = np.exp(p["gamma"]) * b
        else:
            poles = p["lambda"][:, 0] + 1j * p["lambda"][:, 1]
        h = np.zeros(len(b), dtype=complex)
        for t, x_t in enumerate(x):
            h = poles * h + b * x_t
            y[t] += (c * h).real.sum()
    return y + p["D"] * x


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_teacher_is_real_and_its_eigenvalues_lie_on_the_ring(pairs, seed):
    teacher = linear_teacher(0.99, pairs, seed)
    moduli = torch.linalg.eigvals(teacher.A).abs()
    assert teacher.A.dtype == torch.float64
    assert len(teacher.poles) == pairs
    assert (teacher.poles.imag > 0).all()
    assert moduli.min() >= 0.99
    assert moduli.max() <= 0.993


@pytest.mark.parametrize("student", LINEAR_STUDENTS)
def test_student_answers_as_the_teacher_does(student):
    teacher = linear_teacher(0.95, seed=3)
    x = np.random.RandomState(0).standard_normal(37)
    h, expected = np.zeros(4), []
    for x_t in x:
        h = teacher.A.numpy() @ h + teacher.B.numpy() * x_t
        expected.append(teacher.C.numpy() @ h + teacher.D.item() * x_t)
    assert outputs(LINEAR_STUDENTS[student].at_teacher(teacher), student, x) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("student", LINEAR_STUDENTS)
@pytest.mark.parametrize("length", [1, 2, 7, 33])
def test_impulse_response_is_that_of_the_equations(student, length):
    entry = LINEAR_STUDENTS[student]
    parameters = {k: v * 1.01 for k, v in entry.at_teacher(linear_teacher(0.95, seed=3)).items()}
    impulse = np.eye(length)[0]
    response = entry.impulse_response(parameters, length).numpy()
    assert response == pytest.approx(outputs(parameters, student, impulse), rel=EXACT, abs=1e-12)


@pytest.mark.parametrize("student", LINEAR_STUDENTS)
def test_equals_the_hessian_of_the_population_loss(student):
    length = 40
    result, entry = quick(student, length=length, seed=1), LINEAR_STUDENTS[student]
    optimum = entry.at_teacher(linear_teacher(0.9, seed=1))
    target = entry.impulse_response(optimum, length)
    shapes = {name: value.shape for name, value in optimum.items()}
    flat = torch.cat([value.flatten() for value in optimum.values()])

    def population_loss(theta):
        parts = theta.split([math.prod(shape) for shape in shapes.values()])
        named = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        error = entry.impulse_response(named, length) - target
        return 0.5 * torch.stack([(error[: t + 1] ** 2).sum() for t in range(length)]).mean()

    expected = torch.func.hessian(population_loss)(flat)
    assert torch.allclose(result.hessian, expected, rtol=0, atol=EXACT * expected.abs().max().item())


@pytest.mark.parametrize("student", LINEAR_STUDENTS)
def test_equals_differences_of_simulated_outputs(student):
    """The population by brute force: central differences of simulated outputs, on all unit impulses as inputs."""
    length, step = 9, 1e-6
    result, entry = quick(student, length=length, seed=2), LINEAR_STUDENTS[student]
    optimum = entry.at_teacher(linear_teacher(0.9, seed=2))
    columns = []
    for name, value in optimum.items():
        for index in np.ndindex(*value.shape):
            moved = [{k: v.clone() for k, v in optimum.items()} for _ in range(2)]
            moved[0][name][index] += step
            moved[1][name][index] -= step
            # E over white x of a quadratic form of x is its sum over the unit vectors
            ends = [np.stack([outputs(m, student, unit) for unit in np.eye(length)]) for m in moved]
            columns.append((ends[0] - ends[1]) / (2 * step))
    columns = np.stack(columns)  # (P, unit vectors, T)
    expected = np.einsum("iut,jut->ij", columns, columns) / length
    assert result.hessian.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 4])
def test_complex_diagonal_has_its_closed_form(seed):
    """½ Re[A_ij u_i u_j + B_ij u_i conj u_j] with S(a, b) = (1 + ab)/(1 − ab)³, at an infinite horizon."""
    modulus, length = 0.6, 200
    # beyond the memory H_T = H_∞ − G/T exactly: two lengths give the limit
    short, long = (quick("complex-diagonal", modulus=modulus, length=k * length, seed=seed) for k in (1, 2))
    measured = (2 * long.hessian - short.hessian).numpy()[:4, :4]
    teacher = linear_teacher(modulus, seed=seed)
    poles, residues = teacher.poles.numpy(), teacher.residues.numpy()
    direction = [1, 1j]
    expected = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            (k, u), (m, v) = (i // 2, direction[i % 2]), (j // 2, direction[j % 2])
            product, conjugate = poles[k] * poles[m], poles[k] * poles[m].conjugate()
            s = (1 + product) / (1 - product) ** 3
            s_conj = (1 + conjugate) / (1 - conjugate) ** 3
            plain = residues[k] * residues[m] * s * u * v
            mixed = residues[k] * residues[m].conjugate() * s_conj * u * np.conj(v)
            expected[i, j] = 0.5 * (plain + mixed).real
    assert measured == pytest.approx(expected, rel=1e-6, abs=1e-9)
    q = abs(poles) ** 2
    assert np.trace(measured) == pytest.approx((abs(residues) ** 2 * (1 + q) / (1 - q) ** 3).sum(), rel=1e-6)


@pytest.mark.parametrize("student", LINEAR_STUDENTS)
def test_is_symmetric_and_positive_and_its_eigenvectors_diagonalise_it(student):
    result = quick(student)
    H, V = result.hessian, result.eigenvectors
    assert result.coordinates == tuple(name for name, count in GROUPS[student].items() for _ in range(count))
    assert torch.equal(H, H.mT)
    assert (result.eigenvalues >= 0).all()
    assert (result.eigenvalues.diff() <= 0).all()
    assert torch.allclose(V.mT @ V, torch.eye(len(V), dtype=V.dtype), atol=1e-12)
    assert torch.allclose(V @ torch.diag(result.eigenvalues) @ V.mT, H, atol=EXACT * H.abs().max().item())
    assert result.rank == 9  # a system of four states has 2 · 4 + 1 numbers that its outputs tell; the rest is basis


def test_fewer_steps_than_coordinates_leave_null_directions():
    result = quick("dense", length=7)
    assert result.eigenvectors.shape == (25, 25)
    assert result.rank == 7
    assert (result.eigenvalues[7:] == 0).all()


def share_of(group, result):
    """Squared weight of a group's coordinates in every eigenvector."""
    members = torch.tensor([name == group for name in result.coordinates])
    return result.eigenvectors[members].square().sum(dim=0)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_curvature_is_as_large_but_along_the_axes_where_the_recurrence_is_diagonal(seed):
    results = {name: teacher_student_hessian(name, seed=seed, adam_steps=1) for name in LINEAR_STUDENTS}
    dense, diagonal, lru = results["dense"], results["complex-diagonal"], results["lru"]
    assert abs(math.log10(dense.eigenvalues[0] / diagonal.eigenvalues[0])) < 1
    assert diagonal.diagonal_share > 0.9
    assert dense.diagonal_share < 0.5
    assert dense.participation[:4].mean() > 4
    assert diagonal.participation[:4].max() < 4.001  # four coordinates of λ and no others
    assert (share_of("lambda", diagonal)[:4] > 0.99).all()
    assert (share_of("angle", lru)[:2] > 0.99).all()
    assert lru.eigenvalues[2] < 0.05 * lru.eigenvalues[1]


def test_share_and_participation_of_known_matrices():
    result = quick("complex-diagonal")
    entries = result.hessian.numpy()
    assert result.diagonal_share == pytest.approx((np.diag(entries) ** 2).sum() / (entries**2).sum())
    expected = [1 / (v**4).sum() for v in result.eigenvectors.numpy().T[:9]]
    assert result.participation.tolist() == pytest.approx(expected)
    assert result.participation.shape == (9,)


@pytest.mark.parametrize("student", LINEAR_STUDENTS)
def test_adam_by_hand_has_the_same_learning_rates(student):
    length, batch, steps, rate, seed = 11, 3, 4, 2e-3, 6
    result = quick(student, length=length, batch=batch, adam_steps=steps, learning_rate=rate, seed=seed)
    entry = LINEAR_STUDENTS[student]
    optimum = entry.at_teacher(linear_teacher(0.9, seed=seed))
    target = entry.impulse_response(optimum, length)
    noise, inputs = random_stream("probes", seed), random_stream("inputs", seed)
    offsets = torch.from_numpy(noise.standard_normal(len(result.coordinates)))
    offsets = offsets.split([value.numel() for value in optimum.values()])
    theta = {
        name: (value * (1 + 1e-3 * offset.reshape(value.shape))).requires_grad_()
        for (name, value), offset in zip(optimum.items(), offsets, strict=True)
    }
    first = {name: torch.zeros_like(value) for name, value in theta.items()}
    second = {name: torch.zeros_like(value) for name, value in theta.items()}
    for step in range(1, steps + 1):
        x = torch.from_numpy(inputs.standard_normal((batch, length)))
        error = entry.impulse_response(theta, length) - target
        y = torch.stack([(error[: t + 1] * x[:, : t + 1].flip(1)).sum(1) for t in range(length)])
        loss = 0.5 * (y**2).mean()
        gradients = torch.autograd.grad(loss, list(theta.values()))
        with torch.no_grad():
            for (name, value), g in zip(theta.items(), gradients, strict=True):
                first[name] = 0.9 * first[name] + 0.1 * g
                second[name] = 0.999 * second[name] + 0.001 * g * g
                update = first[name] / (1 - 0.9**step)
                value -= rate * update / ((second[name] / (1 - 0.999**step)).sqrt() + 1e-8)
    expected = torch.cat([rate / ((v / (1 - 0.999**steps)).sqrt() + 1e-8).flatten() for v in second.values()])
    assert torch.allclose(result.adam_learning_rates, expected, rtol=1e-6)
    assert result.adam_last_loss == pytest.approx(loss.item(), rel=1e-6)


def test_adam_stays_near_the_optimum_and_slows_down_where_it_is_steep():
    result = teacher_student_hessian("lru")
    assert result.adam_last_loss < 1e-6
    rates = result.adam_learning_rates
    assert rates[members(result, "angle")].max() < 0.01 * rates[members(result, "magnitude")].min()


def test_an_overflow_of_adam_is_a_status():
    assert quick("lru").status == "ok"
    diverged = quick("dense", length=300, adam_steps=3, learning_rate=100.0)
    assert diverged.status == "non-finite"
    assert torch.isfinite(diverged.hessian).all()


def test_same_seed_same_numbers_and_another_seed_another_teacher():
    first, again, other = quick("dense"), quick("dense"), quick("dense", seed=1)
    assert torch.equal(first.hessian, again.hessian)
    assert torch.equal(first.adam_learning_rates, again.adam_learning_rates)
    assert not torch.equal(first.hessian, other.hessian)


def test_global_generators_are_left_alone():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    quick("lru")
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()


def test_refuses_what_it_cannot_measure():
    with pytest.raises(UnknownName, match=r"no student called 'block-diagnoal'. Did you mean 'block-diagonal'"):
        quick("block-diagnoal")
    with pytest.raises(UsageError, match="modulus should lie between 0 and 1, exclusive, but 1 was given"):
        quick("dense", modulus=1.0)
    with pytest.raises(UsageError, match="at least one pair of eigenvalues, but pairs=0"):
        quick("dense", pairs=0)
    with pytest.raises(UsageError, match="No matrix of 60 complex pairs"):
        linear_teacher(0.9, pairs=60, draws=3)
    with pytest.raises(UsageError, match="learning_rate should be positive, but 0 was given"):
        quick("dense", learning_rate=0.0)
    for name in ("length", "adam_steps", "batch"):
        with pytest.raises(UsageError, match=f"{name} should be 1 or more, but 0 was given"):
            quick("dense", **{name: 0})
