"""The command line as its user meets it: results on stdout, one sentence on stderr, exit codes that mean something."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch

from gradscope import __version__
from gradscope.commands.compare.columns import GRADIENT_COLUMNS, SUMMARY_COLUMNS
from gradscope.commands.compare.options import OPTIONS
from gradscope.commands.main import run
from gradscope.running import execution, store
from gradscope.running.cell import Cell, CellResult
from gradscope.running.defaults import DEFAULTS
from gradscope.running.runner import run_cell

ROOT = Path(__file__).parent.parent
COMMAND_FILES = sorted(file for file in (ROOT / "sample_configs").glob("*.toml") if file.stem != "gradscope")
SMALL = ["--hidden-size", "5", "--input-size", "3", "--batch", "2", "--seeds", "1", "--device", "cpu"]
COMPARE_SMALL = ["compare", *SMALL, "--arch", "rnn,lstm", "--lengths", "4,9", "--no-remedies"]
FILES = {
    "gradients.csv",
    "summary.csv",
    "run.json",
    "gradient_norms.png",
    "gradient_norms.svg",
    "length_sweep.png",
    "length_sweep.svg",
}

Captured = pytest.CaptureFixture[str]


def not_json(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def command(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "gradscope", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
        timeout=120,
    )


def refused(arguments: list[str], capsys: Captured) -> str:
    """The one sentence with which a command is refused."""
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gradscope: ")
    assert said.err.count("\n") == 1
    assert said.err.rstrip().endswith((".", "?"))
    assert "Traceback" not in said.err
    return said.err


def test_the_table_is_on_stdout_and_messages_are_on_stderr(capsys: Captured) -> None:
    assert run(COMPARE_SMALL) == 0
    said = capsys.readouterr()
    assert "rnn" in said.out
    assert "lstm" in said.out
    assert "verdict" in said.out
    assert "Lengths: 4, 9." in said.err
    assert "Device" not in said.out


def test_quiet_leaves_stderr_empty(capsys: Captured) -> None:
    assert run([*COMPARE_SMALL, "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out


def test_a_table_that_is_piped_is_full_width_without_colour() -> None:
    names = [f"rnn:label={'long' * 8}{index}" for index in range(2)]
    answer = command("compare", *SMALL, "--arch", ",".join(names), "--lengths", "4..50")
    assert answer.returncode == 0
    for text in (*(name.removeprefix("rnn:label=") for name in names), "T=50", "verdict", "decades/step"):
        assert text in answer.stdout
    assert "…" not in answer.stdout
    assert "\x1b" not in answer.stdout


def test_json_is_one_document_with_the_configuration_and_the_rows(capsys: Captured) -> None:
    assert run([*COMPARE_SMALL, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=not_json)
    assert document["configuration"]["lengths"] == [4, 9]
    assert [set(row) for row in document["summary"]] == [set(SUMMARY_COLUMNS)] * 4
    assert document["summary"][0]["float32_lost_steps_back"] == "inf"


def test_csv_has_the_same_numbers_as_json(capsys: Captured) -> None:
    run([*COMPARE_SMALL, "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["summary"]
    run([*COMPARE_SMALL, "--format", "csv"])
    frame = pd.read_csv(StringIO(capsys.readouterr().out))
    assert tuple(frame.columns) == SUMMARY_COLUMNS
    assert frame["log10_norm_step_1"].tolist() == [row["log10_norm_step_1"] for row in rows]


def test_markdown_has_a_row_for_each_architecture(capsys: Captured) -> None:
    assert run([*COMPARE_SMALL, "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| --- |")
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["rnn", "lstm"]


def test_nothing_is_written_without_out(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(COMPARE_SMALL)
    assert list(tmp_path.iterdir()) == []


def test_out_holds_all_files(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "new" / "results"
    assert run([*COMPARE_SMALL, "--out", str(out)]) == 0
    assert {file.name for file in out.iterdir() if file.is_file()} == FILES
    assert all((out / name).stat().st_size for name in FILES)
    gradients, summary = pd.read_csv(out / "gradients.csv"), pd.read_csv(out / "summary.csv")
    assert tuple(gradients.columns) == GRADIENT_COLUMNS
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    record = json.loads((out / "run.json").read_text(), parse_constant=not_json)
    assert record["schema_version"] == store.SCHEMA_VERSION
    assert record["configuration"]["lengths"] == [4, 9]
    assert {"python", "torch", "numpy", "gradscope"} <= set(record["versions"])
    assert (record["device"], record["dtype"], record["seeds"]) == ("cpu", "float32", [0])
    assert record["threads"] == torch.get_num_threads()
    assert record["elapsed_seconds"] > 0


@pytest.mark.parametrize(("asked", "taken"), [([], 1), (["--threads", "2"], 2)])
def test_a_process_takes_one_thread_unless_told_otherwise(
    asked: list[str], taken: int, tmp_path: Path, capsys: Captured
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run([*COMPARE_SMALL, *asked, "--out", str(tmp_path)]) == 0
    finally:
        torch.set_num_threads(before)
    record = json.loads((tmp_path / "run.json").read_text(), parse_constant=not_json)
    assert record["threads"] == record["configuration"]["threads"] == taken
    assert {options["threads"] for options in DEFAULTS.values()} == {"1"}


def test_a_comparison_does_not_wait_for_what_it_does_not_use() -> None:
    """torch._dynamo and sympy take a second to import; torch asks for them where it is given cotangents."""
    code = (
        "import sys; from gradscope.commands.main import run; "
        "code = run(['compare', '--arch', 'rnn,lstm,lru,gru,deltanet,transformer', '--lengths', '10,100', "
        "'--seeds', '1', '--quiet']); "
        "sys.exit(code or ', '.join({'torch._dynamo', 'sympy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_plot_draws_again_without_measuring(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    run([*COMPARE_SMALL, "--out", str(tmp_path)])
    before = (tmp_path / "length_sweep.svg").read_bytes()
    for file in (*tmp_path.glob("*.png"), *tmp_path.glob("*.svg"), *(tmp_path / "cells").iterdir()):
        file.unlink()
    assert run(["plot", str(tmp_path)]) == 0
    assert (tmp_path / "length_sweep.svg").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == FILES


def test_resume_gives_the_same_tables(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*COMPARE_SMALL, "--out", str(tmp_path)]
    run(arguments)
    before = {name: (tmp_path / name).read_bytes() for name in ("gradients.csv", "summary.csv")}
    capsys.readouterr()
    assert run([*arguments, "--resume"]) == 0
    assert "2 of 2 cells were finished by an earlier run" in capsys.readouterr().err
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_relative_to_shows_the_ratios_that_people_print_by_hand(capsys: Captured) -> None:
    assert run([*COMPARE_SMALL, "--relative-to", "rnn"]) == 0
    assert "÷ rnn" in capsys.readouterr().out


def test_a_toml_file_and_what_overrides_it(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "configs" / "small.toml"
    file.parent.mkdir()
    file.write_text(
        'arch = "rnn"\nlengths = [4, 9]\nhidden-size = 5\ninput_size = 3\nbatch = 2\nseeds = 1\nout = "there"\n'
    )
    assert run(["run", str(file), "--format", "json"]) == 0
    assert (file.parent / "there" / "summary.csv").is_file()
    assert json.loads(capsys.readouterr().out)["configuration"]["hidden_size"] == 5
    monkeypatch.chdir(tmp_path)
    assert run(["run", str(file), "--out", "here", "--quiet"]) == 0
    assert (tmp_path / "here" / "summary.csv").is_file()
    assert capsys.readouterr().err == ""


def test_a_toml_file_with_a_mistake_is_refused(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.toml").write_text("hiden-size = 5\n")
    assert "Did you mean 'hidden-size'?" in refused(["run", str(tmp_path / "a.toml")], capsys)
    assert "There is no file" in refused(["run", str(tmp_path / "b.toml")], capsys)


@pytest.mark.parametrize("file", COMMAND_FILES, ids=lambda file: file.stem)
def test_sample_configurations_can_be_planned(file: Path) -> None:
    from gradscope.commands.files.command import read_toml

    command, given = read_toml(file)
    assert command.plan_of(command.configure(given, folder=file.parent, prefix="")).cells


def test_there_are_three_sample_configurations() -> None:
    assert len(list((ROOT / "sample_configs").glob("*.toml"))) >= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--arch", "lstn"], "Did you mean 'lstm'?"),
        (["compare", "--arch", "lstm:forget=1"], "Did you mean 'forget_bias'?"),
        (["compare", "--input", "whit"], "Did you mean 'white'?"),
        (["compare", "--loss", "lst"], "Did you mean 'last'?"),
        (["compare", "--device", "cudaa"], "Did you mean 'cuda'?"),
        (["compare", "--dtype", "float33"], "Did you mean 'float32'?"),
        (["compare", "--format", "jsonn"], "Did you mean 'json'?"),
        (["compare", "--arch", "lstm", "--lengths", "4", "--component", "hh"], "component of lstm called 'hh'"),
        (["compare", "--lengths", "100..10"], "should ascend"),
        (["compare", "--lengths", "0"], "at least 2 steps, but 0 was given"),
        (["compare", "--hidden-size", "-3"], "--hidden-size should be at least 1, but -3 was given"),
        (["compare", "--seeds", "two"], "--seeds should be a whole number, but 'two' was given"),
        (["compare", "--resume"], "say which with --out DIR"),
        (["compare", "--data", "nowhere.csv", "--lengths", "4"], "nowhere.csv"),
        (["compare", "--checkpoint", "nowhere.pt", "--arch", "rnn"], "nowhere.pt"),
        (["compare", "--input", "adding", "--input-size", "3"], "has 2 features"),
        (["compare", "--arch", "nowhere.py:Cell"], "nowhere.py"),
        (["compare", "--archh", "lstm"], "--arch"),
        (["compare", "--hidden-size"], "--hidden-size"),
        (["compare", "--quiet=yes"], "--quiet"),
        (["compare", "lstm"], "lstm"),
        (["comparre"], "compare"),
        (["--versoin"], "--version"),
        (["explain", "lstn"], "Did you mean 'lstm'?"),
        (["explain"], "'name'"),
        (["plot", "nowhere"], "nowhere has no gradients.csv"),
        (["run"], "'file'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], message: str, capsys: Captured) -> None:
    assert message in refused(arguments, capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there(capsys: Captured) -> None:
    assert "finds no CUDA device" in refused(["compare", "--device", "cuda"], capsys)


def test_an_unwritable_out_is_refused_before_measuring(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("kept")
    monkeypatch.setattr(execution, "run_sweep", lambda *_, **__: pytest.fail("it measured"))
    assert "cannot be written" in refused([*COMPARE_SMALL, "--out", str(tmp_path / "file")], capsys)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_mistake_writes_nothing(tmp_path: Path, capsys: Captured) -> None:
    refused(["compare", "--arch", "rnn", "--component", "q", "--out", str(tmp_path / "out")], capsys)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_in_a_process_of_its_own_show_no_traceback() -> None:
    answer = command("compare", "--archh", "rnn")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert "╭" not in answer.stderr


MIXING = """
import torch

class Mixing(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.norm = torch.nn.LayerNorm(input_size)

    def forward(self, x):
        y = self.norm(x)
        return (y + y.mean(0)).cumsum(1)
"""


def test_a_module_that_mixes_samples_is_refused_at_a_batch_of_one(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "own.py").write_text(MIXING)
    out = tmp_path / "out"
    arguments = ["compare", "--arch", f"{tmp_path / 'own.py'}:Mixing", "--batch", "1", "--lengths", "9"]
    assert "depends on the rest of the batch" in refused([*arguments, "--out", str(out)], capsys)
    assert not out.exists()


LATE = """
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


def test_cells_that_fail_are_rows_and_exit_code_4(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "own.py").write_text(LATE)
    arguments = ["compare", *SMALL, "--arch", f"{tmp_path / 'own.py'}:Late,rnn", "--lengths", "9,30", "--no-remedies"]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 4
    said = capsys.readouterr()
    assert "the table has 20 positions" in said.err
    assert "1 of 2 cells failed" in said.err
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["status"].tolist() == ["failed", "failed", "ok", "ok"]
    assert {file.name for file in (tmp_path / "out").iterdir() if file.is_file()} == FILES


def test_values_that_are_not_finite_are_exit_code_4(capsys: Captured) -> None:
    exploding = "linear-rnn:init=orthogonal:radius=1000"
    assert run(["compare", *SMALL, "--arch", exploding, "--lengths", "9,400"]) == 4
    said = capsys.readouterr()
    assert "not finite" in said.err
    assert "non-finite" in said.out


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def stops_at_the_second(cell: Cell) -> CellResult:
        if ran:
            raise KeyboardInterrupt
        ran.append(cell.label)
        return run_cell(cell)

    monkeypatch.setattr(execution, "run_cell", stops_at_the_second)
    arguments = [*COMPARE_SMALL, "--out", str(tmp_path)]
    assert run(arguments) == 130
    assert "Interrupted after 1 of 2 cells; go on with --resume." in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "summary.csv")["arch"].unique().tolist() == ["rnn"]
    assert json.loads((tmp_path / "run.json").read_text())["interrupted"] is True
    monkeypatch.undo()
    assert run([*arguments, "--resume"]) == 0
    assert "1 of 2 cells were finished by an earlier run" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "summary.csv")["arch"].unique().tolist() == ["rnn", "lstm"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_signal_ends_a_running_command_with_130(tmp_path: Path) -> None:
    arguments = ["compare", *SMALL, "--arch", "lstm", "--lengths", "3000", "--seeds", "500", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gradscope", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cells/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "go on with --resume" in said
    assert pd.read_csv(tmp_path / "summary.csv")["arch"].unique().tolist() == ["lstm"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupt_that_a_callback_swallows_is_not_lost() -> None:
    from gradscope.running.runner import remembered_interrupt

    before = signal.getsignal(signal.SIGINT)
    with remembered_interrupt() as check:
        check()
        with pytest.raises(KeyboardInterrupt):  # and swallowed
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before


def test_version(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gradscope {__version__}\n"


def test_the_bare_command_shows_its_help(capsys: Captured) -> None:
    assert run([]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert len([line for line in said.out.splitlines() if line.strip()]) > 5
    assert "compare" in said.out


@pytest.mark.parametrize("name", ["compare", "run", "plot", "list", "explain"])
def test_every_command_has_help_with_an_example(name: str, capsys: Captured) -> None:
    assert run([name, "--help"]) == 0
    assert "Example" in capsys.readouterr().out


def test_the_help_of_compare_names_every_setting(capsys: Captured) -> None:
    run(["compare", "--help"])
    text = capsys.readouterr().out
    assert [name for name in OPTIONS if f"--{name.replace('_', '-')}" not in text] == []


def test_list_and_explain_say_what_there_is(capsys: Captured) -> None:
    from gradscope.architectures.catalogue import ARCHITECTURES
    from gradscope.inputs.catalogue import INPUTS

    assert run(["list"]) == 0
    listed = capsys.readouterr().out
    for name, spec in ARCHITECTURES.items():
        assert name in listed
        assert spec.equation in listed
        assert spec.paper in listed
        assert run(["explain", name]) == 0
        explained = capsys.readouterr().out
        assert all(
            text in explained for text in (spec.equation, spec.paper, spec.memory_dial, *(o.name for o in spec.options))
        )
    for name in INPUTS:
        assert name in listed
        assert run(["explain", name]) == 0
        assert INPUTS[name].help in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["explain", "lstm"], ["compare", "--help"], ["--version"]])
def test_what_only_shows_words_imports_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from gradscope.commands.main import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules); "
        "sys.exit(code or (f'imported {sorted(heavy)}' if heavy else 0))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert answer.stderr == ""
    assert answer.returncode == 0


def test_the_package_imports_nothing_of_the_edge() -> None:
    program = (
        "import sys, gradscope; gradscope.build; gradscope.gradient_norms; gradscope.make_inputs; "
        "sys.exit(str(sorted({'typer', 'rich', 'matplotlib', 'pandas'} & set(sys.modules))) "
        "if {'typer', 'rich', 'matplotlib', 'pandas'} & set(sys.modules) else 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert (answer.stderr, answer.returncode) == ("", 0)


def test_float64_reaches_lengths_where_float32_has_nothing_left(capsys: Captured) -> None:
    arguments = ["compare", *SMALL, "--arch", "linear-rnn:init=orthogonal:radius=0.5", "--lengths", "2000"]
    assert run([*arguments, "--dtype", "float64", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["summary"]
    assert row["log10_relative_norm"] == pytest.approx(1999 * math.log10(0.5), rel=1e-9)
    assert row["verdict"] == "lost"
