"""``gradscope sensitivity --depth`` and ``--hessian``: the files hold what the functions measure."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import gradscope
from gradscope.commands.main import run
from gradscope.commands.sensitivity.command import COMMAND
from gradscope.commands.sensitivity.studies import DepthCell, HessianCell
from gradscope.experiments.depth import signal_propagation
from gradscope.experiments.teacher_student import teacher_student_hessian
from gradscope.running.plan import Plan
from gradscope.running.runner import run_cell

SMALL = ["sensitivity", "--hidden-size", "4", "--input-size", "3", "--device", "cpu", "--samples", "16", "--batch", "2"]
SHORT = [*SMALL, "--arch", "gru", "--lambda", "0.5,0.9", "--length", "30", "--dtype", "float64"]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of one run of everything."""
    out = tmp_path_factory.mktemp("deep")
    extras = ["--depth", "3", "--block", "residual", "--hessian", "--teacher", "0.9", "--seeds", "2", "--seed", "3"]
    assert run([*SHORT, *extras, "--out", str(out), "--quiet"]) == 0
    return out


@pytest.mark.parametrize("name", ["depth", "hessian"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_pictures(folder: Path, name: str, suffix: str) -> None:
    assert (folder / f"{name}.{suffix}").stat().st_size > 10_000


def test_depth_writes_what_the_function_measures(folder: Path) -> None:
    table = pd.read_csv(folder / "depth.csv")
    assert set(table["recurrence"]) == {"cRNN", "lru", "gru"}
    assert table["input"].unique().tolist() == ["wiki-like"]
    assert table["layer"].unique().tolist() == [0, 1, 2]
    expected = []
    for seed in (3, 4):
        x = gradscope.make_inputs("wiki-like", batch=2, length=30, input_size=3, seed=seed, dtype=torch.float64)
        expected.append(signal_propagation("lru", 0.9, x, depth=3, width=4, seed=seed))
    mine = table[(table["recurrence"] == "lru") & (table["lambda_modulus"] == 0.9)].set_index(["group", "layer"])
    for layer in range(3):
        states = np.array([float(result.state_power[layer]) for result in expected])
        angles = np.array([float(result.gradient_power["angle"][layer]) for result in expected])
        assert mine.loc[("state", layer), "measured"] == pytest.approx(states.mean(), rel=1e-12)
        assert mine.loc[("angle", layer), "measured"] == pytest.approx(angles.mean(), rel=1e-12)
        assert mine.loc[("angle", layer), "standard_error"] == pytest.approx(abs(np.diff(angles)[0]) / 2, rel=1e-9)


def planned(**given: str | bool) -> Plan:
    small = {"arch": "gru", "hidden_size": "4", "input_size": "3", "batch": "2", "device": "cpu"}
    return COMMAND.plan_of(COMMAND.configure(small | given, folder=Path()))


def depth_cell(plan: Plan) -> DepthCell:
    (cell,) = [cell for cell in plan.cells if cell.label == "depth cRNN"]
    assert isinstance(cell, DepthCell)
    return cell


def test_depth_takes_the_input_that_was_asked_for() -> None:
    asked, silent = planned(depth="1", input="white", length="30"), planned(depth="4")
    assert depth_cell(asked).input.choice.kind == "white"
    assert "Depth: one residual block of width 4, T=30, the same input." in asked.messages
    assert depth_cell(silent).input.choice.kind == "wiki-like"
    assert "Depth: 4 residual blocks of width 4, T=512, wiki-like input." in silent.messages


def test_an_overflow_is_a_failure_and_not_a_number() -> None:
    result = run_cell(depth_cell(planned(lambda_="0.9999", length="400", depth="60", dtype="float32")))
    assert not result.is_measured
    assert result.failure == "depth cRNN overflowed in float32 at λ = 0.9999."
    assert not all(math.isfinite(value) for value in result.tables["depth"]["measured"])


def test_hessian_writes_what_the_function_measures(folder: Path) -> None:
    students = pd.read_csv(folder / "students.csv").set_index(["student", "seed"])
    assert list(students.index.unique(0)) == ["dense", "block-diagonal", "complex-diagonal", "lru"]
    expected = teacher_student_hessian("lru", 0.9, 30, 4)
    assert students.loc[("lru", 4), "diagonal_share"] == pytest.approx(expected.diagonal_share, rel=1e-9)
    recurrent = expected.adam_learning_rates[[group in ("magnitude", "angle") for group in expected.coordinates]]
    shown = students.loc[("lru", 4), "median_recurrent_adam_learning_rate"]
    assert shown == pytest.approx(float(recurrent.median()), rel=1e-9)
    spectrum, coordinates = (
        frame[(frame["student"] == "lru") & (frame["seed"] == 4)]
        for frame in (pd.read_csv(folder / f"{name}.csv") for name in ("hessian", "coordinates"))
    )
    assert spectrum["eigenvalue"].tolist() == pytest.approx(expected.eigenvalues.tolist(), rel=1e-9)
    assert spectrum["participation"].count() == len(expected.participation)
    assert coordinates["group"].tolist() == list(expected.coordinates)
    assert coordinates["hessian_diagonal"].tolist() == pytest.approx(expected.hessian.diagonal().tolist(), rel=1e-9)
    assert coordinates["adam_learning_rate"].tolist() == pytest.approx(expected.adam_learning_rates.tolist(), rel=1e-9)


def test_the_hessian_takes_three_time_constants_of_the_teacher() -> None:
    (cell, *_) = [cell for cell in planned(hessian=True).cells if cell.label.startswith("student")]
    assert isinstance(cell, HessianCell)
    assert (cell.lambdas, cell.lengths) == ((0.99,), (300,))


def test_both_are_in_json_and_markdown(capsys: Captured) -> None:
    extras = ["--depth", "2", "--hessian", "--quiet"]
    assert run([*SHORT, *extras, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["recurrence"] for row in document["depth"]} == {"cRNN", "lru", "gru"}
    assert len(document["students"]) == 4 * len(document["seeds"])
    assert any("Hessian's mass" in sentence for sentence in document["findings"])
    assert run([*SHORT, *extras, "--format", "markdown"]) == 0
    said = capsys.readouterr().out
    assert "| cRNN | ∂L/∂θ, lambda |" in said
    assert "| dense | 25 | 9 |" in said
    assert "Through 2 blocks at initialisation, from λ=0.5 to 0.9, the squared gradient" in said


def test_mistakes(capsys: Captured) -> None:
    assert run([*SHORT, "--depth", "0"]) == 2
    assert "--depth should be" in capsys.readouterr().err
    assert run([*SHORT, "--block", "residal"]) == 2
    assert "Did you mean 'residual'?" in capsys.readouterr().err
