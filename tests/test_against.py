"""The same cases with the code of another revision of a git repository."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gradscope.commands.check.against import measure_at
from gradscope.commands.check.case_file import read_cases
from gradscope.commands.check.compare_case import compare_case
from gradscope.commands.check.measure import measure_case
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase
from gradscope.commands.check.worktree import is_source, own_gradscope, worktree
from gradscope.errors import UsageError

CELL = """
import torch
from torch import nn
from helper import BIAS

class Cell(nn.Module):
    def __init__(self, input_size, hidden_size, gain=1.0):
        super().__init__()
        self.inner = nn.LSTMCell(input_size, hidden_size)
        with torch.no_grad():
            self.inner.bias_ih[hidden_size : 2 * hidden_size] += BIAS

    def forward(self, x, state):
        return self.inner(x, state)
"""
CASES = """
lengths = "10,50"
hidden-size = 6
batch = 2
seeds = 2
[[case]]
name = "file"
arch = "cell.py:Cell:gain=0.50"
[[case]]
name = "module"
arch = "package.cell:Cell"
[[case]]
arch = "gru"
"""


def git(folder, *arguments):
    who = {f"GIT_{role}_{what}": "x@y.z" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = [
        "git",
        "-C",
        str(folder),
        "-c",
        "init.defaultBranch=main",
        "-c",
        "protocol.file.allow=always",
        *arguments,
    ]
    return subprocess.run(command, env=os.environ | who, check=True, capture_output=True, text=True).stdout


def commit(folder, message):
    git(folder, "add", "-A")
    git(folder, "commit", "-m", message)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """One commit with a forget bias of 1; the working copy has 0.99 and a case that the commit lacks."""
    root = tmp_path / "repository"
    study = root / "study"
    (study / "package").mkdir(parents=True)
    (study / "package" / "__init__.py").write_text("")
    for file in (study / "cell.py", study / "package" / "cell.py"):
        file.write_text(CELL)
    (study / "helper.py").write_text("BIAS = 1.0\n")
    (study / "gradscope.toml").write_text("# no case yet\n")
    git(tmp_path, "init", str(root))
    commit(root, "first")
    (study / "helper.py").write_text("BIAS = 0.99\n")
    (study / "gradscope.toml").write_text(CASES)
    monkeypatch.chdir(study)
    return root


def leftovers(root):
    """Worktrees that git knows, and folders of the temporary directory."""
    trees = git(root, "worktree", "list", "--porcelain").count("worktree ")
    return trees, sorted(Path(tempfile.gettempdir()).glob("gradscope-against-*"))


def test_another_revision_is_measured_with_its_own_code(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    study = repository / "study"
    before = git(repository, "status", "--porcelain")
    base = measure_at("HEAD", study / "gradscope.toml", study)
    assert [numbers.name for numbers in base] == ["file", "module", "gru"]
    assert all(isinstance(numbers, MeasuredCase) for numbers in base)
    assert leftovers(repository) == (1, [])
    assert git(repository, "status", "--porcelain") == before

    monkeypatch.syspath_prepend(str(study))
    new = [measure_case(case) for case in read_cases(study).cases]
    for name in ("helper", "package", "package.cell"):
        monkeypatch.delitem(sys.modules, name)
    verdicts = [compare_case(first, second) for first, second in zip(base, new, strict=True)]
    by_name = {verdict.name: verdict for verdict in verdicts}
    assert {name: verdict.outcome for name, verdict in by_name.items()} == {
        "file": "changed",
        "module": "changed",
        "gru": "ok",
    }
    assert by_name["file"].cause == "initialisation"
    assert by_name["file"].kind == "vanishing more"


def test_cases_can_be_chosen_and_those_without_code_at_the_revision_say_so(repository):
    study = repository / "study"
    (study / "new.py").write_text(CELL)
    text = '[[case]]\nname = "new"\narch = "new.py:Cell"\n[[case]]\nname = "renamed"\narch = "cell.py:Renamed"\n'
    (study / "gradscope.toml").write_text(CASES + text)
    found = {one.name: one for one in measure_at("HEAD", Path("gradscope.toml"), study, names=["new", "renamed"])}
    assert list(found) == ["new", "renamed"]
    assert isinstance(found["new"], FailedCase)
    assert found["new"].reason.startswith("There is no file HEAD:study/new.py")
    assert "no class in HEAD:study/cell.py called 'Renamed'" in found["renamed"].reason


def test_what_is_inside_gradscope_hides_no_module_of_the_revision(repository, monkeypatch):
    study = repository / "study"
    (repository / "theory.py").write_text("BIAS = 1.0\n")
    (study / "cell.py").write_text(CELL.replace("from helper", "from theory"))
    commit(repository, "a module that is called like one of gradscope's")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (found,) = measure_at("HEAD", study / "gradscope.toml", study, names=["file"])
    assert isinstance(found, MeasuredCase), found.reason


def test_code_of_the_working_copy_among_that_of_the_revision_is_refused(repository):
    study = repository / "study"
    line = f"import sys; sys.path.insert(0, {str(study)!r})\n"
    (study / "cell.py").write_text(line + CELL)
    commit(repository, "a path in the code")
    with pytest.raises(
        UsageError, match=r"would not compare two revisions: the module helper was loaded from the working"
    ):
        measure_at("HEAD", study / "gradscope.toml", study, names=["file"])


def test_a_module_that_is_installed_elsewhere_is_refused(repository, tmp_path, monkeypatch):
    study = repository / "study"
    installed = tmp_path / "installed"
    shutil.copytree(study / "package", installed / "elsewhere")
    shutil.copy(study / "helper.py", installed)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.syspath_prepend(str(installed))
    (study / "gradscope.toml").write_text('[[case]]\narch = "elsewhere.cell:Cell"\n')
    with pytest.raises(UsageError, match=r"the module elsewhere\.cell was loaded from .*installed.*, which is not"):
        measure_at("HEAD", study / "gradscope.toml", study)


def test_a_file_outside_the_repository_is_refused(repository, tmp_path):
    (tmp_path / "outside.py").write_text(CELL)
    (repository / "study" / "gradscope.toml").write_text('[[case]]\narch = "../../outside.py:Cell"\n')
    with pytest.raises(UsageError, match=r"outside\.py lies outside the repository .*; compare with a baseline"):
        measure_at("HEAD", Path("gradscope.toml"), repository / "study")


def test_an_unknown_revision_is_named(repository):
    with pytest.raises(UsageError, match=r"There is no revision 'origin/main' in .*git fetch origin"):
        measure_at("origin/main", Path("gradscope.toml"), repository / "study")
    with pytest.raises(UsageError, match="There is no revision '--help'"):
        measure_at("--help", Path("gradscope.toml"), repository / "study")


def test_a_shallow_clone_says_how_to_deepen_it(repository, tmp_path):
    commit(repository, "second")
    first = git(repository, "rev-parse", "HEAD~1").strip()
    git(tmp_path, "clone", "--depth", "1", f"file://{repository}", str(tmp_path / "shallow"))
    with pytest.raises(UsageError, match=r"is a shallow clone; fetch its history first: .*fetch-depth: 0"):
        measure_at(first, Path("gradscope.toml"), tmp_path / "shallow" / "study")


def test_a_folder_without_a_repository_is_told(tmp_path):
    (tmp_path / "gradscope.toml").write_text('[[case]]\narch = "rnn"\n')
    with pytest.raises(UsageError, match=r"--against compares two revisions of a git repository, but .* lies in none;"):
        measure_at("HEAD", Path("gradscope.toml"), tmp_path)


def test_without_git_there_is_a_sentence(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="--against needs git"):
        measure_at("HEAD", Path("gradscope.toml"), repository / "study")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_worktree_goes_whatever_happens(repository, tmp_path, monkeypatch, error):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(error), worktree(repository, "HEAD") as tree:  # noqa: PT012 - what is inside is what is tested
        assert (tree / "study" / "helper.py").read_text() == "BIAS = 1.0\n"
        assert not tree.is_relative_to(repository)
        raise error
    assert leftovers(repository) == (1, [])


def test_a_hook_and_its_variables_do_not_lead_astray(repository, tmp_path, monkeypatch):
    other = tmp_path / "other"
    git(tmp_path, "init", str(other))
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    with worktree(repository, "HEAD") as tree:
        assert (tree / "study" / "helper.py").exists()
    assert not (tmp_path / "ran").exists()


def test_a_process_that_ends_early_is_told_with_its_last_words(repository):
    study = repository / "study"
    (study / "cell.py").write_text("import sys, os\nsys.stderr.write('out of luck\\n')\nos._exit(7)\n")
    commit(repository, "ends")
    (study / "cell.py").write_text(CELL)
    with pytest.raises(UsageError, match=r"The code at HEAD could not be measured: .* code 7: out of luck\."):
        measure_at("HEAD", study / "gradscope.toml", study, names=["file"])


def test_a_repository_with_a_gradscope_of_its_own_is_measured_with_that(repository):
    package = Path(sys.modules["gradscope"].__file__).parent
    shutil.copytree(package, repository / "gradscope", ignore=shutil.ignore_patterns("__pycache__"))
    file = repository / "gradscope" / "architectures" / "gated" / "gru.py"
    marked = file.read_text(encoding="utf-8").replace("class GRU(", "print('here')\n\n\nclass GRU(")
    assert "print('here')" in marked
    file.write_text(marked, encoding="utf-8")
    streams = repository / "gradscope" / "numerics" / "random_streams.py"
    streams.write_text(streams.read_text(encoding="utf-8").replace('"weights": 0', '"weights": 9'), encoding="utf-8")
    commit(repository, "a gradscope with other weights")
    study = repository / "study"
    (study / "gradscope.toml").write_text('lengths = "5"\nseeds = 1\nbatch = 2\n[[case]]\narch = "gru"\n')
    (base,) = measure_at("HEAD", study / "gradscope.toml", study)
    (case,) = read_cases(study).cases
    assert base.weights_hash != measure_case(case).weights_hash
    assert base.definition_hash == measure_case(case).definition_hash

    shutil.rmtree(repository / "gradscope" / "commands" / "check")
    commit(repository, "before there were checks")
    with pytest.raises(UsageError, match="The gradscope at HEAD has no regression checks yet"):
        measure_at("HEAD", study / "gradscope.toml", study)


def test_what_counts_as_a_repositorys_own_source(tmp_path):
    assert is_source(tmp_path / "a.py", tmp_path)
    assert not is_source(tmp_path / "env" / "lib" / "site-packages" / "a.py", tmp_path)
    assert not is_source(tmp_path.parent / "a.py", tmp_path)
    assert own_gradscope(tmp_path) is None
    (tmp_path / "src" / "gradscope").mkdir(parents=True)
    (tmp_path / "src" / "gradscope" / "__init__.py").write_text("")
    assert own_gradscope(tmp_path) == tmp_path / "src" / "gradscope"
