"""Cells are plain data, independent of each other; what is finished is kept; what fails is a row."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import gradscope
from gradscope.commands.compare.columns import GRADIENT_COLUMNS, SUMMARY_COLUMNS
from gradscope.commands.compare.command import COMMAND
from gradscope.errors import GradscopeError, UnknownName, Unmeasurable, UsageError
from gradscope.running.cell import Cell, CellResult
from gradscope.running.checkpoint import load_checkpoint
from gradscope.running.plan import Plan, resolve_device
from gradscope.running.runner import run_cell, run_sweep
from gradscope.running.store import CellStore

SMALL = {"hidden_size": "5", "input_size": "3", "batch": "2", "seeds": "1", "device": "cpu", "dtype": "float64"}


def planned(**given: Any) -> Plan:
    return COMMAND.plan_of(COMMAND.configure(SMALL | given, folder=Path.cwd()))


def one_cell(**given: Any) -> Cell:
    (cell,) = planned(**{"arch": "rnn", "lengths": "4,9"} | given).cells
    return cell


def rows(result: CellResult) -> list[dict[str, Any]]:
    return result.tables["summary"].to_dict("records")


OWN = """
import torch

class Late(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.map = torch.nn.Linear(input_size, hidden_size)

    def forward(self, x):
        if x.shape[1] > 20:
            raise ValueError("the table has 20 positions")
        return self.map(x).cumsum(1)
"""


def own_file(folder: Path, text: str = OWN) -> Path:
    file = folder / "own.py"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_plan_has_a_cell_for_every_architecture_and_seed() -> None:
    plan = planned(arch="rnn,lstm:forget_bias=0|1", lengths="4..20", seeds="2", seed="7")
    assert [(cell.label, cell.seed) for cell in plan.cells] == [
        (label, seed) for label in ("rnn", "lstm:forget_bias=0", "lstm:forget_bias=1") for seed in (7, 8)
    ]
    assert all(cell.lengths == (4, 5, 10, 20) for cell in plan.cells)
    assert "Lengths: 4, 5, 10, 20." in plan.messages


def test_a_cell_is_plain_data_and_its_result_survives_json() -> None:
    cell = one_cell()
    assert json.loads(json.dumps(asdict(cell)))["model"]["architecture"]["name"] == "rnn"
    result = run_cell(cell)
    assert set(result.tables["gradients"]) == set(GRADIENT_COLUMNS)
    assert set(result.tables["summary"]) == set(SUMMARY_COLUMNS)
    for frame in result.tables.values():
        assert {type(value) for row in frame.to_dict("records") for value in row.values()} <= {str, int, float, bool}


def test_a_cell_measures_what_the_library_measures() -> None:
    result = run_cell(one_cell(lengths="9", seed="3"))
    model = gradscope.build("rnn", input_size=3, hidden_size=5, seed=3, dtype=torch.float64)
    x = gradscope.make_inputs("white", batch=2, length=9, input_size=3, seed=3, dtype=torch.float64)
    norm = gradscope.gradient_norms(model, x, lengths=[9], seed=3).log10_norm["h"][0, :, 0]
    expected = (torch.logsumexp(2 * math.log(10) * norm, 0) - math.log(2)) / (2 * math.log(10))
    assert rows(result)[0]["log10_norm_step_1"] == pytest.approx(float(expected), rel=1e-12)
    assert rows(result)[0]["parameters"] == model.parameters_counted


def test_gradient_rows_hold_every_component() -> None:
    frame = run_cell(one_cell(arch="lstm")).tables["gradients"]
    assert set(frame["component"]) == {"h", "c", "x", "<state>"}
    assert (frame["step"] + frame["steps_back"] == frame["length"]).all()


def test_about_64_lags_are_kept_or_every_step() -> None:
    results = [run_cell(one_cell(lengths="300", every_step=e)) for e in (False, True)]
    sampled, every = (result.tables["gradients"] for result in results)
    sampled, every = (frame[frame["component"] == "h"] for frame in (sampled, every))
    assert 40 <= len(sampled) <= 66
    assert {0, 299} <= set(sampled["steps_back"])
    assert len(every) == 300
    both = sampled.merge(every, on="step", suffixes=("", "_every"))
    assert (both["log10_norm"] == both["log10_norm_every"]).all()


def test_a_row_is_the_same_alone_and_beside_others() -> None:
    alone = run_sweep(planned(arch="lstm", lengths="9").cells).results[0]
    beside = run_sweep(planned(arch="rnn,lru,lstm", lengths="4,9", seeds="2").cells).results[4]
    (row,) = [row for row in rows(beside) if row["length"] == 9]
    assert (row["arch"], row["seed"]) == ("lstm", 0)
    for name, value in rows(alone)[0].items():
        assert row[name] == (pytest.approx(value, rel=1e-12, nan_ok=True) if isinstance(value, float) else value)


@pytest.mark.parametrize("kind", ["adding", "copy"])
def test_inputs_without_stable_prefix_are_measured_length_by_length(kind: str) -> None:
    given = {"input": kind, "input_size": None}
    together, alone = (run_cell(one_cell(lengths=lengths, **given)) for lengths in ("25,40", "25"))
    assert any("every length has its own input" in note for note in together.notes)
    assert rows(together)[0]["log10_norm_step_1"] == rows(alone)[0]["log10_norm_step_1"]


def test_a_component_can_be_chosen() -> None:
    assert {row["component"] for row in rows(run_cell(one_cell(arch="lstm", component="c")))} == {"c"}
    with pytest.raises(UnknownName, match=r"component of rnn called 'c'"):
        planned(arch="lstm,rnn", component="c", lengths="9")


def test_parameters_and_states_can_be_matched() -> None:
    plan = planned(arch="lstm,rnn", lengths="9", match="parameters", hidden_size="8")
    built = {
        cell.label: gradscope.build(cell.model.architecture.name, input_size=3, hidden_size=cell.hidden_size)
        for cell in plan.cells
    }
    around = [gradscope.build("rnn", input_size=3, hidden_size=n).parameters_counted for n in range(1, 60)]
    target = built["lstm"].parameters_counted
    assert built["lstm"].state_size == 16
    assert abs(built["rnn"].parameters_counted - target) == min(abs(size - target) for size in around)
    assert any("rnn: hidden size" in message for message in plan.messages)
    assert [c.hidden_size for c in planned(arch="lstm,rnn", lengths="9", match="state").cells] == [5, 10]


def test_a_state_cannot_be_matched_where_there_is_none() -> None:
    with pytest.raises(UsageError, match=r"--match state: transformer has none"):
        planned(arch="transformer,rnn", lengths="9", match="state")


def test_memory_is_said_and_limited() -> None:
    with pytest.raises(UsageError, match=r"transformer needs about .* GiB at T=3000 .* --max-memory 0\.01"):
        planned(arch="transformer", lengths="3000", max_memory="0.01")


def test_the_input_fixes_its_size() -> None:
    assert one_cell(input="adding", input_size=None).input.input_size == 2
    assert one_cell(input_size=None).input.input_size == 32
    with pytest.raises(UsageError, match=r"--input-size is 3, but the input 'adding' has 2 features"):
        planned(input="adding", lengths="9")


def series(folder: Path, steps: int = 30) -> Path:
    file = folder / "series.csv"
    frame = pd.DataFrame({"a": [math.sin(t) for t in range(steps)], "b": [float(t * t) for t in range(steps)]})
    frame.to_csv(file, index=False)
    return file


def test_real_data_give_the_input_size_and_say_what_was_done(tmp_path: Path) -> None:
    cell = one_cell(data=str(series(tmp_path)), input_size=None, lengths="4,20")
    assert (cell.input.input_size, cell.input.choice.kind) == (2, "")
    assert any("standardised" in note for note in run_cell(cell).notes)


def test_data_that_do_not_fit_are_refused_before_measuring(tmp_path: Path) -> None:
    file = str(series(tmp_path))
    with pytest.raises(UsageError, match=r"--input-size is 3, but the data .* has 2 features"):
        planned(data=file, lengths="9")
    with pytest.raises(UsageError, match=r"30 steps, but the longest length is 31"):
        planned(data=file, input_size=None, lengths="9,31")
    with pytest.raises(UsageError, match=r"nowhere\.csv"):
        planned(data=str(tmp_path / "nowhere.csv"), lengths="9")


def test_the_key_of_a_cell_follows_its_definition_and_the_content_of_files(tmp_path: Path) -> None:
    file = own_file(tmp_path)
    first = one_cell(arch=f"{file}:Late")
    assert one_cell(arch=f"{file}:Late").key == first.key
    assert replace(first, seed=1).key != first.key
    assert replace(first, lengths=(4,)).key != first.key
    own_file(tmp_path, OWN.replace("20", "21"))
    assert one_cell(arch=f"{file}:Late").key != first.key


def test_the_key_of_a_cell_follows_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = one_cell()
    before = cell.key
    monkeypatch.setattr("gradscope.running.cell.__version__", "0.0.0")
    assert cell.key != before


def test_a_class_that_fails_at_some_length_is_a_row_and_the_sweep_goes_on(tmp_path: Path) -> None:
    plan = planned(arch=f"{own_file(tmp_path)}:Late,rnn", lengths="9,30")
    failed, fine = run_sweep(plan.cells).results
    assert "own.py:Late, seed 0, could not be measured: the table has 20 positions" in failed.failure
    assert [row["status"] for row in rows(failed)] == ["failed", "failed"]
    assert [row["verdict"] for row in rows(failed)] == ["unknown", "unknown"]
    assert math.isnan(rows(failed)[0]["log10_norm_step_1"])
    assert set(rows(failed)[0]) == set(SUMMARY_COLUMNS)
    assert not failed.is_measured
    assert fine.is_measured


def test_numbers_that_are_not_finite_are_a_status() -> None:
    result = run_cell(one_cell(arch="linear-rnn:init=orthogonal:radius=1000", lengths="9,400", dtype="float32"))
    assert rows(result)[1]["status"] == "non-finite"
    assert not result.is_measured


class Counted:
    """Runs cells without measuring, and stops like Ctrl-C at one of them."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.ran: list[str] = []
        self.stop_at = stop_at

    def __call__(self, cell: Cell) -> CellResult:
        if len(self.ran) == self.stop_at:
            raise KeyboardInterrupt
        self.ran.append(cell.label)
        row = dict.fromkeys(SUMMARY_COLUMNS, -math.inf) | {"arch": cell.label, "status": "ok"}
        return CellResult({"summary": pd.DataFrame([row])})


def test_an_interrupted_sweep_keeps_what_is_finished_and_goes_on_from_there(tmp_path: Path) -> None:
    cells = planned(arch="rnn,lstm,gru", lengths="9").cells
    first = run_sweep(cells, memory=CellStore(tmp_path, resume=False), run=Counted(stop_at=2))
    assert first.interrupted
    assert [rows(result)[0]["arch"] for result in first.results] == ["rnn", "lstm"]
    again = Counted()
    second = run_sweep(cells, memory=CellStore(tmp_path, resume=True), run=again)
    assert again.ran == ["gru"]
    assert (second.recalled, second.interrupted) == (2, False)
    assert [rows(result)[0]["arch"] for result in second.results] == ["rnn", "lstm", "gru"]
    assert rows(second.results[0])[0]["log10_norm_step_1"] == -math.inf


def test_without_resume_everything_is_measured_again(tmp_path: Path) -> None:
    cells = planned(arch="rnn", lengths="9").cells
    run_sweep(cells, memory=CellStore(tmp_path, resume=False), run=Counted())
    again = Counted()
    run_sweep(cells, memory=CellStore(tmp_path, resume=False), run=again)
    assert again.ran == ["rnn"]


def saved(folder: Path, **changes: torch.Tensor | None) -> Path:
    """A checkpoint of ``torch.nn.LSTM(3, 5)`` with some entries changed or (None) left out."""
    weights = dict(torch.nn.LSTM(3, 5).state_dict()) | changes
    file = folder / "weights.pt"
    torch.save({name: value for name, value in weights.items() if value is not None}, file)
    return file


def model(name: str = "lstm") -> Any:
    return gradscope.build(name, input_size=3, hidden_size=5)


def test_a_checkpoint_of_torch_is_loaded(tmp_path: Path) -> None:
    file, loaded = saved(tmp_path), model()
    load_checkpoint(loaded, file)
    weights = torch.load(file, weights_only=True)
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())


def test_a_checkpoint_of_ones_own_module_needs_no_prefix(tmp_path: Path) -> None:
    cell = torch.nn.GRUCell(3, 5)
    torch.save(cell.state_dict(), tmp_path / "cell.pt")
    loaded = model("torch.nn:GRUCell")
    load_checkpoint(loaded, tmp_path / "cell.pt")
    assert torch.equal(next(v for n, v in loaded.state_dict().items() if n.endswith("weight_hh")), cell.weight_hh)


def test_checkpoints_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no checkpoint file .*missing\.pt"):
        load_checkpoint(model(), tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(UsageError, match=r"text\.pt cannot be read"):
        load_checkpoint(model(), tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UsageError, match=r"list\.pt holds no state_dict"):
        load_checkpoint(model(), tmp_path / "list.pt")
    with pytest.raises(UsageError, match=r"weights\.pt lacks bias_hh_l0; the model has"):
        load_checkpoint(model(), saved(tmp_path, bias_hh_l0=None))
    with pytest.raises(UsageError, match=r"named in .*, called 'weight_hh_l1'\. Did you mean 'weight_hh_l0'"):
        load_checkpoint(model(), saved(tmp_path, weight_hh_l1=torch.zeros(2)))
    with pytest.raises(UsageError, match=r"weight_hh_l0 of shape \(2, 2\), but the model's is \(20, 5\)"):
        load_checkpoint(model(), saved(tmp_path, weight_hh_l0=torch.zeros(2, 2)))
    with pytest.raises(UsageError, match=r"lacks .* and has .* too many"):
        load_checkpoint(model("lru"), saved(tmp_path))


def test_a_checkpoint_replaces_the_weights_of_a_cell(tmp_path: Path) -> None:
    file = str(saved(tmp_path))
    with_it, without = (run_cell(one_cell(arch="lstm", **more)) for more in ({"checkpoint": file}, {}))
    assert rows(with_it)[0]["log10_norm_step_1"] != rows(without)[0]["log10_norm_step_1"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there() -> None:
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UsageError, match=r"torch finds no CUDA device here; use cpu or auto"):
        resolve_device("cuda")


DROPOUT = """
import torch

class Noisy(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.map, self.drop = torch.nn.Linear(input_size, hidden_size), torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.map(x).cumsum(1))

class Backwards(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.both = torch.nn.GRU(input_size, hidden_size, bidirectional=True, batch_first=True)

    def forward(self, x):
        return self.both(x)[0]
"""


@pytest.mark.parametrize(
    ("name", "message"), [("Noisy", r"dropout in training mode"), ("Backwards", r"The model is not causal")]
)
def test_models_that_cannot_be_measured_are_refused_before(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(Unmeasurable, match=message):
        planned(arch=f"{own_file(tmp_path, DROPOUT)}:{name}", lengths="9")


def test_every_refusal_is_one_that_the_command_line_shows() -> None:
    assert all(issubclass(error, GradscopeError) for error in (UsageError, UnknownName, Unmeasurable))
    assert all(error.exit_code == 2 for error in (UsageError, UnknownName, Unmeasurable))
