"""What the documentation says is run."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest

from gradscope.architectures.readme_table import with_table
from gradscope.commands import MEASURING, OTHERS
from gradscope.commands import main as cli
from gradscope.errors import UsageError

ROOT = Path(__file__).parent.parent
COMMAND_FILES = sorted(file for file in (ROOT / "sample_configs").glob("*.toml") if file.stem != "gradscope")
README = (ROOT / "README.md").read_text(encoding="utf-8")
EVERY_COMMAND = re.findall(r"^    (gradscope .*)$", README, flags=re.MULTILINE)
GUARDS = [command for command in EVERY_COMMAND if command.split()[1] in ("check", "baseline")]
COMMANDS = [command for command in EVERY_COMMAND if command not in GUARDS]
PACKAGE = ROOT / "gradscope"
WITH_EXAMPLES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]
SMALLER = ["--seeds", "1", "--batch", "2", "--quiet"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_run(command, tmp_path, monkeypatch, capsys):
    words = shlex.split(command, comments=True)[1:]
    monkeypatch.chdir(ROOT)
    words = [str(tmp_path / word) if word.startswith("results") else word for word in words]
    if words[0] == "plot":
        assert cli.run(["compare", "--arch", "rnn", "--lengths", "3,6", "--out", words[1], *SMALLER]) == 0
    if words[0] in ("compare", "spectrum"):
        words += [word for pair in (SMALLER[:2], SMALLER[2:4], SMALLER[4:]) if pair[0] not in words for word in pair]
    if words[0] == "sensitivity":
        words += ["--quiet"]
    assert cli.run(words) == 0
    assert words[0] == "plot" or capsys.readouterr().out


def test_the_guard_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(GUARDS) >= 5
    for command in GUARDS:
        assert cli.run(shlex.split(command)[1:]) == 0, command
    assert {path.name for path in tmp_path.iterdir()} == {
        "gradscope.toml",
        "gradscope-baseline.json",
        "gradscope-candidate.json",
    }


def test_python_of_the_readme_runs():
    in_a_test, code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    compile(in_a_test, "README.md", "exec")
    assert "gradient_baseline.check(" in in_a_test


@pytest.mark.parametrize("name", [*MEASURING, *OTHERS])
def test_every_command_is_in_the_readme(name):
    assert f"gradscope {name}" in README


def test_the_readme_has_the_table_of_the_catalogue():
    assert with_table(README) == README, "make readme writes it anew"
    with pytest.raises(UsageError, match=r"should have a line <!-- architectures: make readme --> and after it"):
        with_table(README.replace("<!-- /architectures -->", ""))


@pytest.mark.parametrize("file", COMMAND_FILES, ids=lambda file: file.name)
def test_sample_configurations_run(file, tmp_path):
    text = re.sub(r"lengths = .*", 'lengths = "3,6"', file.read_text(encoding="utf-8"))
    text = re.sub(r"seeds = .*", "seeds = 1", text)
    copy = file.parent / f".{file.name}"
    copy.write_text(text, encoding="utf-8")
    try:
        assert cli.run(["run", str(copy), "--quiet", "--out", str(tmp_path)]) == 0
    finally:
        copy.unlink()


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.failed == 0
    assert found.attempted > 0


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 120
