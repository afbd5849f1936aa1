"""Statistics, verdicts, tables and pictures of gradients that are known in closed form."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

import gradscope
from gradscope.commands.compare.columns import SUMMARY_COLUMNS
from gradscope.commands.compare.pictures import plot_gradient_norms, plot_length_sweep
from gradscope.commands.compare.rows import comparison
from gradscope.commands.compare.sentences import findings
from gradscope.commands.compare.table import comparison_markdown
from gradscope.measurements.drawing import line_styles
from gradscope.measurements.gradient_result import GradientNorms, RecurrentWeightSteps
from gradscope.measurements.judgement import judge
from gradscope.measurements.lags import sampled_lags
from gradscope.measurements.summary import summarize
from gradscope.numerics.averages import log10_median, log10_root_mean_square, median_and_range
from gradscope.running.store import save


def geometric(rate, length=100, reference_lag=0, start=0.0):
    """Every sample's norm is 10^(start + rate · lag)."""
    lags = torch.arange(length - 1, -1, -1, dtype=torch.float64)
    norm = (start + rate * lags).expand(1, 2, length).clone()
    return GradientNorms(
        lengths=(length,),
        primary_component="h",
        reference_lag=reference_lag,
        log10_norm={"h": norm, "<state>": norm, "x": norm},
        log10_largest_entry={"h": norm},
        log10_last_output_gradient=torch.zeros(1, 2, dtype=torch.float64),
        log10_weight_gradient_norm={},
        recurrent_weight_steps=RecurrentWeightSteps(norm, torch.logsumexp(norm * math.log(10), -1) / math.log(10)),
        layers={"h": 0, "<state>": 0, "x": 0},
        status=("ok",),
        zeros=("",),
    )


MODEL = gradscope.build("rnn", input_size=4, hidden_size=4)


def verdict(result) -> str:
    return judge(result, MODEL)[0].verdict


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
        (-0.5, "lost", 4, False),
        (-0.03, "fading", 67, False),
        (-0.01, "carried", 100, True),
        (0.5, "exploding", 100, True),
        (0.0, "carried", 100, True),
    ],
)
def test_geometric_gradients(rate, found, horizon, censored):
    result = geometric(rate)
    (row,), (judged,) = summarize(result), judge(result, MODEL)
    assert row.decades_per_step == pytest.approx(rate, abs=1e-12)
    assert row.log10_relative_norm == pytest.approx(99 * rate)
    assert (row.horizon_steps, row.horizon_censored) == (horizon, censored)
    assert judged.verdict == found
    assert judged.drop_decades == 0
    assert judged.rate_decades_per_step == pytest.approx(rate, abs=1e-12)
    assert judged.carried_decades == pytest.approx(99 * rate)
    assert judged.memory_horizon_steps == (math.inf if censored else horizon)


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


def test_exact_zeros_are_counted():
    result = geometric(-0.1)
    result.log10_norm["h"][0, :, :50] = -math.inf
    (row,) = summarize(result)
    assert row.exact_zeros == 2
    assert row.log10_relative_norm == -math.inf


def test_zeros_throughout_have_no_horizon_and_no_warning():
    result = geometric(0.0)
    for values in (result.log10_norm["h"], result.recurrent_weight_steps.log10_step_norm):
        values.fill_(-math.inf)
    result.recurrent_weight_steps.log10_sum_norm.fill_(-math.inf)
    (row,), (judged,) = summarize(result), judge(replace(result, zeros=("cut",)), MODEL)
    assert (judged.verdict, judged.zero_from_steps_back) == ("cut", 0)
    assert math.isnan(judged.memory_horizon_steps)
    assert math.isnan(row.horizon_steps)
    assert not row.horizon_censored
    assert math.isnan(row.float32_absorbed_steps_back)
    assert math.isnan(row.log10_relative_norm)


def test_norms_that_are_no_numbers_have_no_horizon():
    result = geometric(-0.5)
    result.log10_norm["h"][0, :, 3] = math.nan
    (row,) = summarize(result)
    assert math.isnan(row.horizon_steps)
    assert not row.horizon_censored


def test_an_infinite_gradient_is_not_saturated():
    result = geometric(0.0)
    result.log10_norm["h"][0, :, :50] = math.inf
    (row,) = summarize(result)
    assert row.log10_norm_step_1 == math.inf
    assert verdict(result) == "unknown"


def frames(rates):
    summaries, gradients = [], []
    for label, rate in rates.items():
        for seed in (0, 1):
            result = geometric(rate + 0.001 * seed)
            gradients.append(result.to_dataframe().assign(arch=label, seed=seed))
            for row, judged in zip(summarize(result), judge(result, MODEL), strict=True):
                values = {**vars(row), "arch": label, "seed": seed, "parameters": 10, "parameters_stored": 10}
                summaries.append({**values, "state_size": 4, **vars(judged)})
    return pd.concat(gradients), pd.DataFrame(summaries, columns=list(SUMMARY_COLUMNS))


def test_sentences_name_the_best_and_the_worst():
    _, summary = frames({"good": 0.0, "bad": -1.0, "wild": 3.0})
    text = " ".join(findings(summary))
    assert "Over 100 steps good keeps" in text
    assert ", wild multiplies it by 10^297." in text
    assert "prints exactly 0 for bad from 46 steps back on" in text
    assert "wild explodes" in text
    _, summary = frames({"only": 0.0})
    assert len(findings(summary)) == 1


@pytest.mark.parametrize(
    ("decades", "sentence"),
    [
        (-30.0, "Over 100 steps a keeps 10^-30 of its gradient."),
        (-1.5, "Over 100 steps a keeps 3.16 % of its gradient."),
        (0.5, "Over 100 steps a keeps 316 % of its gradient."),
        (1.881, "Over 100 steps a ends with 76 times its gradient."),
        (99.0, "Over 100 steps a multiplies its gradient by 10^99."),
    ],
)
def test_amounts_are_read_aloud(decades, sentence):
    _, summary = frames({"a": 0.0})
    assert findings(summary.assign(log10_relative_norm=decades))[0] == sentence


def test_one_step_is_singular():
    _, summary = frames({"a": 0.0})
    text = " ".join(findings(summary.assign(length=1, float32_lost_steps_back=1.0)))
    assert "Over 1 step a keeps" in text
    assert "a from 1 step back on" in text


def with_zeros(summary, label, seeds=(0, 1)):
    """The gradient of some seeds of an architecture is exactly zero at step 1."""
    chosen = (summary["arch"] == label) & summary["seed"].isin(seeds)
    columns = ["log10_norm_step_1", "log10_relative_norm"]
    summary.loc[chosen, columns] = -math.inf
    summary.loc[chosen, "verdict"] = "cut"
    return summary


def test_sentences_say_what_has_no_logarithm():
    _, summary = frames({"good": 0.0, "dead": 0.0, "half": -0.01, "wild": 0.0})
    summary = with_zeros(with_zeros(summary, "dead"), "half", seeds=(1,))
    summary.loc[summary["arch"] == "wild", ["log10_norm_step_1", "log10_relative_norm"]] = math.nan
    text = " ".join(findings(summary))
    assert "dead and half (in 1 of 2 seeds) give an exact zero." in text
    assert "wild gives no finite gradient." in text
    assert "Over 100 steps good keeps" in text
    assert "dead keeps" not in text


def test_sentences_say_that_all_are_zero():
    _, summary = frames({"a": 0.0, "b": 0.0})
    text = " ".join(findings(with_zeros(with_zeros(summary, "a"), "b")))
    assert "All gradients are exactly zero at the first of 100 steps." in text
    assert "finite" not in text


def test_an_exact_zero_is_minus_infinity_in_the_table():
    assert median_and_range(np.array([-math.inf, -math.inf])) == "-inf"
    assert median_and_range(np.array([-math.inf, -3.0, -1.0])) == "-3.00 [-inf … -1.00]"
    assert median_and_range(np.array([math.nan])) == "–"
    assert median_and_range(np.array([-0.001, 0.001])) == "0.00"
    _, summary = frames({"dead": 0.0})
    table = comparison(with_zeros(summary, "dead"))
    place = table.headers.index("T=100")
    assert table.rows[0][place] == "-inf"
    assert table.colours[0][place] == "cut"


def test_seeds_that_disagree_on_what_is_lost_are_counted():
    _, summary = frames({"a": -1.0})
    summary["float32_lost_steps_back"] = [46.0, math.inf]
    summary["float16_lost_steps_back"] = math.inf
    table = comparison(summary)
    assert table.rows[0][table.headers.index("float32 lost")] == "46 (1 of 2 seeds)"
    assert table.rows[0][table.headers.index("float16 lost")] == "–"
    summary["float16_lost_steps_back"] = math.nan
    table = comparison(summary)
    assert table.rows[0][table.headers.index("float16 lost")] == "?"


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


def legend_colours(figure):
    handles, labels = figure.axes[0].get_legend_handles_labels()
    lines = [handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle for handle in handles]
    return {label: to_hex(line.get_color()) for label, line in zip(labels, lines, strict=True)}


def test_an_architecture_keeps_its_colour():
    gradients, summary = frames({"a": -1.0, "b": 0.0})
    found = legend_colours(plot_gradient_norms(gradients, summary))
    assert found == legend_colours(plot_length_sweep(summary))
    assert len(set(found.values())) == 2


def test_architectures_are_told_apart():
    found = list(line_styles([str(i) for i in range(42)]).values())
    assert len({(look.colour, look.line) for look in found}) == 42
    first = found[:16]
    assert len({(look.colour, look.marker) for look in first}) == 16
    assert max(sum(look.colour == other.colour for other in first) for look in first) == 2


def test_a_line_that_ends_in_zeros_says_so():
    gradients, summary = frames({"alive": -0.1, "ends": -0.1, "dead": 0.0})
    gradients.loc[(gradients["arch"] == "ends") & (gradients["steps_back"] >= 40), "log10_norm"] = -math.inf
    gradients.loc[gradients["arch"] == "dead", "log10_norm"] = -math.inf
    figure = plot_gradient_norms(gradients, summary)
    assert list(legend_colours(figure)) == ["alive", "ends\n(exact zero from 40 steps back)", "dead (exact zero)"]
    (mark,) = [line for line in figure.axes[0].lines if line.get_marker() == "v" and line.get_linestyle() == "None"]
    assert mark.get_markerfacecolor() == "none"
    assert mark.get_xdata() == [39]
    assert mark.get_ydata() == pytest.approx([-3.9 + 0.0005 * 39])
    gradients.loc[gradients["steps_back"] == 99, "log10_norm"] = math.nan
    assert list(legend_colours(plot_gradient_norms(gradients, summary))) == ["alive", "ends", "dead (not finite)"]


def test_the_sweep_tells_zeros_from_what_is_not_finite():
    _, summary = frames({"dead": 0.0, "wild": 0.0, "ends": 0.0})
    summary = with_zeros(summary, "dead")
    summary.loc[summary["arch"] == "wild", ["log10_norm_step_1", "log10_relative_norm"]] = math.nan
    longer = with_zeros(summary[summary["arch"] == "ends"].assign(length=200), "ends")
    figure = plot_length_sweep(pd.concat([summary, longer]))
    assert list(legend_colours(figure)) == [
        "dead (exact zero)",
        "wild (not finite)",
        "ends\n(exact zero from T=200 on)",
    ]


def test_the_axis_names_the_reference():
    gradients, summary = frames({"a": 0.0, "b": 0.0})
    for lags, words in (
        ([0, 0, 0, 0], "relative to the last step, log10"),
        ([1, 1, 1, 1], "relative to one step back, log10"),
        ([0, 0, 1, 1], "relative to the last step\n(direct path: one back), log10"),
    ):
        summary["reference_lag"] = lags
        for figure in (plot_gradient_norms(gradients, summary), plot_length_sweep(summary)):
            assert figure.axes[0].get_ylabel().endswith(words)
    assert "relative to one step back" in geometric(-0.5, reference_lag=1).plot().axes[0].get_ylabel()


def test_texts_have_a_background():
    gradients, summary = frames({"a": -1.0})
    for figure in (plot_gradient_norms(gradients, summary), plot_length_sweep(summary)):
        texts = [text for text in figure.axes[0].texts if "below: 0" in text.get_text()]
        assert len(texts) == 2
        assert len({text.xyann for text in texts}) == 2
        assert all(to_hex(text.get_bbox_patch().get_facecolor()) == "#ffffff" for text in texts)


def test_sampled_lags_hold_both_ends():
    assert sampled_lags(10).tolist() == list(range(10))
    lags = sampled_lags(10_000)
    assert lags[0] == 0
    assert lags[-1] == 9999
    assert 50 <= len(lags) <= 64
    assert (np.diff(lags) > 0).all()
