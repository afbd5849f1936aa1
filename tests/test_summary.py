"""Statistics, verdicts, tables and pictures of gradients that are known in closed form."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from gradscope.diagnosis import advice, verdict
from gradscope.measurements.batch_statistics import log10_median, log10_root_mean_square
from gradscope.measurements.results import GradientNorms, RecurrentWeightSteps
from gradscope.measurements.summary import summarize
from gradscope.report.frames import gradient_frame, sampled_lags
from gradscope.report.plots import plot_gradient_norms, plot_length_sweep, plot_result, save
from gradscope.report.sentences import findings
from gradscope.report.tables import comparison_markdown
from gradscope.sweep.result import SUMMARY_COLUMNS


def geometric(rate, length=100, reference_lag=0, start=0.0):
    """Every sample's norm is 10^(start + rate · lag)."""
    lags = torch.arange(length - 1, -1, -1, dtype=torch.float64)
    norm = (start + rate * lags).expand(1, 2, length).clone()
    return GradientNorms(
        lengths=(length,),
        primary_component="h",
        reference_lag=reference_lag,
        log10_norm={"h": norm},
        log10_largest_entry=norm,
        log10_weight_gradient_norm={},
        recurrent_weight_steps=RecurrentWeightSteps(norm, torch.logsumexp(norm * math.log(10), -1) / math.log(10)),
        layers={"h": 0},
        status=("ok",),
    )


def test_root_mean_square_and_median_of_logarithms():
    logs = np.array([[-5000.0, -5001.0, -math.inf], [2.0, 2.0, 2.0]])
    expected = -5000 + 0.5 * math.log10((1 + 0.01) / 3)
    assert log10_root_mean_square(logs, axis=1) == pytest.approx([expected, 2.0])
    assert log10_median(logs, axis=1) == pytest.approx([-5001, 2.0])
    assert log10_root_mean_square(np.array([-math.inf, -math.inf])) == -math.inf
    assert math.isnan(log10_root_mean_square(np.array([math.nan, 1.0])))


@pytest.mark.parametrize(
    ("rate", "found", "horizon", "censored"),
    [
        (-0.5, "vanishing", 4, False),
        (-0.01, "stable", 100, True),
        (0.5, "exploding", 100, True),
        (0.0, "stable", 100, True),
    ],
)
def test_geometric_gradients(rate, found, horizon, censored):
    (row,) = summarize(geometric(rate))
    assert row.decades_per_step == pytest.approx(rate, abs=1e-12)
    assert row.log10_relative_norm == pytest.approx(99 * rate)
    assert (row.horizon_steps, row.horizon_censored) == (horizon, censored)
    assert verdict(row) == found


def test_where_dtypes_lose_the_signal():
    (row,) = summarize(geometric(-1.0))
    # half the smallest subnormal: 2^-150 = 10^-45.15 and 2^-25 = 10^-7.53; half an ulp: 10^-7.22 and 10^-2.41
    assert (row.float32_lost_steps_back, row.float16_lost_steps_back) == (46, 8)
    assert (row.float32_absorbed_steps_back, row.bfloat16_absorbed_steps_back) == (8, 3)
    assert row.weight_gradient_horizon_steps == 1
    (row,) = summarize(geometric(-0.001))
    assert math.isinf(row.float32_lost_steps_back)
    assert row.weight_gradient_horizon_steps == pytest.approx(88, abs=3)


def test_the_reference_of_a_direct_path_is_lag_one():
    result = geometric(-0.1, reference_lag=1)
    result.log10_norm["h"][..., -1] = 5.0
    (row,) = summarize(result)
    assert row.log10_relative_norm == pytest.approx(-0.1 * 98)
    assert row.log10_drop_lag_0_to_1 == pytest.approx(-5.1)


def test_exact_zeros_are_saturated_and_counted():
    result = geometric(-0.1)
    result.log10_norm["h"][0, :, :50] = -math.inf
    (row,) = summarize(result)
    assert verdict(row) == "saturated"
    assert row.exact_zeros == 2
    assert row.log10_relative_norm == -math.inf


@pytest.mark.parametrize(
    "label", ["lstm", "lru", "rrn", "linear-rnn", "sc-lstm-p:L=20", "rnn", "gru", "min-gru", "own.py:Cell"]
)
def test_advice_is_a_line(label):
    for found in ("vanishing", "exploding", "saturated", "unknown"):
        line = advice(label, found, 1000, 3.0, 1.0)
        assert line
        assert "\n" not in line
    assert advice(label, "stable", 1000) == ""
    assert "10^-3.0" in advice(label, "exploding", 1000, 3.0, 1.0)


def test_advice_computes_the_ring():
    assert f"{10 ** (-2 / 1000):.4g}" in advice("lru", "vanishing", 1000)
    assert "chrono=1000" not in advice("lstm:chrono=1000", "vanishing", 1000)


def frames(rates):
    summaries, gradients = [], []
    for label, rate in rates.items():
        for seed in (0, 1):
            result = geometric(rate + 0.001 * seed)
            gradients.append(gradient_frame(result).assign(arch=label, seed=seed))
            for row in summarize(result):
                values = {**vars(row), "arch": label, "seed": seed, "parameters": 10, "parameters_stored": 10}
                summaries.append({**values, "state_size": 4, "verdict": verdict(row)})
    return pd.concat(gradients), pd.DataFrame(summaries, columns=list(SUMMARY_COLUMNS))


def test_sentences_name_the_best_and_the_worst():
    _, summary = frames({"good": 0.0, "bad": -1.0, "wild": 3.0})
    text = " ".join(findings(summary))
    assert "Over 100 steps good keeps" in text
    assert "wild 10^297 times its gradient" in text
    assert "prints exactly 0 for bad from 46 steps back on" in text
    assert "wild explodes" in text
    _, summary = frames({"only": 0.0})
    assert len(findings(summary)) == 1


def test_markdown_shows_ratios_without_underflow():
    _, summary = frames({"good": 0.0, "bad": -50.0})
    text = comparison_markdown(summary, relative_to="good")
    assert "10^-4950.0" in text
    assert "-4900.5" in text or "-4950" in text


@pytest.mark.parametrize("rates", [{"one": -1.0}, {f"architecture-{i}:option={i}": 0.1 * (i - 12) for i in range(25)}])
def test_pictures_are_drawn(rates, tmp_path):
    gradients, summary = frames(rates)
    for name, figure in (("a", plot_gradient_norms(gradients, summary)), ("b", plot_length_sweep(summary))):
        save(figure, tmp_path / name)
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts == list(rates)
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert b"<svg" in (tmp_path / f"{name}.svg").read_bytes()


def test_an_architecture_keeps_its_colour():
    gradients, summary = frames({"a": -1.0, "b": 0.0})
    colours = []
    for figure in (plot_gradient_norms(gradients, summary), plot_length_sweep(summary)):
        handles = figure.legends[0].legend_handles
        colours.append([h.get_color() if hasattr(h, "get_color") else h.get_children()[0].get_color() for h in handles])
    assert plot_result(geometric(-0.5)) is not None
    assert len(set(colours[0])) == 2


def test_sampled_lags_hold_both_ends():
    assert sampled_lags(10).tolist() == list(range(10))
    lags = sampled_lags(10_000)
    assert lags[0] == 0
    assert lags[-1] == 9999
    assert 50 <= len(lags) <= 64
    assert (np.diff(lags) > 0).all()
