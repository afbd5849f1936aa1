"""What is judged: drop, rate, what is carried, horizon, exact zeros, frozen states; and the verdicts over seeds."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import gradscope
from gradscope.commands.compare.rows import comparison
from gradscope.commands.main import run
from gradscope.errors import Unmeasurable
from gradscope.measurements.judgement import judge
from gradscope.measurements.verdict import VERDICTS, InputShares, counted_verdicts, over_seeds, verdict_of
from tests.models import small
from tests.test_summary import MODEL, geometric


def profile(by_lag, **changed):
    """A measurement whose norms are given by lag, of the state and of the inputs alike."""
    result = geometric(0.0, length=len(by_lag))
    for norm in result.log10_norm.values():
        norm[...] = torch.as_tensor(np.asarray(by_lag)[::-1].copy())
    return result


def judged(by_lag):
    return judge(profile(by_lag), MODEL)[0]


LAGS = np.arange(500.0)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("rate", [0.0, -0.001, -0.02])
def test_a_drop_is_told_from_what_is_lost_with_every_step(steps, rate):
    drop = -3.0 * np.minimum(LAGS / steps, 1)
    found = judged(drop + rate * LAGS)
    assert found.drop_decades == pytest.approx(-3, abs=1e-9)
    assert found.rate_decades_per_step == pytest.approx(rate, abs=1e-9)
    assert found.carried_decades == pytest.approx(rate * 499, abs=1e-6)
    horizon = math.ceil(2 / -rate) if rate * 499 <= -2 else math.inf
    assert found.memory_horizon_steps == horizon
    assert found.verdict == verdict_of(rate * 499)


@pytest.mark.parametrize("by_lag", [-0.2 * LAGS, -np.log10(1 + LAGS), -4 * np.log10(1 + LAGS), 0.01 * LAGS], ids=str)
def test_what_goes_on_is_no_drop(by_lag):
    found = judged(by_lag)
    assert found.drop_decades == 0
    assert found.carried_decades == pytest.approx(by_lag[-1])


def test_the_rate_does_not_follow_single_steps():
    by_lag = -0.02 * LAGS
    by_lag[50:100] += 5
    assert judged(by_lag).rate_decades_per_step == pytest.approx(-0.02, abs=1e-3)


@pytest.mark.parametrize("name", ["lstm", "hrl", "lru", "sc-lstm-i", "transformer", "deltanet"])
def test_what_is_carried_and_the_drop_add_up_to_the_norm(name):
    model = small(name)
    x = gradscope.make_inputs("white", batch=2, length=40, input_size=4, dtype=torch.float64)
    found = gradscope.diagnose(model, x, [10, 40], component="<state>" if model.state_size else None)
    for summary, judgement in zip(found.summaries, found.judgements, strict=True):
        assert summary.component == judgement.judged
        assert judgement.drop_decades + judgement.carried_decades == pytest.approx(summary.log10_relative_norm)


@pytest.mark.parametrize(
    ("decades", "word"),
    [(2.0, "exploding"), (1.9, "carried"), (-1.9, "carried"), (-2.0, "fading"), (-7.1, "fading"), (-7.2, "lost")],
)
def test_verdicts_have_their_thresholds(decades, word):
    assert verdict_of(decades) == word


def test_the_first_verdict_that_applies_is_given():
    assert verdict_of(-math.inf, "cut") == "cut"
    assert verdict_of(math.nan, "saturated") == "saturated"
    assert verdict_of(math.inf) == verdict_of(math.nan) == "unknown"
    frozen = InputShares(-1.5, -3.0)
    assert verdict_of(0.0, "", frozen) == "frozen"
    assert verdict_of(-2.5, "", frozen) == "fading"
    for shares in (InputShares(-0.5, -3.0), InputShares(-1.5, -2.0), InputShares(-1.5, -3.0, num_layers=2), None):
        assert verdict_of(0.0, "", shares) == "carried"
    assert verdict_of(0.0, "", InputShares(-4.2, -4.7, num_layers=2)) == "frozen"  # one layer of two
    assert verdict_of(0.0, "", InputShares(0.0, 0.0, log10_first=-8.0)) == "frozen"
    assert over_seeds(["lost", "lost"]) == "lost"
    assert over_seeds(["lost", "fading"]) == "mixed"
    assert "mixed" not in VERDICTS
    assert counted_verdicts(["carried", "lost", "fading"]) == "1 lost, 1 fading, 1 carried"


# ---- exact zeros


class CutCell(gradscope.Recurrence):
    """``h_t = tanh(x_t + 0.9 h_{t−1})``, detached at every fifth step."""

    def __init__(self, width=3, scale=1.0, activation=torch.tanh, every=5):
        super().__init__()
        self.input_size = self.output_size = width
        self.state_spec = (gradscope.Block("h", (width,)),)
        self.weight = nn.Parameter(scale * torch.ones(width))
        self.activation, self.every = activation, every

    def step(self, s, u, t):
        h = torch.where(t % self.every == 0, s["h"].detach(), s["h"])
        return {"h": self.activation(u["x"] * self.weight + 0.9 * self.weight * h)}


X = gradscope.make_inputs("white", batch=2, length=30, input_size=3)


def test_a_detached_state_is_a_cut_with_its_step_and_no_failure():
    found = gradscope.diagnose(CutCell(), X)
    assert (found.verdict, found.longest.status) == ("cut", "ok")
    assert found.judgement.zero_from_steps_back == 1  # s_29 is detached in step 30
    assert found.judgement.reason == "no path from step 29 back"
    earlier = gradscope.diagnose(CutCell(), X[:, :28])
    assert earlier.judgement.reason == "no path from step 24 back"
    assert earlier.trials == ()


def test_units_saturated_in_float32_are_no_cut():
    model = CutCell(scale=6.0, every=100)
    found = gradscope.gradient_norms(model, X.abs().clamp(1.0, 1.5))
    assert found.zeros == ("saturated",)
    assert found.status == ("saturated",)


def test_what_is_zero_in_float64_too_is_not_called_a_cut_where_units_may_be_saturated():
    found = gradscope.diagnose(CutCell(scale=100.0, every=100), X.abs() + 1)
    assert (found.verdict, found.longest.status) == ("cut or saturated", "ok")


def test_units_that_are_off_are_a_cut_whoever_wrote_them():
    own = CutCell(activation=lambda a: torch.relu(a - 1e3), every=100)
    assert gradscope.diagnose(own, X).verdict in ("cut", "cut or saturated")
    model = gradscope.build("rnn", input_size=3, hidden_size=4, nonlinearity="relu")
    with torch.no_grad():
        model.bias_ih_l0.fill_(-100.0)
    found = gradscope.diagnose(model, X)
    assert (found.verdict, found.judgement.reason) == ("cut", "no path from step 29 back")


SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.rnn = nn.GRU(input_size, hidden_size, batch_first=True)
        self.readout = nn.Linear(hidden_size, 2)

    def forward(self, x):
        return self.readout(self.rnn(x)[0])

class Swapped(Net):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.rnn = nn.GRU(input_size, hidden_size)

class Leaking(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = nn.RNNCell(input_size, hidden_size)

    def forward(self, x, h):
        return self.cell(x, h - h.mean(0))

class Steep(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.shift = nn.Parameter(torch.full((hidden_size,), 60.0))

    def forward(self, x, h):
        return torch.tanh(h + self.shift + 0 * x.sum(-1, keepdim=True))

class Shut(Steep):
    def forward(self, x, h):
        return torch.relu(h - 1e3 * self.shift + x.sum(-1, keepdim=True))
"""
Q = ["--hidden-size", "5", "--input-size", "3", "--batch", "2", "--seeds", "1", "--device", "cpu", "--quiet"]


@pytest.fixture
def own(tmp_path):
    (tmp_path / "net.py").write_text(SOURCE)
    return lambda name: f"{tmp_path / 'net.py'}:{name}"


def test_a_structural_zero_is_a_finding_and_exit_code_0(own, capsys):
    assert run(["compare", "--arch", own("Net:at=rnn"), "--lengths", "12", "--format", "json", *Q]) == 0
    (row,) = json.loads(capsys.readouterr().out)["summary"]
    assert (row["verdict"], row["status"], row["zero_from_steps_back"]) == ("cut", "ok", 1)
    assert run(["compare", "--arch", own("Net:at=rnn"), "--lengths", "12", *Q]) == 0
    said = capsys.readouterr().out
    assert "cut (no path from step 11 back)" in said
    assert "underflow" not in said
    assert "weights" not in said


def test_saturated_units_are_exit_code_4_and_a_cut_is_not(own, capsys):
    arch = f"{own('Steep')},{own('Shut')}"
    assert run(["compare", "--arch", arch, "--lengths", "12", "--format", "json", "--no-remedies", *Q]) == 4
    rows = json.loads(capsys.readouterr().out)["summary"]
    found = {row["arch"].partition(":")[2]: (row["verdict"], row["status"]) for row in rows}
    assert found == {"Steep": ("saturated", "saturated"), "Shut": ("cut", "ok")}
    assert run(["compare", "--arch", own("Shut"), "--lengths", "12", "--no-remedies", *Q]) == 0


def test_batch_and_time_swapped_are_refused_with_that_sentence(own, capsys):
    assert run(["compare", "--arch", own("Swapped"), "--lengths", "12", *Q]) == 2
    assert "a module that takes (length, batch, features)" in capsys.readouterr().err


def test_samples_that_see_each_other_are_refused(own, capsys):
    assert run(["compare", "--arch", own("Leaking"), "--lengths", "12", *Q]) == 2
    assert "A sample's answer depends on the rest of the batch" in capsys.readouterr().err
    with pytest.raises(Unmeasurable, match="depends on the rest of the batch"):
        gradscope.diagnose(gradscope.build(own("Leaking"), input_size=3, hidden_size=4), X)


# ---- what was seen


def summary_of(capsys, *words):
    capsys.readouterr()
    assert run(["compare", *words, "--format", "json", "--quiet", "--device", "cpu"]) == 0
    return pd.DataFrame(json.loads(capsys.readouterr().out, parse_constant=float)["summary"]).replace(
        {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
    )


def test_one_censored_seed_does_not_speak_for_all(capsys):
    summary = summary_of(capsys, "--arch", "lru", "--seeds", "4", "--lengths", "1000", "--batch", "16", "--no-remedies")
    table = comparison(summary)
    row = dict(zip(table.headers, table.rows[0], strict=True))
    assert row["horizon"] == "226 [107 … > 1000], 1 of 4 beyond"
    assert row["verdict"] == "mixed (2 fading, 1 lost, 1 carried)"
    assert sorted(summary["memory_horizon_steps"]) == [107, 226, 548, math.inf]


def test_the_way_from_h_to_c_is_no_loss_of_every_step(capsys):
    words = ("--arch", "lstm:chrono=200,lstm:forget_bias=4,lstm", "--lengths", "200", "--seeds", "2", "--batch", "4")
    summary = summary_of(capsys, *words, "--no-remedies").set_index("arch")
    assert set(summary.loc["lstm:chrono=200", "verdict"]) == {"carried"}
    assert (summary.loc["lstm:chrono=200", "memory_horizon_steps"] == math.inf).all()
    assert (summary.loc["lstm:chrono=200", "horizon_steps"] < 10).all()  # that of h, as before
    assert set(summary.loc["lstm:forget_bias=4", "verdict"]) <= {"carried", "exploding"}
    assert set(summary.loc["lstm", "verdict"]) == {"lost"}


def test_what_float32_loses_is_known_of_every_component(capsys):
    for component in ("<state>", "x", "c", "h"):
        summary = summary_of(
            capsys, "--arch", "lstm", "--component", component, "--lengths", "1000", "--seeds", "1", "--batch", "2"
        )
        assert 200 < summary["float32_lost_steps_back"].iloc[0] < 260, component
        assert (summary["component"].iloc[0], summary["judged"].iloc[0]) == (component, "<state>")


def test_verdicts_discriminate(capsys):
    arch = "rnn,lru:r_min=0.9:r_max=0.99,lru:r_min=0.99"
    summary = summary_of(capsys, "--arch", arch, "--lengths", "300", "--seeds", "1", "--batch", "2", "--no-remedies")
    assert list(summary["verdict"]) == ["lost", "fading", "carried"]


def test_a_state_that_nothing_is_written_into_is_frozen():
    x = gradscope.make_inputs("white", batch=2, length=1000, input_size=32)
    model = gradscope.build("residual-rnn", input_size=32, hidden_size=64, alpha=0.002)
    found = gradscope.diagnose(model, x)
    assert found.verdict == "frozen"
    assert found.advice.startswith("try residual-rnn:alpha=0.005 (carried")
    gated = gradscope.build("min-gru", input_size=32, hidden_size=64)
    with torch.no_grad():
        dict(gated.named_parameters())["bias_z"].fill_(-12.0)
    assert gradscope.diagnose(gated, x, remedies=False).verdict == "frozen"
    for name, options in (("lstm", {"chrono": 1000}), ("lru", {"r_min": 0.999}), ("residual-rnn", {"alpha": 0.01})):
        healthy = gradscope.build(name, input_size=32, hidden_size=64, **options)
        assert gradscope.diagnose(healthy, x, remedies=False).verdict != "frozen", name


def test_one_model_has_one_advice_whatever_it_is_called(capsys):
    words = ["compare", "--lengths", "60", "--seeds", "1", "--batch", "2", "--device", "cpu", "--quiet"]
    advice = {}
    for arch in ("lstm", "lstm:label=mine"):
        assert run([*words, "--arch", arch]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "; tried)" in line]
        advice[arch] = line.split(": ", 1)[1].strip()
    assert advice["lstm"] == advice["lstm:label=mine"]
    assert run([*words, "--arch", "lstm", "--num-layers", "2"]) == 0
    assert "--component" not in capsys.readouterr().out


def test_the_forecast_is_about_the_last_output_whatever_the_loss(capsys):
    words = ("--arch", "lru", "--lengths", "50", "--seeds", "1", "--batch", "2", "--no-remedies")
    probe, mean = (summary_of(capsys, *words, "--loss", loss)["forecast"].iloc[0] for loss in ("last-probe", "mean"))
    assert math.isfinite(probe)
    assert mean == pytest.approx(probe, abs=0.2)


def test_help_has_every_verdict_with_its_threshold(capsys):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", "400")
        assert run(["compare", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for word, says in VERDICTS.items():
        assert f"{word}, {says}" in said


# ---- what an attack found


def test_the_reference_is_the_first_step_back_that_the_loss_reaches():
    model = gradscope.build("lstm", input_size=3, hidden_size=4, forget_bias=5)
    x = gradscope.make_inputs("white", batch=2, length=30, input_size=3)
    found = gradscope.diagnose(model, x, loss=lambda y: y[:, 14].square().sum(-1))
    assert found.verdict == "carried"
    assert math.isfinite(found.carried_decades)


@pytest.mark.parametrize("length", [20, 28, 30, 34, 100])
def test_a_decay_is_not_cut_in_the_middle_into_a_drop(length):
    model = gradscope.build("sc-lstm-i", input_size=32, hidden_size=16)
    x = gradscope.make_inputs("white", batch=3, length=length, input_size=32)
    assert gradscope.diagnose(model, x, remedies=False).verdict == "fading"


def test_a_drop_counts_until_nothing_is_left_of_it_in_float32():
    found = judged(np.where(LAGS == 0, 0.0, -12.0))
    assert (found.drop_decades, found.carried_decades) == (-7.2, pytest.approx(-4.8))
    assert found.verdict == "fading"


def test_a_frozen_layer_of_a_stack_is_seen_and_has_no_forecast():
    model = gradscope.build("min-gru", input_size=8, hidden_size=16, num_layers=2)
    with torch.no_grad():
        model.layers[0].bias_z.fill_(-12.0)
        model.layers[1].bias_z.fill_(-5.0)
    found = gradscope.diagnose(model, gradscope.make_inputs("white", batch=2, length=40, input_size=8), remedies=False)
    assert found.verdict == "frozen"
    assert math.isnan(found.forecast)


def test_slots_from_before_the_first_step_carry_nothing():
    model = gradscope.build("skip-rnn", input_size=8, hidden_size=8, k=60)
    found = gradscope.diagnose(model, gradscope.make_inputs("white", batch=2, length=50, input_size=8), remedies=False)
    assert found.verdict == "frozen"


@pytest.mark.parametrize("bias", [25.0, 200.0, 1e6])
def test_a_model_saturated_by_a_constant_is_not_called_a_cut(bias):
    constant = CutCell(activation=lambda a: torch.tanh(a + bias), every=100)
    assert gradscope.diagnose(constant, X).verdict == "cut or saturated"
    model = gradscope.build("rnn", input_size=3, hidden_size=4)
    with torch.no_grad():
        model.bias_ih_l0.fill_(40 * bias)
    assert gradscope.diagnose(model, X).verdict == "cut or saturated"
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 4)
    with torch.no_grad():
        cell.bias_ih.fill_(-40 * bias)
    assert gradscope.diagnose(cell, X).verdict == "cut or saturated"


def test_zeros_of_some_samples_are_told():
    model = gradscope.build("rnn", input_size=3, hidden_size=4, nonlinearity="relu")
    x = torch.stack([torch.zeros(12, 3), torch.ones(12, 3)])
    with torch.no_grad():
        model.weight_ih_l0.fill_(1.0)
        model.bias_ih_l0.fill_(-1.0)
        model.bias_hh_l0.zero_()
        model.weight_hh_l0.copy_(torch.eye(4))
    found = gradscope.diagnose(model, x, remedies=False)
    assert found.judgement.reason == "exactly zero in 1 of 2 samples"
    assert found.cells["verdict"] == "carried (exactly zero in 1 of 2 samples)"


def test_code_that_fails_is_a_failed_cell_and_the_others_go_on(tmp_path, capsys):
    (tmp_path / "picky.py").write_text(
        "import torch\n"
        "class PickyCell(torch.nn.RNNCell):\n"
        "    def forward(self, x, h=None):\n"
        "        if x.dtype != torch.float32 or len(x) > 2: raise TypeError('float32 only')\n"
        "        return super().forward(x.float(), h)\n"
    )
    words = ["compare", "--arch", f"{tmp_path / 'picky.py'}:PickyCell,rnn", "--lengths", "9", "--no-remedies"]
    assert run([*words, "--seeds", "1", "--batch", "4", "--hidden-size", "5", "--quiet", "--format", "json"]) == 4
    rows = json.loads(capsys.readouterr().out)["summary"]
    assert [row["status"] for row in rows] == ["failed", "ok"]


def test_remedies_have_the_width_of_the_module_and_not_of_its_readout():
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out = nn.GRU(3, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x):
            return self.out(self.inner(x)[0])

    torch.manual_seed(0)
    x = gradscope.make_inputs("white", batch=2, length=60, input_size=3)
    (tried,) = gradscope.diagnose(Read(), x).trials
    same = gradscope.build("lru", input_size=3, hidden_size=24, r_min=0.9262)
    assert tried.carried_decades == (pytest.approx(gradscope.diagnose(same, x).carried_decades),)
