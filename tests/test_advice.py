"""Advice: it can be typed as it stands, says something new, was measured, and is no longer what it was said against."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest

import gradscope
from gradscope import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.keeping import keeping_bias, keeping_modulus
from gradscope.architectures.spec import Situation
from gradscope.commands.main import run
from gradscope.measurements import advice as module
from gradscope.measurements.advice import MOST_CANDIDATES, Trial, advice, candidates, clipping
from gradscope.measurements.verdict import TROUBLES, VERDICTS
from gradscope.running.architecture_choice import parse_architectures

SPECIAL = (
    "lstm:forget_bias=3",
    "lstm:forget_bias=9",
    "lstm:chrono=500",
    "lru:r_max=0.5",
    "lru:r_min=0.9999:r_max=0.99995",
    "rrn:depth=3:inner=relu",
    "linear-rnn:init=orthogonal",
    "linear-rnn:radius=0",
    "sc-lstm-p:L=2:alpha=0.5",
    "sc-lstm-p:L=5",
    "sc-lstm-i:alpha=2",
    "skip-rnn:k=50",
    "skip-rnn:alpha=0.6",
    "residual-rnn:alpha=-0.001",
)
LABELS = (*ARCHITECTURES, *SPECIAL)


def situation(length, hidden_size=32, num_layers=1, kept=math.nan):
    return Situation(length, hidden_size, num_layers, lambda: kept)


def given(label):
    name, *options = label.split(":")
    return name, dict(part.split("=") for part in options)


def proposed(label, length, **sizes):
    return candidates(*given(label), situation(length, **sizes))


@pytest.mark.parametrize("length", [1, 2, 10, 500, 1_000_000])
@pytest.mark.parametrize("label", LABELS)
def test_candidates_can_be_typed_and_say_something_new(label, length):
    found = proposed(label, length)
    assert 1 <= len(found) <= MOST_CANDIDATES
    name, options = given(label)
    now = ARCHITECTURES[name].parse_options(name, options)
    for candidate in found:
        (choice,) = parse_architectures(candidate.label, Path())
        build(choice.name, input_size=2, hidden_size=2, **dict(choice.options))
        assert (candidate.name, ARCHITECTURES[candidate.name].parse_options("", dict(candidate.options))) != (name, now)


def test_a_class_of_ones_own_is_compared_with_the_architectures_made_for_memory():
    assert [each.label for each in candidates("own.py:Cell", {}, situation(100))] == [
        "lru:r_min=0.955",
        "lstm:chrono=100",
    ]


def test_advice_follows_from_the_entries_and_names_none_itself():
    text = Path(module.__file__).read_text(encoding="utf-8")
    code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    assert not {*re.findall(r"[\w-]+", code)} & {*ARCHITECTURES}


def test_other_options_of_a_model_are_kept():
    assert proposed("rrn:depth=3", 500)[0].label == "rrn:depth=3:inner=tanh"
    assert proposed("lru:r_max=0.5", 500)[0].label == "lru:r_min=0.99084"


def test_factors_that_keep_lose_two_decades():
    for length in (20, 500, 1000, 100_000):
        for modulus in (keeping_modulus(length), 1 / (1 + math.exp(-keeping_bias(length)))):
            assert -2 <= length * math.log10(modulus) < -1.5
    # gates that keep 0.9 at a bias of 0 need that much less of it
    assert keeping_bias(1000, 0.0, 0.9) == pytest.approx(keeping_bias(1000) - math.log(9), abs=0.1)


def test_what_was_found_is_said():
    helps = Trial("b", ("carried", "carried"), (-0.4, -0.6))
    fails = Trial("a", ("lost", "fading"), (-8.0, -3.0))
    assert advice([fails, helps]) == "try b (carried, −0.5 decades; tried); a is 1 lost, 1 fading, −5.5 decades"
    assert advice([fails]) == "nothing that was tried helps: a is 1 lost, 1 fading, −5.5 decades"
    assert advice([]) == ""
    assert not Trial("c", ("carried", "lost"), (-0.4, -9.0)).helps
    assert Trial("d", ("unknown",), (math.nan,)).found == "unknown"


def test_clipping_says_by_how_much():
    assert clipping(3.0, 1.0) == "clipping to 1 shrinks its weight gradients by a factor of 10^-3.0"
    assert clipping(3.0, None) == clipping(math.nan, 1.0) == ""


def test_the_skip_is_worded_by_its_option():
    path = ARCHITECTURES["skip-rnn"].gradient_path
    assert "option k" in path
    assert "4" not in path


def diagnosed(label, hidden_size, num_layers, length, seed=0):
    name, options = given(label)
    model = build(
        name,
        input_size=8,
        hidden_size=hidden_size,
        num_layers=num_layers,
        seed=seed,
        **ARCHITECTURES[name].parse_options(name, options),
    )
    return gradscope.diagnose(model, gradscope.make_inputs("white", batch=3, length=length, input_size=8, seed=seed))


TWELVE = [
    ("rnn", 32, 1, 100),
    ("rrn", 32, 1, 100),
    ("rrn", 128, 1, 100),
    ("lstm", 32, 1, 1000),
    ("lstm", 128, 2, 100),
    ("lstm:forget_bias=5.4", 128, 2, 1000),
    ("gru", 32, 2, 100),
    ("residual-rnn", 32, 1, 1000),
    ("skip-rnn", 128, 1, 1000),
    ("sc-lstm-i:alpha=2", 32, 1, 1000),
    ("linear-rnn", 32, 2, 1000),
    ("lru", 32, 1, 1000),
]


@pytest.mark.parametrize(("label", "hidden_size", "num_layers", "length"), TWELVE, ids=str)
def test_what_is_recommended_is_no_longer_what_it_was_said_against(label, hidden_size, num_layers, length):
    found = diagnosed(label, hidden_size, num_layers, length)
    assert found.verdict in TROUBLES
    (recommended,) = (trial.label for trial in found.trials if trial.helps)
    assert recommended in found.advice
    applied = diagnosed(recommended, hidden_size, num_layers, length)
    assert applied.verdict == "carried"
    assert applied.trials == ()


def test_nothing_is_tried_where_nothing_is_wrong_or_nobody_wants_it():
    assert diagnosed("deltanet", 16, 1, 50).trials == ()
    model = build("rnn", input_size=8, hidden_size=16)
    x = gradscope.make_inputs("white", batch=2, length=50, input_size=8)
    assert gradscope.diagnose(model, x, remedies=False).trials == ()


def test_every_trouble_is_a_verdict():
    assert set(TROUBLES) < set(VERDICTS)


def test_what_several_need_is_tried_once_and_kept_in_a_file(tmp_path, capsys):
    words = ["compare", "--arch", "rnn,gru", "--lengths", "60", "--seeds", "2", "--batch", "2", "--device", "cpu"]
    assert run([*words, "--hidden-size", "8", "--quiet", "--out", str(tmp_path)]) == 0
    tried = pd.read_csv(tmp_path / "advice.csv")
    assert sorted(tried["arch"]) == ["gru", "gru", "rnn", "rnn"]
    assert set(tried["candidate"]) == {"lru:r_min=0.9262"}
    assert set(tried["candidate_verdict"]) == {"carried"}
    assert len(list((tmp_path / "cells").iterdir())) == 4 + 2
    assert capsys.readouterr().out.count("; tried)") == 2
    assert run([*words, "--hidden-size", "8", "--quiet", "--no-remedies"]) == 0
    assert "tried" not in capsys.readouterr().out
