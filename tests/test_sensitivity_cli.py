"""``gradscope sensitivity`` as its user meets it, and the scalar law against its theory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import gradscope
from gradscope.commands.main import run
from gradscope.commands.sensitivity.columns import LATER, TABLES
from gradscope.commands.sensitivity.command import COMMAND
from gradscope.commands.sensitivity.options import NORMALIZATIONS, OPTIONS, PARAMETRIZATIONS
from gradscope.commands.sensitivity.pictures import plot_sensitivity
from gradscope.measurements.stability import curse
from gradscope.numerics.student import student_bound
from gradscope.running.setting import shown_name
from gradscope.running.store import command_of, read_frames, write_frame
from gradscope.theory import NORMALIZATIONS as IN_THEORY
from gradscope.theory import PARAMETRIZATIONS as WITH_FACTORS
from gradscope.theory import sensitivity, state_power

SMALL = ["sensitivity", "--hidden-size", "5", "--input-size", "3", "--device", "cpu", "--samples", "64"]
SHORT = [*SMALL, "--lambda", "0.5,0.9", "--arch", "lru,gru"]
Captured = pytest.CaptureFixture[str]


def refused(arguments: list[str], capsys: Captured) -> str:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_the_tables_of_the_command_line_are_those_of_theory() -> None:
    assert set(PARAMETRIZATIONS) == set(WITH_FACTORS)
    assert NORMALIZATIONS == IN_THEORY


def test_files_columns_and_values(tmp_path: Path, capsys: Captured) -> None:
    assert run([*SHORT, "--out", str(tmp_path), "--parametrization", "direct,polar", "--second"]) == 0
    said = capsys.readouterr()
    assert "λ: 0.5, 0.9." in said.err
    assert "The curse of memory" in said.out
    assert command_of(tmp_path) == "sensitivity"
    tables = read_frames(tmp_path, COMMAND)
    for name, columns in TABLES.items():
        assert tuple(tables[name].columns) == columns
    rows = tables["sensitivity"]
    assert set(rows["arch"]) == {"scalar", "lru", "gru"}
    assert set(rows["quantity"]) == {"state_power", "dh_domega_power", "d2h_domega2_power", "loss_gradient_power"}
    scalar = rows[rows["arch"] == "scalar"]
    assert (scalar["length"] == 100).all()  # ten time constants of the largest λ
    assert scalar["theory_finite"].notna().all()
    assert rows[rows["arch"] != "scalar"]["theory_finite"].isna().all()
    lru = rows[rows["arch"] == "lru"]
    assert np.allclose(lru["achieved_lambda_modulus"], lru["lambda_modulus"], atol=1e-5)
    assert lru["length"].unique().tolist() == [20, 100]
    names = {file.name for file in tmp_path.iterdir()}
    assert {"sensitivity.png", "sensitivity.svg", "mitigation.png", "run.json"} <= names
    assert json.loads((tmp_path / "run.json").read_text())["configuration"]["lambda_"] == [0.5, 0.9]
    assert run(["plot", str(tmp_path)]) == 0


@pytest.mark.parametrize("kind", ["white", "ar1:rho=0.9", "ar1:rho=-0.5", "constant", "wiki-like"])
@pytest.mark.parametrize("gamma", ["detached", "attached"])
def test_measurements_lie_within_four_standard_errors_of_theory(kind: str, gamma: str, tmp_path: Path) -> None:
    arguments = ["sensitivity", "--arch", "lru", "--hidden-size", "2", "--input-size", "1", "--batch", "1"]
    arguments += [
        "--lambda",
        "0.5,0.9,0.99,0.999,0.9999",
        "--length",
        "1500",
        "--input",
        kind,
        "--gamma",
        gamma,
        "--quiet",
    ]
    arguments += ["--parametrization", ",".join(PARAMETRIZATIONS), "--normalization", ",".join(NORMALIZATIONS)]
    quantities = 3 if gamma == "detached" else 2
    arguments += ["--second"] if quantities == 3 else []
    assert run([*arguments, "--samples", "2000", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "sensitivity.csv")
    rows = rows[rows["arch"] == "scalar"]
    assert len(rows) == 7 * 4 * 5 * quantities
    deviation = (rows["measured"] - rows["theory_finite"]).abs()
    nothing = 1e-20 * rows["theory_finite"].max()  # what is exactly 0 in theory, by cancellation
    assert (deviation <= 4 * rows["standard_error"] + 1e-9 * rows["theory_finite"] + nothing).all()


def test_exponents_at_white_input(tmp_path: Path) -> None:
    arguments = ["sensitivity", "--arch", "lru", "--hidden-size", "2", "--input-size", "1", "--batch", "1", "--quiet"]
    arguments += ["--lambda", "0.9..0.999", "--parametrization", "direct,exp-exp,sigmoid,polar"]
    assert run([*arguments, "--samples", "4096", "--out", str(tmp_path)]) == 0
    found = pd.read_csv(tmp_path / "exponents.csv")
    found = found[found["arch"] == "scalar"]
    assert (found["standard_error"] < 0.0125).all()
    slack = np.maximum(0.05, 3 * found["standard_error"])
    assert ((found["exponent"] - found["theory"]).abs() <= slack).all()
    summary = pd.read_csv(tmp_path / "summary.csv").set_index(["parametrization", "normalization"])
    assert summary.loc[("direct", "none"), "verdict"] == "cursed"
    assert summary.loc[("exp-exp", "sqrt"), "verdict"] == "mitigated"
    assert summary.loc[("direct", "sqrt"), "verdict"] == "softened"


def test_exponents_at_constant_input(tmp_path: Path) -> None:
    arguments = ["sensitivity", "--arch", "lru", "--hidden-size", "2", "--input-size", "1", "--batch", "1", "--quiet"]
    arguments += ["--lambda", "0.9..0.999", "--input", "constant", "--length", "20000", "--normalization", "none"]
    assert run([*arguments, "--parametrization", "direct", "--samples", "64", "--out", str(tmp_path)]) == 0
    found = pd.read_csv(tmp_path / "exponents.csv").set_index(["arch", "quantity"])
    for quantity, theory in (("state_power", -2), ("dh_domega_power", -4)):
        assert found.loc[("scalar", quantity), "theory"].item() == theory
        assert found.loc[("scalar", quantity), "exponent"].item() == pytest.approx(theory, abs=0.05)


def test_landscape(tmp_path: Path) -> None:
    arguments = [*SHORT, "--landscape", "--teacher", "0.99", "--parametrization", "direct,exp-exp,polar", "--quiet"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "landscape.csv")
    optimum = table[table["student"] == 0.99].set_index(["parametrization", "normalization"])
    assert set(optimum.index) == {("direct", "none"), ("direct", "sqrt"), ("exp-exp", "none"), ("exp-exp", "sqrt")}
    assert math.isclose(optimum.loc[("direct", "none"), "largest_stable_learning_rate"], 7.9598e-6, rel_tol=1e-4)
    assert optimum.loc[("exp-exp", "sqrt"), "largest_stable_learning_rate"] > 7
    assert (optimum["loss"].abs() < 1e-9).all()
    assert (tmp_path / "landscape.png").is_file()


def test_a_landscape_of_what_has_none_leaves_the_other_files(tmp_path: Path) -> None:
    arguments = [*SHORT, "--landscape", "--teacher", "0.99", "--parametrization", "polar", "--quiet"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "summary.csv").is_file()
    assert not (tmp_path / "landscape.csv").exists()


def test_a_horizon_that_is_too_short_is_said(capsys: Captured) -> None:
    assert run([*SMALL, "--lambda", "0.9,0.99", "--arch", "gru", "--length", "50"]) == 0
    said = capsys.readouterr()
    assert "shorter than 4.2 time constants" in said.err
    assert "horizon too short" in said.out


@pytest.mark.parametrize("kind", ["json", "csv", "markdown"])
def test_formats(kind: str, capsys: Captured) -> None:
    assert run([*SHORT, "--format", kind, "--quiet"]) == 0
    said = capsys.readouterr().out
    if kind == "json":
        assert [set(row) for row in json.loads(said)["summary"]] == [set(TABLES["summary"])] * 11
    else:
        assert "scalar" in said
        assert "cursed" in said


def with_data(array: np.ndarray, tmp_path: Path, *arguments: str) -> list[str]:
    np.save(tmp_path / "x.npy", array)
    shown = ["sensitivity", "--hidden-size", "5", "--device", "cpu", "--arch", "gru", "--quiet"]
    return [*shown, "--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "out"), *arguments]


def test_real_data_drive_the_scalar_law(tmp_path: Path) -> None:
    random = np.random.RandomState(0).standard_normal((2, 4000, 3))
    x = np.zeros_like(random)
    for t in range(1, 4000):
        x[:, t] = 0.8 * x[:, t - 1] + random[:, t]
    arguments = ["--lambda", "0.5,0.9", "--length", "100", "--batch", "2", "--parametrization", "direct,exp-exp"]
    assert run(with_data(x[:, 100:], tmp_path, *arguments)) == 0
    rows = pd.read_csv(tmp_path / "out" / "sensitivity.csv")
    assert set(rows["arch"]) == {"scalar", "gru"}
    rows = rows[rows["arch"] == "scalar"]
    assert rows["input"].unique().tolist() == [str(tmp_path / "x.npy")]
    assert (rows["measured"] / rows["theory_finite"]).between(0.6, 1.5).all()  # R of the data, 234 windows
    expected = [state_power(0.9, 0.8), sensitivity(0.9, 0.8)]
    plain = rows[(rows["parametrization"] == "direct") & (rows["normalization"] == "none")]
    found = plain[plain["lambda_modulus"] == 0.9]["theory_finite"].to_numpy()
    assert np.allclose(found, expected, rtol=0.2)


def test_auto_takes_no_more_steps_than_the_data_have(tmp_path: Path) -> None:
    x = np.random.RandomState(0).standard_normal((4, 120, 3))
    assert run(with_data(x, tmp_path, "--lambda", "0.5,0.99")) == 0
    rows = pd.read_csv(tmp_path / "out" / "sensitivity.csv")
    assert rows[rows["arch"] == "gru"]["length"].unique().tolist() == [20, 120]
    assert rows[rows["arch"] == "scalar"]["length"].unique().tolist() == [60]  # eight windows of each feature


def test_a_constant_column_is_refused(tmp_path: Path, capsys: Captured) -> None:
    x = np.random.RandomState(0).standard_normal((4, 120, 3))
    x[..., 1] = 7
    said = refused(with_data(x, tmp_path, "--lambda", "0.5,0.9"), capsys)
    assert "Column 2 is constant" in said


def test_data_that_are_not_stationary_are_said(tmp_path: Path, capsys: Captured) -> None:
    walk = np.cumsum(np.random.RandomState(0).standard_normal((2000, 2)), axis=0)
    arguments = [word for word in with_data(walk, tmp_path, "--lambda", "0.5,0.9") if word != "--quiet"]
    assert run(arguments) == 0
    assert "stationary" in capsys.readouterr().err
    notes = json.loads((tmp_path / "out" / "run.json").read_text())["notes"]
    assert any("is not stationary" in note for note in notes)


def test_equal_columns_are_one_sample(tmp_path: Path) -> None:
    one = np.random.RandomState(0).standard_normal((4000, 1))
    arguments = ["--lambda", "0.9", "--length", "50", "--samples", "64", "--parametrization", "direct"]
    errors = []
    for columns in (1, 5):
        assert run(with_data(np.repeat(one, columns, axis=1), tmp_path, *arguments)) == 0
        rows = pd.read_csv(tmp_path / "out" / "sensitivity.csv")
        errors.append(rows[rows["arch"] == "scalar"]["standard_error"].to_numpy())
    assert np.allclose(*errors, rtol=1e-9)


def test_inputs_that_the_scalar_law_is_not_about_are_said(capsys: Captured) -> None:
    assert run(["sensitivity", "--hidden-size", "5", "--arch", "gru", "--lambda", "0.5", "--input", "adding"]) == 0
    said = capsys.readouterr()
    assert "The scalar law is left out" in said.err
    assert "scalar" not in said.out


ONE = ["--seeds", "1", "--batch", "4"]  # draw of weights


def test_an_architecture_without_a_dial_beside_one_that_has_one(tmp_path: Path, capsys: Captured) -> None:
    assert run([*SMALL, "--arch", "rrn,gru", "--lambda", "0.5,0.9", "--out", str(tmp_path), "--depth", "1", *ONE]) == 0
    said = capsys.readouterr()
    assert "rrn has no memory dial and is measured at initialisation alone; those that have one: rnn, " in said.err
    assert "rrn has no memory dial: measured at initialisation, where its median |λ| is 0." in said.out
    rows = pd.read_csv(tmp_path / "sensitivity.csv")
    rrn, gru = (rows[rows["arch"] == name] for name in ("rrn", "gru"))
    assert rrn["lambda_modulus"].isna().all()
    assert gru["lambda_modulus"].unique().tolist() == [0.5, 0.9]
    model = gradscope.build("rrn", input_size=3, hidden_size=5, dtype=torch.float32)
    x = gradscope.make_inputs("white", batch=4, length=100, input_size=3)
    moduli = gradscope.jacobian_spectrum(model, x).eigenvalues.abs()
    assert rrn["achieved_lambda_modulus"].iloc[0] == pytest.approx(float(moduli.median()), rel=1e-9)
    assert rrn["spectral_radius"].iloc[0] == pytest.approx(float(moduli.max()), rel=1e-9)
    expected = gradscope.memory_sensitivity(model, x, probes=1).state_power.mean()
    assert rrn[rrn["quantity"] == "state_power"]["measured"].iloc[0] == pytest.approx(float(expected), rel=1e-6)
    assert set(pd.read_csv(tmp_path / "depth.csv")["lambda_modulus"]) == {0.5, 0.9}


SCALAR_ALONE = ["sensitivity", "--arch", "lru", "--hidden-size", "2", "--input-size", "1", "--batch", "1", "--quiet"]


def test_short_sequences_support_no_verdict(tmp_path: Path, capsys: Captured) -> None:
    assert run([*SCALAR_ALONE, "--lambda", "0.9,0.99", "--length", "10", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert set(summary["status"]) == {"horizon too short"}
    assert set(summary["verdict"]) == {"unknown"}
    assert "cannot be told" in said
    assert "mitigate" not in said.partition("Exponents")[2].partition("\n")[2].partition("\n")[2]


def test_exponents_are_fitted_where_sequences_are_long_enough(tmp_path: Path) -> None:
    arguments = ["--lambda", "0.9,0.97,0.99,0.9999", "--length", "1000", "--samples", "4096"]
    assert run([*SCALAR_ALONE, *arguments, "--parametrization", "direct", "--out", str(tmp_path)]) == 0
    summary = pd.read_csv(tmp_path / "summary.csv").iloc[0]
    assert summary["status"] == "ok"
    assert summary["exponent"] == pytest.approx(-3, abs=0.15)
    assert summary["dh_domega_power_ratio_last"] == pytest.approx(1, abs=0.2)


def test_what_cancels_is_zero_and_mitigated(tmp_path: Path) -> None:
    arguments = ["--input", "constant", "--gamma", "attached", "--normalization", "exact,coupled"]
    assert run([*SCALAR_ALONE, *arguments, "--lambda", "0.9..0.999:3", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "sensitivity.csv")
    rows = rows[(rows["arch"] == "scalar") & (rows["quantity"] == "dh_domega_power")]
    assert (rows["theory_infinite"] == 0).all()
    assert (rows[rows["lambda_modulus"] == 0.9]["measured"] == 0).all()
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert set(summary[summary["arch"] == "scalar"]["verdict"]) == {"mitigated"}


def test_exponents_beside_constant_gates(tmp_path: Path, capsys: Captured) -> None:
    arguments = ["sensitivity", "--arch", "lstm,gru,lru", "--lambda", "0.9,0.99", "--samples", "2", "--seeds", "4"]
    assert run([*arguments, "--hidden-size", "8", "--input-size", "3", "--out", str(tmp_path), "--quiet"]) == 0
    found = pd.read_csv(tmp_path / "exponents.csv").set_index(["arch", "quantity", "group"])["theory"]
    assert [found["lstm", "dh_domega_power", "magnitude"], found["lstm", "state_power", "state"]] == [-1, -1]
    assert [found["gru", "dh_domega_power", "magnitude"], found["gru", "state_power", "state"]] == [1, 1]
    assert [found["lru", "dh_domega_power", "magnitude"], found["lru", "dh_domega_power", "angle"]] == [0, -2]
    assert "gru (magnitude) deviates from its law with constant gates: p = " in capsys.readouterr().out


def test_toml(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'command = "sensitivity"\nlambda = [0.5, 0.9]\narch = "gru"\nhidden-size = 5\ninput-size = 3\nsamples = 16\n'
    )
    assert run(["run", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert pd.read_csv(tmp_path / "out" / "sensitivity.csv")["lambda_modulus"].unique().tolist() == [0.5, 0.9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lambda", "1"], "--lambda should lie between 0 and 1, but 1 was given"),
        (["--lambda", "0.99..0.9"], "is empty or reversed"),
        (["--teacher", "1.5"], "--teacher should lie between 0 and 1, but '1.5' was given"),
        (["--length", "1"], "--length should be at least 2"),
        (["--length", "long"], "--length should be a whole number or auto, but 'long' was given"),
        (["--parametrization", "sigmod"], "Did you mean 'sigmoid'?"),
        (["--normalization", "sqr"], "Did you mean 'sqrt'?"),
        (["--second", "--gamma", "attached"], "--second is E|d²h/dω²|² with γ detached"),
        (["--gamma", "atached"], "Did you mean 'attached'?"),
        (["--arch", "transformer"], "transformer has no memory dial to set λ with; those that have one: "),
        (["--samples", "1"], "--samples should be at least 2, but 1 was given"),
        (["--lambda", "0.9,0.99999999"], "which float32 does not hold; add --dtype float64"),
        (["--arch", "rrn"], "rrn has no memory dial to set λ with"),
        (["--arch", "gru,transformer"], "transformer has no memory dial to set λ with"),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], message: str, capsys: Captured) -> None:
    assert message in refused([*SMALL, *arguments], capsys)


def test_the_help_names_every_setting(capsys: Captured) -> None:
    assert run(["sensitivity", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"--{shown_name(name)}" in said for name in OPTIONS)


DENSE = [*SMALL, "--parametrization", "direct", "--normalization", "none", "--quiet"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_dense_matrix_is_swept_by_its_radius(tmp_path: Path, capsys: Captured) -> None:
    """By its median, linear-rnn overflowed at E|h|² = 2e22 and rnn had a radius of 1.35 to 1.5."""
    arguments = [*DENSE, "--arch", "rnn,linear-rnn,ind-rnn", "--hidden-size", "24", "--lambda", "0.9..0.99:3"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "sensitivity.csv").query("arch != 'scalar'")
    for column in ("spectral_radius", "achieved_lambda_modulus"):
        assert np.allclose(rows[column], rows["lambda_modulus"], rtol=1e-5)
    assert np.isfinite(rows["measured"]).all()
    powers = rows[rows["quantity"] == "state_power"].set_index(["arch", "lambda_modulus"])["measured"]
    assert powers["rnn"].max() < 1
    assert powers["linear-rnn"].max() < 1000
    said = capsys.readouterr().out
    assert "rnn: the dial sets the spectral radius of its recurrent matrix; that of the state Jacobian is 0." in said
    assert "linear-rnn: the dial" not in said
    summary = pd.read_csv(tmp_path / "summary.csv").set_index("arch")
    assert summary.loc["linear-rnn", "state_jacobian_radius_last"] == pytest.approx(0.99, rel=1e-5)
    assert summary.loc["rnn", "state_jacobian_radius_last"] < 0.9
    assert math.isnan(summary.loc["scalar", "state_jacobian_radius_last"])


GROWING = """
import torch
import gradscope


class Growing(gradscope.Recurrence):
    gain = {gain}

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = self.output_size = input_size
        self.state_spec = (gradscope.Block("h", (input_size,)),)
        self.decay = torch.nn.Parameter(torch.rand(input_size))

    def step(self, s, u, t):
        return {{"h": self.gain * self.decay * s["h"] + u["x"]}}

    @property
    def memory_dial(self):
        return Dial(self.decay)


class Dial(gradscope.MemoryDial):
    def __init__(self, decay):
        self.decay = decay

    def turn(self, modulus):
        self.decay.fill_(modulus)

    def moduli(self, x):
        return self.decay
"""


@pytest.mark.parametrize(
    ("gain", "code", "status"),
    [
        (1.05, 0, "state explodes at λ = 0.99"),
        (1.5, 4, "non-finite: state explodes at λ = 0.9"),
        (1e30, 4, "non-finite: state explodes at λ = 0.9"),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_state_that_explodes_is_said(gain: float, code: int, status: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "growing.py").write_text(GROWING.format(gain=gain))
    arguments = [*DENSE, "--arch", f"{tmp_path}/growing.py:Growing", "--lambda", "0.9,0.95,0.99"]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == code
    said = capsys.readouterr().out
    row = pd.read_csv(tmp_path / "out" / "summary.csv").query("arch != 'scalar'").iloc[0]
    assert (row["verdict"], row["status"]) == ("exploding", status)
    assert math.isnan(row["exponent"])
    assert math.isnan(row["state_exponent"])
    exponents = pd.read_csv(tmp_path / "out" / "exponents.csv").query("arch != 'scalar'")
    assert exponents["exponent"].isna().all()
    assert not exponents["status"].eq("ok").any()
    assert f"the {status.removeprefix('non-finite: ')}: there is no exponent, and no verdict on its memory." in said
    assert run(["plot", str(tmp_path / "out")]) == 0


def test_a_terminal_shows_no_warning_of_numpys(tmp_path: Path) -> None:
    (tmp_path / "growing.py").write_text(GROWING.format(gain=1e30))
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "gradscope", *DENSE, "--lambda", "0.9,0.95"]
    command += ["--arch", f"{tmp_path}/growing.py:Growing", "--out", str(tmp_path / "out")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 4
    assert "Warning" not in found.stderr
    assert "state explodes at λ = 0.9" in found.stdout


def test_what_is_no_power_law_has_no_exponent(tmp_path: Path, capsys: Captured) -> None:
    """Its exponents were −3.28 ± 0.03, −4.06 ± 1.21 and −2.70 ± 0.07 for three seeds."""
    arguments = ["sensitivity", "--arch", "lstm", "--lambda", "0.9..0.999437659:4", "--seeds", "6", "--batch", "4"]
    arguments += ["--samples", "16", "--parametrization", "direct", "--normalization", "none", "--quiet"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    row = pd.read_csv(tmp_path / "summary.csv").set_index("arch").loc["lstm"]
    assert (row["verdict"], row["status"]) == ("no power law", "no power law")
    assert math.isnan(row["exponent"])
    assert math.isnan(row["exponent_standard_error"])
    slopes = [float(slope) for slope in row["local_slopes"].split()]
    assert max(slopes[:2]) < -3.5
    assert slopes[2] > -0.5
    shown = ", ".join(f"{slope:+.1f}" for slope in slopes)
    assert f"no power law ({shown})" in said
    assert "lstm (magnitude) follows no power law here: from small memory to large its local slopes are" in said
    exponents = pd.read_csv(tmp_path / "exponents.csv").set_index(["arch", "quantity", "group"])
    mine = exponents.loc[("lstm", "dh_domega_power", "magnitude")]
    assert (mine["status"], mine["local_slopes"], mine["draws"]) == ("no power law", row["local_slopes"], 6)
    assert math.isnan(mine["exponent"])
    assert exponents.loc[("lstm", "state_power", "state"), "status"] == "ok"


def test_errors_are_the_scatter_of_draws_of_weights(tmp_path: Path) -> None:
    arguments = [*DENSE, "--arch", "gru", "--lambda", "0.5..0.9:3"]
    assert run([*arguments, "--out", str(tmp_path / "all"), "--seeds", "3"]) == 0
    alone = []
    for seed in range(3):
        assert run([*arguments, "--out", str(tmp_path / str(seed)), "--seeds", "1", "--seed", str(seed)]) == 0
        alone.append(pd.read_csv(tmp_path / str(seed) / "summary.csv").set_index("arch").loc["gru"])
    row = pd.read_csv(tmp_path / "all" / "summary.csv").set_index("arch").loc["gru"]
    exponents = np.array([one["exponent"] for one in alone])
    assert row["exponent"] == pytest.approx(exponents.mean(), abs=0.01)  # achieved |λ| are means over the draws
    error = exponents.std(ddof=1) / math.sqrt(3)
    assert row["exponent_standard_error"] == pytest.approx(error * student_bound(0.9545, 2) / 2, rel=0.02)
    assert row["draws"] == 3
    for one in alone:
        assert (one["verdict"], one["status"], one["draws"]) == ("unknown", "one draw of weights", 1)
        assert math.isnan(one["exponent_standard_error"])


def test_a_single_draw_is_said(capsys: Captured) -> None:
    assert run([*DENSE, "--arch", "gru", "--lambda", "0.5,0.9", "--seeds", "1"]) == 0
    said = capsys.readouterr().out
    assert "unknown (one draw of weights)" in said
    assert "gru (magnitude) was measured with one draw of weights: without an error an exponent supports no" in said


def test_a_verdict_within_its_error_is_unknown(capsys: Captured) -> None:
    assert run([*DENSE, "--arch", "lru", "--lambda", "0.5,0.9"]) == 0
    said = capsys.readouterr().out
    assert "unknown (within its error)" in said
    assert "lru (magnitude) cannot be told: a border of the verdicts lies within two errors of p = " in said


def test_one_value_of_lambda_is_not_too_short(tmp_path: Path, capsys: Captured) -> None:
    assert run([*DENSE, "--arch", "gru", "--lambda", "0.9", "--out", str(tmp_path)]) == 0
    assert set(pd.read_csv(tmp_path / "summary.csv")["status"]) == {"one value of λ"}
    assert "no exponent could be fitted" in capsys.readouterr().out


def test_sequences_that_are_too_short_are_marked(tmp_path: Path, capsys: Captured) -> None:
    assert run([*DENSE, "--arch", "lru", "--lambda", "0.5,0.9,0.99", "--length", "60", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "sensitivity.csv")
    for _, mine in rows[rows["quantity"] == "dh_domega_power"].groupby(["arch", "group"]):
        assert mine["long_enough"].tolist() == [True, True, False]
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert not summary["long_enough_last"].any()
    for row in summary.to_dict(orient="records"):
        assert f"{row['dh_domega_power_last']:.3g}*" in said
        assert f"{row['dh_domega_power_first']:.3g}*" not in said
    svg = (tmp_path / "sensitivity.svg").read_text(encoding="utf-8")
    assert "hollow: sequence too short" in svg
    figure = plot_sensitivity(rows)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [line.get_xdata().tolist() for line in hollow] == [pytest.approx([0.01])] * 2
    assert "hollow" not in str(plot_sensitivity(rows[rows["long_enough"]]).axes[0].get_legend_handles_labels())


def test_files_of_before_still_open(tmp_path: Path, capsys: Captured) -> None:
    arguments = [*SHORT, "--quiet", "--out", str(tmp_path)]
    assert run(arguments) == 0
    for name, columns in LATER.items():
        write_frame(pd.read_csv(tmp_path / f"{name}.csv").drop(columns=list(columns)), tmp_path / f"{name}.csv")
    tables = read_frames(tmp_path, COMMAND)
    for name, columns in LATER.items():
        assert tables[name][list(columns)].isna().all(axis=None)
        assert tuple(tables[name].columns) == TABLES[name]
    (tmp_path / "sensitivity.png").unlink()
    assert run(["plot", str(tmp_path)]) == 0
    assert (tmp_path / "sensitivity.png").is_file()
    for path in (tmp_path / "cells").glob("*.json"):
        cell = json.loads(path.read_text())
        for name, columns in LATER.items():
            for column in columns:
                cell["tables"].get(name, {}).pop(column, None)
        path.write_text(json.dumps(cell))
    assert run([*arguments, "--resume"]) == 0
    assert pd.read_csv(tmp_path / "sensitivity.csv")["long_enough"].isna().all()


@pytest.mark.parametrize("seed", range(3))
def test_the_scalar_law_is_a_power_law_with_the_verdicts_of_theory(seed: int, tmp_path: Path) -> None:
    arguments = [*SCALAR_ALONE, "--lambda", "0.9..0.9999", "--seed", str(seed), "--length", "50000"]
    assert run([*arguments, "--parametrization", "direct,exp-exp,tanh", "--out", str(tmp_path)]) == 0
    summary = pd.read_csv(tmp_path / "summary.csv").query("arch == 'scalar'")
    assert set(summary["status"]) == {"ok"}
    assert summary["verdict"].tolist() == ["cursed", "softened", "softened", "mitigated", "softened", "mitigated"]
    assert summary["exponent"].tolist() == pytest.approx([-3, -2, -1, 0, -1, 0], abs=0.05)
    exponents = pd.read_csv(tmp_path / "exponents.csv").query("arch == 'scalar'")
    assert set(exponents["status"]) == {"ok"}
    for slopes, theory in zip(exponents["local_slopes"], exponents["theory"], strict=True):
        assert [float(slope) for slope in slopes.split()] == pytest.approx([theory] * 4, abs=0.25)


def test_theory_that_bends_is_still_theory(tmp_path: Path) -> None:
    """At ρ = 0.99 local slopes of theory go from −3.6 to −3.1: the measurement follows them."""
    arguments = [*SCALAR_ALONE, "--lambda", "0.9..0.999:4", "--input", "ar1:rho=0.99", "--samples", "4096"]
    arguments += ["--parametrization", "direct", "--normalization", "none", "--out", str(tmp_path)]
    assert run(arguments) == 0
    row = pd.read_csv(tmp_path / "summary.csv").set_index("arch").loc["scalar"]
    assert (row["verdict"], row["status"]) == ("cursed", "far from the limit")
    assert row["exponent"] == pytest.approx(row["exponent_theory_finite"], abs=0.1)


def test_a_border_within_two_errors_leaves_no_verdict() -> None:
    assert curse(-3.0, 0.2) == "cursed"
    assert curse(-3.0, 0.3) == "unknown"
    assert curse(-1.5, 0.4) == "softened"
    assert curse(0.0, 0.3) == "unknown"
    assert curse(0.0, math.nan) == "mitigated"


def test_verdicts() -> None:
    found = [curse(p) for p in (-3.0, -2.5, -2.0, -0.6, -0.5, 0.3, math.nan)]
    assert found == ["cursed", "cursed", "softened", "softened", "mitigated", "mitigated", "unknown"]
