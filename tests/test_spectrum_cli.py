"""``gradscope spectrum`` as its user meets it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradscope.commands.main import run
from gradscope.commands.spectrum.columns import TABLES
from gradscope.commands.spectrum.command import COMMAND
from gradscope.commands.spectrum.options import OPTIONS, PRODUCT_LAGS
from gradscope.commands.spectrum.steps import parse_steps
from gradscope.errors import UsageError
from gradscope.running.store import command_of, read_frames

SIZES = ["--hidden-size", "5", "--input-size", "3", "--seeds", "2", "--device", "cpu"]
SMALL = ["spectrum", *SIZES, "--length", "30", "--warm-up", "10", "--steps", "10,30"]
Captured = pytest.CaptureFixture[str]


def refused(arguments: list[str], capsys: Captured) -> str:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gradscope: ")
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_products_are_taken_at_some_lags_unless_every_step_is_asked_for(tmp_path: Path, capsys: Captured) -> None:
    arguments = [*SMALL, "--arch", "rnn", "--seeds", "1", "--length", "90"]
    assert run([*arguments, "--out", str(tmp_path / "some")]) == 0
    assert run([*arguments, "--every-step", "--out", str(tmp_path / "all")]) == 0
    some, every = (pd.read_csv(tmp_path / name / "products.csv").set_index("steps_back") for name in ("some", "all"))
    assert sorted(every.index) == list(range(1, 91))
    assert 25 <= len(some) <= PRODUCT_LAGS
    assert (some.index.min(), some.index.max()) == (1, 90)
    pd.testing.assert_frame_equal(some, every.loc[some.index], rtol=1e-12)


def test_files_and_their_columns(tmp_path: Path, capsys: Captured) -> None:
    arguments = [*SMALL, "--arch", "rnn,lru,sc-lstm-i:L=4,deltanet,hrl,transformer", "--batch", "2"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    names = {file.name for file in tmp_path.iterdir() if file.is_file()}
    pictures = {
        f"{name}.{kind}" for name in ("eigenvalues", "lyapunov", "products", "temporal") for kind in ("png", "svg")
    }
    assert names == {f"{name}.csv" for name in TABLES} | pictures | {"run.json"}
    command, tables = command_of(tmp_path), read_frames(tmp_path, COMMAND)
    assert command == "spectrum"
    for name, columns in TABLES.items():
        assert tuple(tables[name].columns) == columns
    counts = tables["eigenvalues"].groupby("arch")["multiplicity"].sum()
    assert counts.to_dict() == {"rnn": 5 * 8, "lru": 10 * 8, "sc-lstm-i:L=4": 15 * 8, "deltanet": 25 * 8, "hrl": 15 * 8}
    lyapunov = tables["lyapunov"]
    assert lyapunov.groupby("arch").size().to_dict() == {
        "rnn": 5 * 4,
        "lru": 10 * 4,
        "sc-lstm-i:L=4": 15 * 4,
        "deltanet": 25 * 4,
        "hrl": 15 * 4,
    }
    descending = lyapunov.groupby(["arch", "seed", "sample", "layer"])["exponent_nats_per_step"]
    assert descending.apply(lambda values: values.is_monotonic_decreasing).all()
    assert set(tables["period_eigenvalues"]["arch"]) == {"sc-lstm-i:L=4"}
    assert tables["products"].groupby(["arch", "seed", "sample"])["steps_back"].apply(list).iloc[0] == list(
        range(1, 31)
    )
    assert (tables["products"]["step"] == 30 - tables["products"]["steps_back"]).all()
    assert set(tables["temporal"]["arch"]) == {"transformer"}
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["command"] == "spectrum"
    assert document["configuration"]["steps"] == "10,30"


def test_summary_is_the_median_over_steps(tmp_path: Path) -> None:
    assert run([*SMALL, "--arch", "rnn", "--steps", "10,20,30", "--out", str(tmp_path), "--quiet"]) == 0
    tables = read_frames(tmp_path, COMMAND)
    medians = tables["steps"].groupby("seed")["spectral_radius"].median()
    assert np.allclose(tables["summary"]["spectral_radius"], medians, rtol=0, atol=0)
    largest = tables["lyapunov"][tables["lyapunov"]["index"] == 0]["exponent_nats_per_step"]
    assert np.allclose(tables["summary"]["lyapunov_max_nats_per_step"], largest, rtol=0, atol=0)
    assert np.allclose(tables["summary"]["exp_lyapunov_max"], np.exp(largest))


def test_layers_of_a_stack(tmp_path: Path) -> None:
    assert run([*SMALL, "--arch", "gru", "--num-layers", "2", "--out", str(tmp_path), "--quiet"]) == 0
    tables = read_frames(tmp_path, COMMAND)
    assert set(tables["eigenvalues"]["layer"]) == set(tables["lyapunov"]["layer"]) == {0, 1}
    assert set(tables["singular_values"]["layer"]) == {"joint"}
    assert (tables["singular_values"].groupby(["seed", "step"])["multiplicity"].sum() == 10).all()


def test_a_transformer_alone_is_a_sentence_and_the_temporal_jacobian(tmp_path: Path, capsys: Captured) -> None:
    assert run([*SMALL, "--arch", "transformer", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "transformer has no recurrent state" in said.out
    assert "temporal Jacobian" in said.err
    assert (tmp_path / "temporal.png").is_file()
    assert not (tmp_path / "eigenvalues.csv").exists()
    assert run(["plot", str(tmp_path)]) == 0


def test_temporal_and_no_products(tmp_path: Path) -> None:
    assert run([*SMALL, "--arch", "rnn", "--temporal", "--no-products", "--out", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "temporal.csv").is_file()
    assert not (tmp_path / "products.csv").exists()


def test_leading_exponents(tmp_path: Path) -> None:
    assert run([*SMALL, "--arch", "lstm", "--lyapunov", "2", "--out", str(tmp_path), "--quiet"]) == 0
    lyapunov = pd.read_csv(tmp_path / "lyapunov.csv")
    assert lyapunov["index"].tolist() == [0, 1] * 2
    assert math.isnan(pd.read_csv(tmp_path / "summary.csv")["exp_lyapunov_median"].iloc[0])


@pytest.mark.parametrize("kind", ["json", "csv", "markdown", "table"])
def test_formats(kind: str, capsys: Captured) -> None:
    assert run([*SMALL, "--arch", "rnn,lru", "--format", kind, "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    if kind == "json":
        document = json.loads(said.out)
        assert [set(row) for row in document["summary"]] == [set(TABLES["summary"])] * 4
        assert document["findings"]
    elif kind == "csv":
        assert said.out.splitlines()[0].startswith(
            "arch,seed,state_size,spectral_radius,largest_singular_value,exp_lyapunov_max,exp_lyapunov_median,"
            "near_unit_share,longest_time_constant,verdict,status"
        )
    else:
        assert "contracting (Λ₁ -" in said.out


def test_overflow_is_a_row_with_its_step_and_exit_code_4(capsys: Captured) -> None:
    exploding = "linear-rnn:init=orthogonal:radius=1e30"
    assert run([*SMALL, "--arch", f"rnn,{exploding}", "--format", "csv"]) == 4
    said = capsys.readouterr()
    assert "non-finite from step 1" in said.out
    assert "not finite" in said.err


def test_own_cells_go_through_autograd(tmp_path: Path) -> None:
    own = Path(__file__).parent.parent / "sample_configs" / "own_cell.py"
    assert run([*SMALL, "--arch", f"{own}:CoupledLSTMCell", "--out", str(tmp_path), "--quiet"]) == 0
    assert (pd.read_csv(tmp_path / "summary.csv")["state_size"] == 10).all()


def test_resume_and_toml(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        'command = "spectrum"\narch = "rnn"\nlength = 30\nwarm-up = 10\nsteps = [10, 30]\nhidden-size = 5\n'
        "input-size = 3\nseeds = 2\n"
    )
    assert run(["run", str(file), "--out", str(tmp_path / "out")]) == 0
    first = (tmp_path / "out" / "lyapunov.csv").read_text()
    capsys.readouterr()
    assert run(["run", str(file), "--out", str(tmp_path / "out"), "--resume"]) == 0
    assert "2 of 2 cells were finished by an earlier run" in capsys.readouterr().err
    assert (tmp_path / "out" / "lyapunov.csv").read_text() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "40"], "Step 40 lies outside the sequence, which has 30 steps"),
        (["--steps", "0"], "--steps '0' cannot be read; write steps, 10,50,200, or every:20, or last"),
        (["--steps", "evry:3"], "--steps 'evry:3' cannot be read"),
        (["--warm-up", "30"], "--warm-up takes 30 of 30 steps, which leaves nothing to measure"),
        (["--warm-up", "-1"], "--warm-up should be at least 0"),
        (["--lyapunov", "6"], "--lyapunov asks for 6 exponents, but the state of rnn has 5 numbers"),
        (["--lyapunov", "0"], "--lyapunov should be at least 1"),
        (["--lyapunov", "some"], "--lyapunov should be a whole number or all, but 'some' was given"),
        (["--lengthh", "3"], "--length"),
        (["--arch", "rnn:gain=2"], "no option of rnn called 'gain'"),
        (["--hidden-size", "30000"], "a dense Jacobian"),
        (["--resume"], "say which with --out DIR"),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], message: str, capsys: Captured) -> None:
    if message == "a dense Jacobian":
        said = refused(["spectrum", "--arch", "deltanet", "--hidden-size", "40000", "--max-memory", "1"], capsys)
        assert "GiB for the dense Jacobian of a state of 1,600,000,000 numbers" in said
        assert "--max-memory 1; take a smaller --hidden-size or --batch" in said
        return
    assert message in refused([*SMALL, "--arch", "rnn", *arguments], capsys)


def test_the_help_names_every_setting(capsys: Captured) -> None:
    assert run(["spectrum", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in said for name in OPTIONS)
    assert "Examples: gradscope spectrum" in said


def test_step_choices() -> None:
    assert parse_steps("--steps", "every:20").of_length(200) == tuple(range(20, 201, 20))
    assert parse_steps("--steps", "last").of_length(7) == (7,)
    assert parse_steps("--steps", "5,2,5").of_length(7) == (2, 5)
    with pytest.raises(UsageError, match="Step 9 lies outside"):
        parse_steps("--steps", "9").of_length(7)
