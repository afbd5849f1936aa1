"""Names of statistics: one text in files, one object everywhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradscope.commands.check.statistic import StatisticName

BASELINE = Path(__file__).parent.parent / "gradscope-baseline.json"


def texts_of_the_baseline() -> list[str]:
    cases = json.loads(BASELINE.read_text(encoding="utf-8"))["profiles"]["cpu-f64"]["cases"]
    return sorted({text for case in cases.values() for text in case["statistics"]})


def test_every_name_of_the_baseline_is_read_and_written_as_it_was() -> None:
    texts = texts_of_the_baseline()
    names = [StatisticName.read(text) for text in texts]
    assert [str(name) for name in names] == texts
    assert len(set(names)) == len(texts) > 100
    assert {name.quantity for name in names} == {
        "log10_norm",
        "slope",
        "log10_weight_gradient_norm",
        "lyapunov_exponent",
        "spectral_radius",
    }
    assert {name.length for name in names} == {10, 50, 200}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("T=200 log10_norm h", StatisticName("log10_norm", 200, "h")),
        ("T=200 slope lstm.c", StatisticName("slope", 200, "lstm.c")),
        ("T=200 lyapunov_exponent", StatisticName("lyapunov_exponent", 200)),
        ("sensitivity_exponent magnitude", StatisticName("sensitivity_exponent", of="magnitude")),
        ("T=10 log10_weight_gradient_norm a b\nc", StatisticName("log10_weight_gradient_norm", 10, "a b\nc")),
    ],
)
def test_a_name_is_what_length_and_of_what(text: str, name: StatisticName) -> None:
    assert StatisticName.read(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    "text", ["", "p", "T=007 slope h", "T=٣ slope h", "slope ", " slope", "Slope h", "T=5", f"T={'9' * 5000} slope h"]
)
def test_any_text_of_a_file_stays_itself(text: str) -> None:
    assert str(StatisticName.read(text)) == text


@pytest.mark.parametrize(
    ("text", "is_rate", "is_of_parameter"),
    [
        ("T=200 log10_norm slope", False, False),
        ("T=200 slope h", True, False),
        ("T=200 lyapunov_exponent", True, False),
        ("T=200 spectral_radius", True, False),
        ("T=200 log10_weight_gradient_norm slope", False, True),
        ("sensitivity_exponent log10_weight_gradient_norm", False, False),
    ],
)
def test_what_a_name_is_of_says_nothing_about_its_quantity(text: str, is_rate: bool, is_of_parameter: bool) -> None:
    name = StatisticName.read(text)
    assert (name.is_rate, name.is_of_parameter) == (is_rate, is_of_parameter)
