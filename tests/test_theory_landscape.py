"""The loss surface next to its optimum and next to 1, against the definition in 120 decimal digits."""

import decimal
import math
from decimal import Decimal

import pytest

from gradscope.errors import UsageError
from gradscope.theory import PARAMETRIZATIONS, landscape

DIGITS = 120
STEP = Decimal(10) ** -35  # of ω: differences of 120 digits leave more than 40 correct ones
RELATIVE = 1e-11
MODULI = [name for name, entry in PARAMETRIZATIONS.items() if not entry.is_angle]
PAIRS = [  # student, teacher
    (0.9, 0.99),
    (0.5, 0.5000001),
    (0.99, 0.99 + 1e-9),
    (0.99 + 1e-13, 0.99),
    (1 - 1e-6, 1 - 1.000001e-6),
    (1 - 1e-7, 0.9999),
    (0.3, 1 - 1e-7),
]
NEXT_TO_MINUS_1 = (-1 + 1e-6, -1 + 1.1e-6, -0.5)


def value_of(name):
    return {
        "direct": lambda omega: omega,
        "exp-exp": lambda omega: (-omega.exp()).exp(),
        "log-delta": lambda omega: (-omega.exp()).exp(),
        "sigmoid": lambda omega: 1 / (1 + (-omega).exp()),
        "softplus": lambda omega: 1 / (1 + omega.exp()),
        "tanh": lambda omega: 1 - 2 / ((2 * omega).exp() + 1),
    }[name]


def omega_of(name):
    return {
        "direct": lambda nu: nu,
        "exp-exp": lambda nu: (-nu.ln()).ln(),
        "log-delta": lambda nu: (-nu.ln()).ln(),
        "sigmoid": lambda nu: (nu / (1 - nu)).ln(),
        "softplus": lambda nu: ((1 - nu) / nu).ln(),
        "tanh": lambda nu: ((1 + nu) / (1 - nu)).ln() / 2,
    }[name]


def exact(student, teacher, parametrization, normalization, rho):
    """Loss, gradient and curvature by the definition, ½ [γ² F(λ, λ) + γ*² F(λ*, λ*) − 2 γ γ* F(λ, λ*)]."""
    student, teacher, rho = Decimal(student), Decimal(teacher), Decimal(rho)

    def generating(a, b):
        return (1 - rho * rho * a * b) / ((1 - a * b) * (1 - rho * a) * (1 - rho * b))

    def loss(omega):
        nu = value_of(parametrization)(omega)
        own, other = ((1 - v * v).sqrt() if normalization == "sqrt" else Decimal(1) for v in (nu, teacher))
        crossed = own * other * generating(nu, teacher)
        return (own**2 * generating(nu, nu) + other**2 * generating(teacher, teacher)) / 2 - crossed

    with decimal.localcontext() as context:
        context.prec = DIGITS
        omega = omega_of(parametrization)(student)
        below, at, above = (loss(omega + k * STEP) for k in (-1, 0, 1))
        return float(at), float((above - below) / (2 * STEP)), float((above - 2 * at + below) / STEP**2)


def same(point, reference, student, teacher):
    """All digits; where loss hardly changes, far from the teacher, slopes to the digits of loss over distance."""
    mine, distance = (point.loss, point.gradient, point.curvature), abs(student - teacher)
    return all(
        math.isclose(number, expected, rel_tol=RELATIVE, abs_tol=1e-14 * point.loss / distance**order)
        for order, (number, expected) in enumerate(zip(mine, reference, strict=True))
    )


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("normalization", ["none", "sqrt"])
def test_loss_gradient_and_curvature_keep_their_digits(student, teacher, normalization, rho):
    for name in MODULI:
        mine = landscape(student, teacher, name, normalization, rho)
        reference = exact(student, teacher, name, normalization, rho)
        assert same(mine, reference, student, teacher), (name, mine, reference)


@pytest.mark.parametrize(
    ("student", "teacher", "rho"), [(-0.9, -0.99, 0.5), (-0.3, 0.5, -0.7), (0.99, -0.2, -0.9), NEXT_TO_MINUS_1]
)
@pytest.mark.parametrize("normalization", ["none", "sqrt"])
def test_negative_values(student, teacher, rho, normalization):
    for name in ("direct", "tanh") if student < 0 else MODULI:
        mine = landscape(student, teacher, name, normalization, rho)
        reference = exact(student, teacher, name, normalization, rho)
        assert same(mine, reference, student, teacher), (name, mine, reference)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12])
def test_white_loss_next_to_the_optimum(distance):
    teacher = 0.99
    student = teacher + distance
    product = (1 - student**2) * (1 - teacher**2) * (1 - student * teacher)
    expected = 0.5 * (student - teacher) ** 2 * (1 + student * teacher) / product
    assert math.isclose(landscape(student, teacher).loss, expected, rel_tol=1e-12)
    assert landscape(teacher, teacher).loss == landscape(teacher, teacher).gradient == 0


def test_students_that_a_parametrisation_does_not_reach_are_refused():
    with pytest.raises(UsageError, match=r"'sigmoid' reaches values of λ above 0 and below 1, but -0\.5 was given"):
        landscape(-0.5, 0.9, "sigmoid")
    with pytest.raises(UsageError, match=r"one number each; \[0\.5"):
        landscape([0.5, 0.6], 0.9)
    with pytest.raises(UsageError, match=r"below 1 in modulus and ρ in \[−1, 1\].* 1\.5 were given"):
        landscape(0.5, 0.9, rho=1.5)
    with pytest.raises(UsageError, match=r"nan, 0\.9 and 0\.0 were given"):
        landscape(math.nan, 0.9)
