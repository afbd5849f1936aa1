"""What theory refuses and the sentence it says, and values of ω far outside."""

import math

import numpy as np
import pytest
import torch

from gradscope.errors import UnknownName, UsageError
from gradscope.theory import (
    PARAMETRIZATIONS,
    Autocorrelation,
    domega_power,
    estimate,
    gamma,
    gamma_slope,
    moments,
    sensitivity,
    state_power,
)

ARRAY = np.array([0.9, 0.99])
DATA = np.random.RandomState(0).standard_normal((2, 30, 3))


@pytest.mark.parametrize("values", [ARRAY, [0.9, 0.99], torch.tensor([0.9, 0.99])], ids=["array", "list", "tensor"])
@pytest.mark.parametrize("of", [state_power, sensitivity, moments, domega_power, lambda v: gamma("none", v)])
def test_several_lambdas_at_once_are_refused(of, values):
    with pytest.raises(UsageError, match=r"takes one λ at a time, but an array of shape .*2.* was given"):
        of(values)


def test_numbers_of_other_libraries_are_taken():
    expected = sensitivity(0.5)
    assert sensitivity(np.float32(0.5)) == sensitivity(np.complex128(0.5)) == expected
    assert sensitivity(torch.tensor(0.5)) == sensitivity(np.array(0.5)) == expected
    assert sensitivity(0.5, np.float64(0.3), np.int64(7)) == sensitivity(0.5, 0.3, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.nan,), "λ should be a finite number, but nan was given"),
        ((1.0,), r"infinite horizon needs \|λ\| below 1, but \|λ\| is 1"),
        ((-1.2,), r"infinite horizon needs \|λ\| below 1, but \|λ\| is 1\.2"),
        ((1.5, 0.0, 10), r"\|λ\| of at most 1 and at least one step, but \|λ\| is 1\.5 and the length 10"),
        ((0.5, 0.0, 0), "at least one step, but .* the length 0"),
        ((0.5, 0.0, 2.5), "at least one step, but .* the length 2.5"),
        ((0.5, 0.0, math.nan), "at least one step, but .* the length nan"),
        ((0.5, 1.1), r"ρ of neighbouring inputs lies in \[−1, 1\], but 1\.1 was given"),
        ((0.5, -1.1), r"lies in \[−1, 1\], but -1\.1 was given"),
        ((0.5, math.nan), r"lies in \[−1, 1\], but nan was given"),
        ((0.5, ARRAY), r"ρ is one number, but an array of shape \(2,\) was given; for measured R\(Δ\) give"),
    ],
)
def test_what_moments_refuse(arguments, message):
    for of in (moments, state_power, sensitivity):
        with pytest.raises(UsageError, match=message):
            of(*arguments)
    with pytest.raises(UsageError, match=message):
        domega_power(arguments[0], "direct", "none", *arguments[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1.0, 2.0), (0.5,)), "Every process has a weight and a ρ: 2 and 1 were given"),
        (((-1.0,), (0.5,)), "Variances are finite and not negative"),
        (((math.inf,), (0.5,)), "Variances are finite"),
        (((), (), (1.0, math.nan)), "are the values of R.* finite"),
        (((0.0,), (0.5,)), "variance 0 drives nothing"),
        (((), ()), "variance 0 drives nothing"),
    ],
)
def test_what_autocorrelations_refuse(arguments, message):
    with pytest.raises(UsageError, match=message):
        Autocorrelation(*arguments)


def test_the_border_of_the_unit_circle_is_defined_at_finite_length():
    assert math.isclose(state_power(-1.0, 0.0, 7), 7)
    assert math.isclose(domega_power(1.0, "direct", "none", 0.0, 7), 6 * 7 * 13 / 6)
    assert gamma("sqrt", 1.0) == gamma("coupled", 1j) == 0
    assert math.isclose(sensitivity(0.5, -1.0), sensitivity(-0.5, 1.0), rel_tol=1e-12)


def test_what_normalisations_refuse():
    with pytest.raises(UsageError, match=r"'sqrt' needs \|λ\| of at most 1, but \|λ\| is 1\.2"):
        gamma("sqrt", 1.2)
    with pytest.raises(UsageError, match=r"infinite horizon needs \|λ\| below 1"):
        gamma("exact", 1.0)
    with pytest.raises(UsageError, match=r"needs \|λ\| below 1"):
        gamma_slope("sqrt", 1.0)
    with pytest.raises(UnknownName, match="Did you mean 'sqrt'"):
        gamma_slope("sqr", 0.9)
    impossible = Autocorrelation((), (), (1.0, -0.9))  # no process has it
    with pytest.raises(UsageError, match=r"gives E\|s\|² = -.* which no input has"):
        gamma("exact", 0.9, impossible)


REACH = {
    "direct": (-math.inf, math.inf),
    "polar": (-math.inf, math.inf),
    "tanh": (-1, 1),
    "exp-exp": (0, 1),
    "log-delta": (0, 1),
    "sigmoid": (0, 1),
    "softplus": (0, 1),
}


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_what_each_parametrisation_reaches(name):
    how, (least, most) = PARAMETRIZATIONS[name], REACH[name]
    for nu in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan):
        assert how.reaches(nu) == (least < nu < most)
        if how.reaches(nu):
            assert math.isclose(how.value(how.inverse(nu)), nu, rel_tol=1e-12)
            assert how.factor(nu) >= 0 or name == "polar"
            continue
        for of in (how.inverse, how.factor):
            with pytest.raises(
                UsageError, match=f"parametrization '{name}' reaches values of .*, but {nu:g} was given"
            ):
                of(nu)


def test_the_range_of_a_parametrisation_is_said():
    with pytest.raises(UsageError, match="'exp-exp' reaches values of λ above 0 and below 1, but 1 was given"):
        PARAMETRIZATIONS["exp-exp"].inverse(1.0)
    with pytest.raises(UsageError, match="'tanh' reaches values of λ above -1 and below 1, but 1 was given"):
        PARAMETRIZATIONS["tanh"].inverse(1.0)
    with pytest.raises(UsageError, match="'polar' reaches values of arg λ that are finite, but inf was given"):
        PARAMETRIZATIONS["polar"].inverse(math.inf)
    with pytest.raises(UsageError, match="'sigmoid' reaches"):
        domega_power(0.0, "sigmoid")


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_values_far_outside_do_not_overflow(name):
    how = PARAMETRIZATIONS[name]
    ends = [how.value(omega) for omega in (-1e308, -800.0, 800.0, 1e308)]
    assert all(math.isfinite(end) for end in ends)
    limits = {"sigmoid": (0, 1), "tanh": (-1, 1), "softplus": (1, 0), "exp-exp": (1, 0), "log-delta": (1, 0)}
    if name in limits:
        assert (ends[0], ends[-1]) == limits[name]
    if name == "sigmoid":
        assert math.isclose(how.value(-700.0), math.exp(-700.0), rel_tol=1e-12)


@pytest.mark.parametrize(
    ("data", "longest", "message"),
    [
        (DATA[0], 3, r"from data \(sequences, time, features\), not of shape \(30, 3\)"),
        (DATA[:, :0], 3, r"not of shape \(2, 0, 3\)"),
        (DATA[:, :1], 3, "sequences of at least two steps, but the data have one"),
        (DATA, -1, "largest Δ is 0 or more, but -1 was given"),
        (np.where(DATA[1, 4, 2] == DATA, np.nan, DATA), 3, "hold nan in sequence 2, row 5, column 3"),
        (DATA * [1, 1, 0] + 2, 3, "Column 3 is constant: nothing drives the recursion there; leave the column out"),
    ],
)
def test_what_estimates_refuse(data, longest, message):
    with pytest.raises(UsageError, match=message):
        estimate(data, longest)
