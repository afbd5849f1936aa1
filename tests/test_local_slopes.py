"""Exponents over draws of weights: their errors cover as often as they say, and what is no power law is told."""

import math

import numpy as np
import pytest

from gradscope.measurements.stability import FALSE_ALARMS, SAME_SLOPE
from gradscope.numerics.fits import (
    exponent_of_draws,
    fit_exponent,
    local_slopes,
    slopes_disagree,
    slopes_of_draws,
    slopes_of_samples,
)
from gradscope.numerics.student import probability_beyond, student_bound

EPSILON = np.array([0.1, 0.0178, 0.00316, 0.000562])
REPETITIONS, ERRORS = 1500, 4.0
INSIDE = 0.9545  # of a normal distribution, within two standard errors


def draws_of(random, count, exponent=-2.0, of_weights=0.7, of_samples=0.3, bend=0.0):
    """Mean squares of draws that have exponents of their own, and noise at every λ, ``(lambdas, draws)``."""
    x = np.log10(EPSILON)[:, None]
    slopes = exponent + of_weights * random.standard_normal(count)
    bent = bend * np.maximum(0, -2.5 - x)  # from 1 − λ = 0.003 on
    return 10 ** (slopes * x + bent + of_samples * random.standard_normal((len(EPSILON), count)))


@pytest.mark.parametrize("share", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 30])
def test_students_bound_is_where_the_probability_says(share, freedom):
    assert math.isclose(probability_beyond(student_bound(share, freedom), freedom), 1 - share, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("freedom", "bound"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (7, 2.365), (31, 2.040), (1000, 1.962)]
)
def test_students_bounds_of_the_tables(freedom, bound):
    assert student_bound(0.95, freedom) == pytest.approx(bound, abs=5e-4)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_two_standard_errors_cover_as_often_as_two_of_a_normal_distribution(count):
    random = np.random.RandomState(0)
    fits = [exponent_of_draws(EPSILON, draws_of(random, count)) for _ in range(REPETITIONS)]
    inside = np.mean([abs(fit.exponent + 2.0) < 2 * fit.standard_error for fit in fits])
    assert abs(inside - INSIDE) < ERRORS * math.sqrt(INSIDE * (1 - INSIDE) / REPETITIONS)


def test_the_scatter_of_samples_of_few_draws_is_no_error_of_an_exponent():
    """What was wrong before: sequences that share their weights were taken for independent."""
    random = np.random.RandomState(0)
    inside = []
    for _ in range(200):
        by_draw = draws_of(random, 1, of_samples=0.0)
        powers = by_draw * random.chisquare(8, (len(EPSILON), 16)) / 8
        fit = fit_exponent(EPSILON, powers)
        inside.append(abs(fit.exponent + 2.0) < 2 * fit.standard_error)
    assert np.mean(inside) < 0.3


def test_one_draw_has_an_exponent_without_error():
    fit = exponent_of_draws(EPSILON, EPSILON[:, None] ** -3.0)
    assert fit.exponent == pytest.approx(-3)
    assert math.isnan(fit.standard_error)


def test_a_draw_with_a_zero_is_left_out():
    powers = np.stack([EPSILON**-3.0, EPSILON**-1.0, 0 * EPSILON], axis=1)
    assert exponent_of_draws(EPSILON, powers).exponent == pytest.approx(-2)
    assert np.allclose(slopes_of_draws(EPSILON, powers), [[-3, -1]] * 3)
    nothing = exponent_of_draws(EPSILON, powers[:, 2:])
    assert math.isnan(nothing.exponent)


def alarms(count, **options):
    random = np.random.RandomState(1)
    found = [slopes_of_draws(EPSILON, draws_of(random, count, **options)) for _ in range(REPETITIONS)]
    return np.mean([slopes_disagree(one, within=SAME_SLOPE, false_alarms=FALSE_ALARMS) for one in found])


@pytest.mark.parametrize("count", [2, 3, 4, 8])
@pytest.mark.parametrize("of_samples", [0.02, 0.3, 1.5])
def test_a_power_law_is_taken_for_none_as_seldom_as_is_said(count, of_samples):
    assert alarms(count, of_samples=of_samples) <= FALSE_ALARMS


@pytest.mark.parametrize("count", [4, 8])
def test_bends_within_what_is_allowed_are_a_power_law(count):
    assert alarms(count, of_samples=0.1, bend=0.9 * SAME_SLOPE) <= FALSE_ALARMS


def test_a_bend_beyond_its_error_is_no_power_law():
    assert alarms(4, of_samples=0.1, bend=3.0) > 0.9
    assert alarms(8, of_samples=0.3, bend=3.0) > 0.9


def test_nothing_is_told_where_nothing_can_be_compared():
    options = {"within": SAME_SLOPE, "false_alarms": FALSE_ALARMS}
    assert not slopes_disagree(np.array([[-3.0, -3.1]]), **options)  # one interval
    assert not slopes_disagree(np.array([[-3.0], [0.0]]), **options)  # one draw
    assert not slopes_disagree(np.array([[-3.0, -3.0], [math.nan, 0.0]]), **options)
    assert slopes_disagree(np.array([[-3.0, -3.0], [0.0, 0.0]]), **options)  # without any scatter
    assert not slopes_disagree(np.array([[-3.0, -3.0], [-2.6, -2.6]]), **options)


def test_pseudo_values_have_the_slopes_and_the_errors_of_the_samples():
    random = np.random.RandomState(2)
    powers = EPSILON[:, None] ** -3.0 * random.chisquare(1, 4096)  # every λ on the same samples
    powers *= random.chisquare(20, powers.shape) / 20
    slopes = slopes_of_samples(EPSILON, powers)
    assert slopes.shape == (3, 32)
    assert np.allclose(slopes.mean(axis=1), local_slopes(EPSILON, powers.mean(axis=1)), atol=2e-3)
    fit, jackknifed = fit_exponent(EPSILON, powers), slopes_of_samples(EPSILON[[0, 3]], powers[[0, 3]])[0]
    ends = fit_exponent(EPSILON[[0, 3]], powers[[0, 3]])
    assert ends.standard_error == pytest.approx(jackknifed.std(ddof=1) / math.sqrt(32), rel=1e-9)
    assert abs(fit.exponent + 3) < 4 * fit.standard_error
