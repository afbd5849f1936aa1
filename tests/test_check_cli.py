"""`gradscope check` and `gradscope baseline` as their user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.commands.check import against, measure
from gradscope.commands.check.baseline_file import read_baseline
from gradscope.commands.check.case_file import STARTER
from gradscope.commands.check.cases import Case
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase
from gradscope.commands.main import run
from tests.synthetic_cases import PROFILE as NORMS
from tests.synthetic_cases import SLOPE, STEPS, case, moved

ROOT = Path(__file__).parent.parent
BASELINE, CANDIDATE = "gradscope-baseline.json", "gradscope-candidate.json"
CASES = '[[case]]\narch = "rnn,lstm"\n'
BACK = np.array([-0.2 if step < 190 else 0.0 for step in STEPS])

Captured = pytest.CaptureFixture[str]
Measured = MeasuredCase | FailedCase


class Measurement:
    """Stands in for measuring: by the name of the case, what it gives."""

    def __init__(self) -> None:
        self.gives: dict[str, Callable[[str], Measured]] = {}
        self.asked: list[str] = []

    def __call__(
        self, cases: Sequence[Case], *, finished: Callable[[str], None] = lambda name: None
    ) -> tuple[Measured, ...]:
        self.asked += [one.name for one in cases]
        return tuple(self.gives.get(one.name, case)(one.name) for one in cases)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "gradscope.toml").write_text(CASES, encoding="utf-8")
    return tmp_path


@pytest.fixture
def measurement(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Measurement:
    stand_in = Measurement()
    monkeypatch.setattr(measure, "measure_cases", stand_in)
    return stand_in


@pytest.fixture
def recorded(measurement: Measurement, capsys: Captured) -> Measurement:
    assert run(["baseline", "record"]) == 0
    capsys.readouterr()
    return measurement


def failed(name: str) -> FailedCase:
    return FailedCase(name, "There is no class Cell in cell.py.")


def changed(name: str) -> MeasuredCase:
    return moved(case(name), {NORMS: BACK})


def refused(arguments: list[str], capsys: Captured, code: int = 2) -> str:
    """The one sentence with which a command is refused."""
    assert run(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("gradscope: ")
    assert sentence.endswith((".", "?"))
    assert "Traceback" not in said.err
    return sentence


class TestCheck:
    def test_equal_numbers(self, recorded: Measurement, capsys: Captured) -> None:
        assert run(["check"]) == 0
        said = capsys.readouterr()
        assert said.out.splitlines()[-1] == f"2 cases against {BASELINE}: 2 ok."
        assert f"Wrote {CANDIDATE}." in said.err
        assert set(read_baseline(Path(CANDIDATE)).cases) == {"rnn", "lstm"}

    def test_a_change_is_red_and_the_worst_news_comes_first(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["lstm"] = changed
        assert run(["check"]) == 1
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [row[0] for row in rows if len(row) > 1 and row[1] in ("ok", "changed")] == ["lstm", "rnn"]

    def test_the_report_alone_is_on_stdout(self, recorded: Measurement, capsys: Captured) -> None:
        assert run(["check", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["exit_code"] == 0
        assert run(["check", "--format", "json", "--quiet"]) == 0
        assert capsys.readouterr().err == ""

    def test_without_a_baseline_the_candidate_is_written(self, measurement: Measurement, capsys: Captured) -> None:
        assert run(["check"]) == 3
        said = capsys.readouterr()
        assert f"There is no file {BASELINE}; gradscope baseline record" in said.err
        assert said.out.splitlines()[-1] == f"2 cases against {BASELINE}: 2 missing."
        assert set(read_baseline(Path(CANDIDATE)).cases) == {"rnn", "lstm"}

    def test_an_empty_baseline(self, measurement: Measurement, capsys: Captured) -> None:
        Path(BASELINE).write_text('{"schema": 1}', encoding="utf-8")
        assert run(["check"]) == 3
        assert f"{BASELINE} has no case; write some with" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [("{", "is not valid JSON"), ('{"schema": 9}', "has schema 9"), ("[]", "is no baseline of gradscope")],
    )
    def test_a_damaged_baseline_is_refused_after_the_candidate_is_written(
        self, content: str, sentence: str, measurement: Measurement, capsys: Captured
    ) -> None:
        Path(BASELINE).write_text(content, encoding="utf-8")
        assert sentence in refused(["check"], capsys)
        assert set(read_baseline(Path(CANDIDATE)).cases) == {"rnn", "lstm"}

    def test_a_failed_case_outweighs_a_change(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives |= {"lstm": changed, "rnn": failed}
        assert run(["check"]) == 4
        out = capsys.readouterr().out
        assert "rnn: it could not be measured: There is no class Cell in cell.py." in out
        assert read_baseline(Path(CANDIDATE)).failed == {"rnn": "There is no class Cell in cell.py."}

    def test_numbers_that_are_none(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["rnn"] = lambda name: moved(case(name), {SLOPE: float("nan")})
        assert run(["check"]) == 4
        assert "rnn: T=200 slope h is not a number (NaN)" in capsys.readouterr().out

    def test_a_case_that_is_new_or_gone(self, folder: Path, recorded: Measurement, capsys: Captured) -> None:
        (folder / "gradscope.toml").write_text(CASES.replace("rnn", "gru"), encoding="utf-8")
        assert run(["check"]) == 3
        out = capsys.readouterr().out
        assert f"gru: {BASELINE} does not have it; write it with gradscope baseline record --case 'gru'." in out
        assert f"rnn: {BASELINE} has it, but gradscope.toml does not; write the case again, or remove it" in out

    def test_some_cases_alone(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.asked.clear()
        assert run(["check", "--case", "l*"]) == 0
        assert recorded.asked == ["lstm"]
        assert capsys.readouterr().out.splitlines()[-1] == f"1 case against {BASELINE}: 1 ok."
        assert "There is no case called 'lst'. Did you mean 'lstm'?" in refused(["check", "--case", "lst"], capsys)

    def test_names_of_files(self, folder: Path, measurement: Measurement) -> None:
        inner = folder / "inner"
        inner.mkdir()
        (folder / "gradscope.toml").rename(inner / "mine.toml")
        assert run(["baseline", "record", "--cases", "inner/mine.toml"]) == 0
        assert (inner / BASELINE).is_file()
        assert run(["check", "--cases", "inner/mine.toml"]) == 0
        assert (inner / CANDIDATE).is_file()
        arguments = ["--cases", "inner/mine.toml", "--baseline", f"inner/{BASELINE}", "--candidate", "c.json"]
        assert run(["check", *arguments]) == 0
        assert (folder / "c.json").is_file()

    def test_the_own_tolerance_of_a_case(self, folder: Path, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["lstm"] = changed
        (folder / "gradscope.toml").write_text(f"tolerance = 0.25\n{CASES}", encoding="utf-8")
        assert run(["check"]) == 0

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--profile", "cuda-f32"], "There is no profile 'cuda-f32': cpu-f64 (float64 on the CPU) is the one"),
            (["--format", "xml"], "There is no format called 'xml'."),
            (["--against", "main", "--baseline", "b.json"], "--baseline and --against were both given"),
            (["--candidate", BASELINE], "--candidate and --baseline name the same file"),
            (["--cases", "none.toml"], "none.toml"),
        ],
    )
    def test_wrong_use(self, arguments: list[str], sentence: str, measurement: Measurement, capsys: Captured) -> None:
        assert sentence in refused(["check", *arguments], capsys)
        assert measurement.asked == []

    def test_init_writes_a_starter_and_never_over_a_file(
        self, folder: Path, capsys: Captured, measurement: Measurement
    ) -> None:
        assert "is already there" in refused(["check", "--init"], capsys)
        assert (folder / "gradscope.toml").read_text(encoding="utf-8") == CASES
        (folder / "gradscope.toml").unlink()
        assert run(["check", "--init"]) == 0
        assert (folder / "gradscope.toml").read_text(encoding="utf-8") == STARTER
        assert run(["check"]) == 3
        assert measurement.asked


class TestAgainst:
    @staticmethod
    def base(monkeypatch: pytest.MonkeyPatch, *cases: Measured) -> list[Any]:
        asked: list[Any] = []

        def measure_at(revision: str, *arguments: Any) -> tuple[Measured, ...]:
            asked.append(revision)
            return cases

        monkeypatch.setattr(against, "measure_at", measure_at)
        monkeypatch.setattr(against, "check_working_copy", lambda cases, case_file: None)
        return asked

    def test_needs_no_file(self, measurement: Measurement, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
        asked = self.base(monkeypatch, case("rnn"), case("lstm"))
        assert run(["check", "--against", "origin/main"]) == 0
        assert asked == ["origin/main"]
        assert capsys.readouterr().out.splitlines()[-1] == "2 cases against origin/main: 2 ok."
        assert not Path(BASELINE).exists()
        assert Path(CANDIDATE).is_file()
        measurement.gives["lstm"] = changed
        assert run(["check", "--against", "origin/main"]) == 1

    def test_a_case_that_the_revision_cannot_run(
        self, measurement: Measurement, monkeypatch: pytest.MonkeyPatch, capsys: Captured
    ) -> None:
        self.base(monkeypatch, case("rnn"), failed("lstm"))
        assert run(["check", "--against", "v1"]) == 3
        out = capsys.readouterr().out
        assert "lstm: it could not be measured at v1: There is no class Cell in cell.py." in out


class TestBaseline:
    def test_accept_turns_red_into_green(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["lstm"] = changed
        assert run(["check"]) == 1
        assert "--reason should say why" in (capsys.readouterr(), refused(["baseline", "accept", CANDIDATE], capsys))[1]
        assert run(["baseline", "accept", CANDIDATE, "--reason", "on purpose"]) == 0
        said = capsys.readouterr()
        assert said.out == ""
        assert "lstm: moved by 0.2 decades." in said.err
        assert run(["check"]) == 0
        assert [change.reason for change in read_baseline(Path(BASELINE)).history] == ["recorded", "on purpose"]

    def test_accept_refuses_far_shifts(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["lstm"] = lambda name: moved(case(name), {NORMS: 5 * BACK})
        assert run(["check"]) == 1
        capsys.readouterr()
        accept = ["baseline", "accept", CANDIDATE, "--reason", "x"]
        assert "lstm has moved by 1 decades, and accept takes up to 0.3" in refused(accept, capsys)
        assert run([*accept, "--force"]) == 0

    def test_accept_without_a_candidate(self, folder: Path, capsys: Captured) -> None:
        assert "There is no file none.json" in refused(["baseline", "accept", "none.json", "--reason", "x"], capsys, 3)

    def test_record_keeps_what_it_can(self, measurement: Measurement, capsys: Captured) -> None:
        measurement.gives |= {"rnn": failed, "lstm": lambda name: moved(case(name), {SLOPE: float("nan")})}
        assert run(["baseline", "record"]) == 4
        said = capsys.readouterr()
        assert "gradscope: rnn was not recorded: There is no class Cell in cell.py." in said.err
        assert "gradscope: lstm was not recorded: it gave NaN" in said.err
        assert not Path(BASELINE).exists()
        measurement.gives.pop("lstm")
        assert run(["baseline", "record", "--quiet"]) == 4
        assert set(read_baseline(Path(BASELINE)).cases) == {"lstm"}

    def test_record_some_again(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["lstm"] = changed
        assert run(["baseline", "record", "--case", "lstm", "--reason", "again"]) == 0
        assert "lstm: moved by 0.2 decades." in capsys.readouterr().err
        history = read_baseline(Path(BASELINE)).history
        assert [(change.reason, change.cases) for change in history][1] == ("again", ("lstm",))

    def test_record_over_a_damaged_file_is_refused_before_measuring(
        self, measurement: Measurement, capsys: Captured
    ) -> None:
        Path(BASELINE).write_text("{", encoding="utf-8")
        assert "is not valid JSON" in refused(["baseline", "record"], capsys)
        assert measurement.asked == []
        assert Path(BASELINE).read_text(encoding="utf-8") == "{"

    def test_show(self, recorded: Measurement, capsys: Captured) -> None:
        assert run(["baseline", "show"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"{BASELINE}, written by gradscope ")
        assert "symmetry" in out
        assert "recorded (lstm, rnn)" in out
        assert run(["baseline", "show", "--case", "rnn"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == len(out.splitlines()) - 1
        assert "There is no file none.json" in refused(["baseline", "show", "none.json"], capsys, 3)

    def test_diff(self, recorded: Measurement, capsys: Captured) -> None:
        recorded.gives["lstm"] = changed
        assert run(["check"]) == 1
        capsys.readouterr()
        assert run(["baseline", "diff", BASELINE, CANDIDATE]) == 1
        assert capsys.readouterr().out.splitlines()[-1] == f"2 cases against {BASELINE}: 1 changed, 1 ok."
        assert run(["baseline", "diff", BASELINE, BASELINE, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["counts"]["ok"] == 2
        assert "There is no file none.json" in refused(["baseline", "diff", "none.json", BASELINE], capsys, 3)

    def test_prune(self, folder: Path, recorded: Measurement, capsys: Captured) -> None:
        (folder / "gradscope.toml").write_text(CASES.replace("rnn,", ""), encoding="utf-8")
        assert run(["baseline", "prune"]) == 0
        assert f"Removed rnn from {BASELINE}." in capsys.readouterr().err
        assert run(["baseline", "prune"]) == 0
        assert f"{BASELINE} has no case that gradscope.toml lacks." in capsys.readouterr().err
        assert run(["check"]) == 0
        capsys.readouterr()
        Path(BASELINE).unlink()
        assert "There is no file" in refused(["baseline", "prune"], capsys, 3)


@pytest.mark.parametrize("arguments", [["baseline"], ["baseline", "--help"]])
def test_baseline_alone_shows_its_help(arguments: list[str], capsys: Captured) -> None:
    assert run(arguments) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "Record, accept, show, compare and prune baselines" in said.out
    assert "prune" in said.out


@pytest.mark.parametrize(
    "command", [["check"], *(["baseline", n] for n in ("record", "accept", "show", "diff", "prune"))]
)
def test_every_help_names_the_exit_codes_and_examples(command: list[str], capsys: Captured) -> None:
    assert run([*command, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0" in out
    assert "Examples: gradscope" in out


@pytest.mark.parametrize("arguments", [["check", "--help"], ["baseline", "--help"], ["baseline", "record", "--help"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from gradscope.commands.main import run; code = run(sys.argv[1:]); "
        "sys.exit(code or str({'torch', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules) or ''))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    assert answer.stderr.strip() == ""


CELL = '''
import torch
from torch import nn


class Cell(nn.LSTMCell):
    """torch's LSTM cell with a forget bias."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        with torch.no_grad():
            self.bias_hh[hidden_size : 2 * hidden_size].fill_(1.0)
'''
OWN = """
lengths = [10, 50]
hidden-size = 6
input-size = 3
batch = 2
seeds = 2

[[case]]
name = "my lstm"
arch = "cell.py:Cell"
"""


def test_record_change_check_accept_from_end_to_end(folder: Path, capsys: Captured) -> None:
    (folder / "gradscope.toml").write_text(OWN, encoding="utf-8")
    (folder / "cell.py").write_text(CELL, encoding="utf-8")
    assert run(["baseline", "record"]) == 0
    assert run(["check"]) == 0
    (folder / "cell.py").write_text(CELL.replace("fill_(1.0)", "fill_(0.9)"), encoding="utf-8")
    capsys.readouterr()
    assert run(["check", "--format", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["cases"]
    assert found["outcome"] == "changed"
    assert found["kind"] == "vanishing more"
    assert found["cause"] == "initialisation"
    assert found["decisive"]["seeds_beyond"] == 2
    assert found["decisive"]["to_step"] == 1
    assert found["sentence"].startswith("my lstm: gradients vanish more: log10‖∂L/∂")
    accept = ["baseline", "accept", CANDIDATE, "--reason", "forget bias 1 to 0.9"]
    if run(accept) == 2:
        assert "has moved by" in capsys.readouterr().err
        assert run([*accept, "--force"]) == 0
    assert run(["check"]) == 0
    assert read_baseline(folder / BASELINE).history[-1].reason == "forget bias 1 to 0.9"
