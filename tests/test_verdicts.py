"""Verdicts on numbers that are known: what is changed, what is not, and in which words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradscope.commands.check.compare_case import compare_baselines, compare_case, compare_cases, max_shift_decades
from gradscope.commands.check.compare_statistic import LEAST_TOLERANCE_DECADES
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase
from gradscope.commands.check.sentences import definition_differences, described
from gradscope.commands.check.statistic import WEIGHT_GRADIENT_NORM, Statistic, StatisticName
from gradscope.commands.check.verdict import CaseVerdict, exit_code
from tests.synthetic_cases import ENVIRONMENT, PROFILE, SLOPE, STEPS, WEIGHTS, baseline, case, entry, moved

BACK = np.array([-0.189 if step < 190 else 0.0 for step in STEPS])  # what a smaller forget bias does


def verdict(base: MeasuredCase | None, new: MeasuredCase | FailedCase, **options: Any) -> CaseVerdict:
    """Of one case through the whole comparison."""
    entries = {} if base is None else {base.name: entry(base)}
    (found,) = compare_cases(entries, [new], environment=ENVIRONMENT, **options)
    return found


def test_the_same_numbers_are_ok() -> None:
    found = verdict(case(), case())
    assert (found.outcome, found.kind, found.cause, exit_code([found])) == ("ok", "", "", 0)
    assert found.sentence == "lstm: 3 statistics agree to the last bit (tolerance 0.01)."


def test_a_change_says_which_case_how_much_from_which_step_on_and_why() -> None:
    found = verdict(case(), moved(case(), {PROFILE: BACK}, weights_hash="others"))
    assert (found.outcome, found.kind, found.cause, exit_code([found])) == (
        "changed",
        "vanishing more",
        "initialisation",
        1,
    )
    assert found.sentence == (
        "lstm: gradients vanish more: log10‖∂L/∂h_1‖ at T=200 fell by 0.189 decades in seed 0 (median -0.189, "
        "tolerance 0.01, noise 3e-15), beyond it from step 188 back to step 1, in 5 of 5 seeds; the initial weights "
        "differ."
    )
    assert found.decisive is not None
    assert (found.decisive.from_step, found.decisive.to_step, found.decisive.step) == (188, 1, 1)


def test_equal_weights_mean_other_dynamics() -> None:
    found = verdict(case(), moved(case(), {PROFILE: -BACK}))
    assert (found.kind, found.cause) == ("exploding more", "dynamics")
    assert "the initial weights are the same, so the dynamics differ" in found.sentence


def test_weights_of_an_own_module_never_make_a_case_incomparable() -> None:
    base, new = case(is_own=True), case(is_own=True, weights_hash="others")
    assert verdict(base, new).outcome == "ok"
    assert verdict(base, moved(new, {PROFILE: BACK})).cause == "initialisation"


def test_one_seed_at_one_step_is_enough() -> None:
    shift = np.zeros((5, len(STEPS)))
    shift[3, 2] = 0.011
    found = verdict(case(), moved(case(), {PROFILE: shift}))
    assert found.outcome == "changed"
    assert found.decisive is not None
    assert (found.decisive.seed, found.decisive.step, found.decisive.seeds_beyond) == (3, STEPS[2], 1)
    assert "beyond it at step 120 alone, in 1 of 5 seeds" in found.sentence


def test_a_sign_error_whose_median_is_zero_is_changed() -> None:
    """Shifts of five seeds that were measured for the wrong sign of one gate's bias."""
    shifts = np.array([[0.026], [-0.083], [-0.013], [-0.003], [0.005]])
    assert abs(np.median(shifts)) < LEAST_TOLERANCE_DECADES
    found = verdict(case(), moved(case(), {SLOPE: shifts}))
    assert found.outcome == "changed"
    assert found.decisive is not None
    assert (found.decisive.seed, found.decisive.shift_decades) == (1, pytest.approx(-0.083))
    assert found.kind == "shifted"  # seeds move both ways


def test_seeds_within_the_tolerance_have_no_say_in_the_direction() -> None:
    assert verdict(case(), moved(case(), {SLOPE: np.array([[0.005], [-0.2], [0.009], [-0.1], [0.0]])})).kind == (
        "vanishing more"
    )


def test_gaps_are_told() -> None:
    shift = np.array([-0.2, 0.0, -0.1, 0.0, 0.0, 0.0])
    assert "from step 120 back to step 1, with gaps" in verdict(case(), moved(case(), {PROFILE: shift})).sentence


@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_the_same_shift_at_every_step_leaves_the_way_back_alone(shift: float) -> None:
    found = verdict(case(), moved(case(), {PROFILE: shift}))
    assert (found.outcome, found.kind) == ("changed", "shifted")


def test_weight_gradients_alone_are_shifted() -> None:
    found = verdict(case(), moved(case(), {WEIGHTS: 0.2}))
    assert (found.outcome, found.kind) == ("changed", "shifted")
    assert "log10‖∂L/∂weight_hh‖ at T=200 rose by 0.2 decades" in found.sentence


def test_a_parameter_that_is_called_like_a_rate_is_none() -> None:
    slope = StatisticName(WEIGHT_GRADIENT_NORM, 200, "slope")
    base = case(statistics={slope: case().statistics[WEIGHTS]})
    assert verdict(base, moved(base, {slope: -0.2})).kind == "shifted"


@pytest.mark.parametrize(("shift", "kind"), [(-0.2, "vanishing more"), (0.2, "exploding more")])
def test_rates_tell_the_direction_as_well(shift: float, kind: str) -> None:
    assert verdict(case(), moved(case(), {SLOPE: shift})).kind == kind


@pytest.mark.parametrize("tolerance", [None, 0.001, 0.02, 0.5])
@pytest.mark.parametrize("noise", [1e-16, 1e-6, 1e-3, 4e-3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_tolerance_is_the_largest_of_three(tolerance: float | None, noise: float, sign: int) -> None:
    expected = max(tolerance or 0, 0.01, 10 * noise)
    random = np.random.RandomState([7, int(noise * 1e9)])
    for name in (PROFILE, SLOPE, WEIGHTS):
        base = case(noise=noise)
        shape = base.statistics[name].values.shape
        within = moved(base, {name: expected * random.uniform(-0.99, 0.99, shape)})
        assert verdict(base, within, tolerances={"lstm": tolerance}).outcome == "ok"
        beyond = np.zeros(shape)
        beyond[random.randint(shape[0]), random.randint(shape[1])] = sign * 1.01 * expected
        assert verdict(base, moved(base, {name: beyond}), tolerances={"lstm": tolerance}).outcome == "changed"


@pytest.mark.parametrize("quieter", ["base", "new"])
def test_the_noisier_side_decides(quieter: str) -> None:
    loud = case(noise=2e-3)
    new = moved(case(), {SLOPE: 0.015})
    if quieter == "base":
        base, new = (
            case(),
            MeasuredCase(
                **(
                    vars(new)
                    | {"statistics": {k: Statistic(s.values, s.steps, 2e-3) for k, s in new.statistics.items()}}
                )
            ),
        )
    else:
        base = loud
    assert verdict(base, new).outcome == "ok"
    assert verdict(case(), moved(case(), {SLOPE: 0.015})).outcome == "changed"


def test_verdicts_do_not_depend_on_the_order_of_seeds_and_are_two_sided() -> None:
    random = np.random.RandomState(3)
    for _ in range(50):
        shift = random.choice([0.0, 0.005, 0.02], (5, len(STEPS))) * random.choice([-1, 1], (5, len(STEPS)))
        base = case()
        there = verdict(base, moved(base, {PROFILE: shift}))
        back = verdict(moved(base, {PROFILE: shift}), base)
        shuffled = verdict(base, moved(base, {PROFILE: shift[::-1]}))
        assert there.outcome == back.outcome == shuffled.outcome
        assert there.outcome == ("changed" if (np.abs(shift) > 0.01).any() else "ok")
        opposite = {"vanishing more": "exploding more", "exploding more": "vanishing more"}
        assert opposite.get(there.kind, there.kind) == back.kind


class TestExactZeros:
    def zero(self, numbers: MeasuredCase) -> MeasuredCase:
        values = numbers.statistics[PROFILE].values.copy()
        values[2, 0] = -math.inf
        changed = Statistic(values, STEPS, 3e-15)
        return MeasuredCase(**(vars(numbers) | {"statistics": dict(numbers.statistics) | {PROFILE: changed}}))

    def test_equal_each_other(self) -> None:
        found = verdict(self.zero(case()), self.zero(case()))
        assert found.outcome == "ok"
        assert all(statistic.shift_decades == 0 for statistic in found.statistics)
        assert max_shift_decades(self.zero(case()), self.zero(case())) == 0
        beside = verdict(self.zero(case()), moved(self.zero(case()), {PROFILE: BACK}))
        assert beside.decisive is not None
        assert beside.decisive.shift_decades == pytest.approx(-0.189)

    def test_against_a_number_are_changed_by_infinity(self) -> None:
        found = verdict(case(), self.zero(case()))
        assert (found.outcome, found.kind) == ("changed", "vanishing more")
        assert "became exactly 0 (−inf) in seed 2" in found.sentence
        assert max_shift_decades(case(), self.zero(case())) == math.inf
        back = verdict(self.zero(case()), case())
        assert "is no longer exactly 0" in back.sentence
        assert back.kind == "exploding more"


class TestNotANumber:
    broken = moved(case(), {PROFILE: np.array([0, math.nan, 0, 0, 0, 0])})

    @pytest.mark.parametrize("base", [case(), broken, None], ids=["a number", "NaN as well", "nothing"])
    def test_in_the_new_numbers_is_failed(self, base: MeasuredCase | None) -> None:
        found = verdict(base, self.broken)
        assert (found.outcome, exit_code([found])) == ("failed", 4)
        assert found.sentence.startswith("lstm: T=200 log10_norm h is not a number (NaN) in seed 0, 1, 2, 3, 4;")

    def test_in_the_baseline_is_incomparable(self) -> None:
        found = verdict(self.broken, case())
        assert (found.outcome, exit_code([found])) == ("incomparable", 3)
        assert "of the baseline is not a number (NaN)" in found.sentence


class TestRobustTier:
    @staticmethod
    def noisy(noise: float, shift: Any, seeds: int = 5) -> CaseVerdict:
        base = case(seeds=seeds, noise=noise)
        return verdict(base, moved(base, {PROFILE: shift, SLOPE: np.asarray(shift)[..., :1]}))

    def test_one_seed_is_not_enough(self) -> None:
        shift = np.zeros((5, len(STEPS)))
        shift[1] = 3.0
        assert self.noisy(0.1, shift).outcome == "ok"

    def test_a_common_shift_is_changed(self) -> None:
        found = self.noisy(0.1, np.full((5, len(STEPS)), -0.4))
        assert (found.outcome, found.kind) == ("changed", "vanishing more")
        assert "fell by 0.4 decades in the median over 5 seeds (tolerance 0.3" in found.sentence

    def test_seeds_that_do_not_agree_are_not(self) -> None:
        shift = np.array([[0.5], [0.6], [0.4], [0.7], [-0.1]]) * np.ones(len(STEPS))
        assert self.noisy(0.1, shift).outcome == "ok"

    def test_other_steps_do_not_count(self) -> None:
        assert self.noisy(0.1, np.array([0.0, 5, 5, 5, 5, 5])).outcome == "ok"

    def test_what_rounding_moves_too_far_is_noisy(self) -> None:
        found = self.noisy(2.0, np.zeros((5, len(STEPS))))
        assert found.outcome == "noisy"
        assert "rounding alone moves" in found.sentence
        assert exit_code([found]) == 0  # its medians were compared, within 2.7 decades
        assert exit_code([found, verdict(case("gru"), case("gru"))]) == 0
        assert self.noisy(2.0, np.full((5, len(STEPS)), -3.0)).outcome == "changed"

    def test_beside_a_quiet_statistic_it_is_no_reason_to_stop(self) -> None:
        base = case(noise=2.0)
        quiet = dict(base.statistics) | {WEIGHTS: case().statistics[WEIGHTS]}
        base = MeasuredCase(**(vars(base) | {"statistics": quiet}))
        found = verdict(base, base)
        assert (found.outcome, exit_code([found])) == ("noisy", 0)
        assert found.sentence.startswith("lstm: 2 of 3 statistics cannot be judged")
        assert verdict(base, moved(base, {WEIGHTS: 0.02})).outcome == "changed"

    @pytest.mark.parametrize("noise", [math.inf, math.nan])
    def test_noise_without_bound_is_noisy(self, noise: float) -> None:
        found = self.noisy(noise, np.zeros((5, len(STEPS))))
        assert found.outcome == "noisy"
        assert exit_code([found]) == 3  # nothing could be judged

    @pytest.mark.parametrize("seeds", [3, 5, 10])
    @pytest.mark.parametrize("noise", [0.02, 0.3, 1.5])
    def test_rounding_of_a_chaotic_case_is_no_alarm(self, seeds: int, noise: float) -> None:
        """Seeds that move independently, as far as the measured noise: a false alarm in fewer than 1 of 1000."""
        random = np.random.RandomState(11)
        alarms = 0
        for _ in range(1000):
            shift = random.uniform(-noise, noise, (seeds, 1)) * np.ones(len(STEPS))
            alarms += self.noisy(noise, shift, seeds).outcome == "changed"
        assert alarms <= 1


class TestIncomparable:
    def test_another_architecture_under_the_same_name_shows_what_differs(self) -> None:
        other = case(definition={"architecture": "gru", "hidden_size": 8, "options": {}})
        found = verdict(other, case())
        assert (found.outcome, exit_code([found])) == ("incomparable", 3)
        assert found.sentence == (
            "lstm: another definition stands under this name: architecture was 'gru' and is 'lstm', "
            "options.forget_bias was not there and is 1.0; write it with gradscope baseline record --case 'lstm'."
        )

    def test_other_draws(self) -> None:
        found = verdict(case(stream_hash="another"), case())
        assert found.outcome == "incomparable"
        assert "the raw random numbers differ" in found.sentence

    def test_the_environment_is_mentioned(self) -> None:
        old = entry(case(stream_hash="another"), ENVIRONMENT | {"torch": "2.5.0"})
        (found,) = compare_cases({"lstm": old}, [case()], environment=ENVIRONMENT)
        assert "Measured elsewhere: torch 2.5.0 → 2.13.0." in found.sentence
        (found,) = compare_cases(
            {"lstm": entry(case(), ENVIRONMENT | {"torch": "2.5.0"})},
            [moved(case(), {PROFILE: BACK})],
            environment=ENVIRONMENT,
        )
        assert found.sentence.endswith("so the dynamics differ; measured elsewhere: torch 2.5.0 → 2.13.0.")

    @pytest.mark.parametrize("lost_by", ["base", "new"])
    def test_a_missing_column(self, lost_by: str) -> None:
        whole = case()
        part = MeasuredCase(**(vars(whole) | {"statistics": {PROFILE: whole.statistics[PROFILE]}}))
        found = verdict(part, whole) if lost_by == "base" else verdict(whole, part)
        assert found.outcome == "incomparable"
        assert str(SLOPE) in found.sentence
        assert ("the baseline has no" if lost_by == "base" else "no longer has") in found.sentence

    def test_other_steps_and_other_seeds(self) -> None:
        steps = tuple(step + 1 for step in STEPS)
        other = case(statistics={PROFILE: Statistic(case().statistics[PROFILE].values, steps, 0.0)})
        here = case(statistics={PROFILE: case().statistics[PROFILE]})
        assert "was taken at other steps" in verdict(other, here).sentence
        assert "the seeds were 0, 1, 2 and 2 more and are 0, 1" in verdict(case(), case(seeds=2)).sentence

    def test_no_statistic_at_all_is_never_ok(self) -> None:
        found = verdict(case(statistics={}), case(statistics={}))
        assert found.outcome == "incomparable"
        assert compare_case(case(statistics={}), case(statistics={})).outcome == "incomparable"

    def test_a_hash_that_differs_without_a_setting(self) -> None:
        assert definition_differences({"a": 1}, {"a": 1}) == "its hash differs and its settings do not"


def test_missing_on_either_side_says_what_to_do() -> None:
    new = verdict(None, case())
    assert (new.outcome, exit_code([new])) == ("missing", 3)
    assert "gradscope baseline record --case 'lstm'" in new.sentence
    (gone,) = compare_cases({"lstm": entry(case())}, [], environment=ENVIRONMENT, expected=["lstm"])
    assert (gone.outcome, exit_code([gone])) == ("missing", 3)
    assert "gradscope baseline prune" in gone.sentence


def test_a_case_that_failed() -> None:
    found = verdict(case(), FailedCase("lstm", "There is no file cell.py."))
    assert (found.outcome, exit_code([found])) == ("failed", 4)
    assert found.sentence == "lstm: it could not be measured: There is no file cell.py."
    there = verdict(None, case(), failed_at_base={"lstm": "no class"}, base_name="main")
    assert (there.outcome, there.sentence) == ("incomparable", "lstm: it could not be measured at main: no class")


def test_the_worst_news_decides() -> None:
    ok, changed = verdict(case(), case()), verdict(case(), moved(case(), {PROFILE: 1.0}))
    missing, failed = verdict(None, case()), verdict(case(), FailedCase("lstm", "no"))
    assert exit_code([]) == 3
    assert exit_code([ok]) == 0
    assert exit_code([ok, missing]) == 3
    assert exit_code([missing, changed, ok]) == 1
    assert exit_code([missing, changed, failed]) == 4


def test_two_files_are_compared_case_by_case() -> None:
    old = baseline(case("a"), case("b"), case("c"))
    new = baseline(case("a"), moved(case("b"), {SLOPE: 0.5}), case("d"))
    found = {v.name: v.outcome for v in compare_baselines(old, new, None, names=("old.json", "new.json"))}
    assert found == {"a": "ok", "b": "changed", "c": "missing", "d": "missing"}
    assert [v.name for v in compare_baselines(old, new, "b", names=("old", "new"))] == ["b"]


@pytest.mark.parametrize(
    ("name", "step", "shown"),
    [
        ("T=200 log10_norm h", 1, "log10‖∂L/∂h_1‖ at T=200"),
        ("T=10 log10_norm lstm.c", 7, "log10‖∂L/∂lstm.c_7‖ at T=10"),
        ("T=200 slope h", None, "slope × length of h at T=200"),
        ("T=200 log10_weight_gradient_norm weight_hh", None, "log10‖∂L/∂weight_hh‖ at T=200"),
        ("T=50 lyapunov_exponent", None, "Lyapunov exponent × length at T=50"),
        ("T=50 spectral_radius", None, "log10 spectral radius × length at T=50"),
        ("sensitivity_exponent W", None, "sensitivity exponent of W"),
        ("T=50 log10_weight_gradient_norm slope", None, "log10‖∂L/∂slope‖ at T=50"),
        ("of another gradscope", None, "of another gradscope"),
        ("of another gradscope", 7, "of another gradscope at step 7"),
    ],
)
def test_statistics_in_the_signs_of_the_field(name: str, step: int | None, shown: str) -> None:
    assert described(StatisticName.read(name), step) == shown
