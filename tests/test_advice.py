"""Advice: it can be typed as it stands, says something new, and is what was measured to help."""

import math
import re
from pathlib import Path
from typing import get_args

import pytest

from gradscope import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.measurements import verdict as module
from gradscope.measurements.verdict import Verdict, advice
from gradscope.running.architecture_choice import parse_architectures

TROUBLES = ("vanishing", "exploding", "saturated", "unknown")
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
LABELS = (*ARCHITECTURES, *SPECIAL, "own.py:Cell", "renamed", "lstm:not_an_option=3")


def architectures(line):
    """Everything in a line that names an option or an architecture."""
    words = [word.strip(",;.()") for word in line.split()]
    return [word for word in words if ("=" in word or word in ARCHITECTURES) and "^" not in word]


def meaning(label, text):
    """Name and options of a text, typed, with the defaults of those not given."""
    name, *options = text.split(":")
    return name, ARCHITECTURES[name].parse_options(name, dict(part.split("=") for part in options))


@pytest.mark.parametrize("length", [1, 2, 10, 500, 1_000_000])
@pytest.mark.parametrize("label", LABELS)
def test_advice_can_be_typed(label, length):
    for finding in TROUBLES:
        line = advice(label, finding, length)
        assert line
        assert "\n" not in line
        for text in architectures(line):
            (choice,) = parse_architectures(text, Path())
            build(choice.name, input_size=2, hidden_size=2, **dict(choice.options))


@pytest.mark.parametrize("label", [*ARCHITECTURES, *SPECIAL])
def test_advice_says_something_new(label):
    for finding in TROUBLES:
        for text in architectures(advice(label, finding, 500)):
            assert meaning(label, text) != meaning(label, label)


def test_vanishing_names_an_architecture_everywhere():
    for label in LABELS:
        assert architectures(advice(label, "vanishing", 500))


def test_nothing_is_advised_where_nothing_is_wrong():
    assert set(get_args(Verdict)) == {*TROUBLES, "stable"}
    assert {advice(label, "stable", 1000) for label in LABELS} == {""}


def test_advice_follows_from_the_entries_and_names_none_itself():
    words = re.findall(r"[\w-]+", Path(module.__file__).read_text(encoding="utf-8"))
    assert not {*words} & {*ARCHITECTURES}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_remedies_set_options_to_values_that_they_can_take(name):
    spec = ARCHITECTURES[name]
    for length in (1, 500):
        for remedy in filter(None, (spec.lengthens, spec.calms)):
            spec.parse_options(name, remedy(spec.parse_options(name, {}), length))
        if spec.memory_component is not None:
            spec.parse_options(name, spec.memory_component.lengthens(length))
            assert spec.memory_component.name in build(name, input_size=2, hidden_size=2).components
    assert spec.lengthens or not spec.memory_rank


def test_other_options_of_a_label_are_kept():
    assert advice("rrn:depth=3", "vanishing", 500).startswith("rrn:depth=3:inner=tanh,")
    assert advice("sc-lstm-p:L=50", "vanishing", 500).startswith("sc-lstm-p:L=5,")
    assert advice("lru:r_max=0.5", "vanishing", 500).startswith("lru:r_min=0.99084:r_max=1,")


def test_the_ring_and_the_bias_lose_two_decades():
    for length in (20, 500, 1000, 100_000):
        line = advice("gru", "vanishing", length)
        r_min, bias = (float(re.search(rf"{key}=([0-9.]+)", line)[1]) for key in ("r_min", "forget_bias"))
        for modulus in (r_min, 1 / (1 + math.exp(-bias))):
            assert -2 <= length * math.log10(modulus) < -1.5


def test_chrono_comes_with_its_component():
    assert "lstm:chrono=500 with --component c" in advice("lstm", "vanishing", 500)
    line = advice("lstm:chrono=500", "vanishing", 500, component="h")
    assert "--component c" in line
    assert "chrono=500" not in line
    assert "--component" not in advice("lstm:chrono=500", "vanishing", 500, component="c")


def test_a_shortcut_is_not_made_longer():
    assert "L=" not in advice("sc-lstm-p:L=5", "vanishing", 500)
    assert "L=" not in advice("sc-lstm-i", "exploding", 500)


def test_clipping_says_by_how_much():
    for label in LABELS:
        assert advice(label, "exploding", 1000, 3.0, 1.0).endswith("(to 1: it shrinks by a factor of 10^-3.0)")


def test_the_skip_is_worded_by_its_option():
    path = ARCHITECTURES["skip-rnn"].gradient_path
    assert "option k" in path
    assert "4" not in path
