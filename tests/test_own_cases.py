"""Regression checks of a user's own code, which may do anything, from the command line."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gradscope.commands.main import run
from gradscope.own.own_class import seeded_generators

Captured = pytest.CaptureFixture[str]
CASES = (
    'lengths = "5,30"\nhidden-size = 5\ninput-size = 3\nbatch = 2\nseeds = 2\n[[case]]\nname = "mine"\narch = "{}"\n'
)
CELL = """
import torch
from torch import nn

class Cell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.wx = nn.Parameter(0.4 * torch.randn(hidden_size, input_size))
        self.wh = nn.Parameter(0.4 * torch.randn(hidden_size, hidden_size))

    def forward(self, x, h):
        return torch.tanh(x @ self.wx.T + h @ self.wh.T)
"""
CANDIDATE = Path("gradscope-candidate.json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of its own, whose modules this process forgets afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gradscope.toml").write_text(CASES.format("cell.py:Cell"))
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("only_here", "gradscope_user")):
            del sys.modules[name]


def edited(folder: Path, *changes: tuple[str, str]) -> None:
    text = CELL
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "cell.py").write_text(text)


def recorded(folder: Path, capsys: Captured, *changes: tuple[str, str]) -> None:
    edited(folder, *changes)
    assert run(["baseline", "record", "--quiet"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("where", ["import", "forward"])
def test_code_that_ends_the_process_fails_its_case(where: str, folder: Path, capsys: Captured) -> None:
    recorded(folder, capsys)
    if where == "import":
        edited(folder, ("class Cell", "import sys; sys.exit(0)\nclass Cell"))
    else:
        edited(folder, ("        return", "        raise SystemExit(7)\n        return"))
    assert run(["check", "--quiet"]) == 4
    assert "SystemExit" in capsys.readouterr().out
    assert CANDIDATE.is_file()


def test_a_file_finds_the_modules_beside_it(folder: Path, capsys: Captured) -> None:
    (folder / "only_here_helper.py").write_text("SCALE = 0.4\n")
    recorded(folder, capsys, ("from torch import nn", "from torch import nn\nfrom only_here_helper import SCALE"))


def test_a_file_hides_no_module_of_anybody_else(folder: Path, capsys: Captured) -> None:
    (folder / "only_here_first.py").write_text("raise RuntimeError\n")
    (folder / "colorsys.py").write_text("raise RuntimeError\n")  # of the standard library, and not imported yet
    recorded(folder, capsys)
    assert str(folder) in sys.path
    assert sys.path.index(str(folder)) == len(sys.path) - 1
    sys.modules.pop("colorsys", None)
    assert importlib.import_module("colorsys").rgb_to_hsv


@pytest.mark.parametrize(
    ("place", "reference"),
    [
        ("only_here_a", "only_here_a/cell.py:Cell"),
        ("only_here_b", "only_here_b.cell:Cell"),
        ("src/only_here_c", "only_here_c.cell:Cell"),
    ],
)
def test_packages_are_found_without_being_installed(place: str, reference: str, folder: Path, capsys: Captured) -> None:
    package = folder / place
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner.py").write_text("SCALE = 0.4\n")
    (package / "cell.py").write_text(
        CELL.replace("from torch import nn", "from torch import nn\nfrom .inner import SCALE")
    )
    (folder / "gradscope.toml").write_text(CASES.format(reference))
    assert run(["baseline", "record", "--quiet"]) == 0
    assert run(["check", "--quiet"]) == 0


def test_a_parameter_with_another_name_is_still_compared(folder: Path, capsys: Captured) -> None:
    recorded(folder, capsys)
    renamed = ("self.wx", "self.weight_x")
    edited(folder, renamed)
    assert run(["check", "--quiet"]) == 0
    edited(
        folder, renamed, ("0.4 * torch.randn(hidden_size, hidden_size)", "0.3 * torch.randn(hidden_size, hidden_size)")
    )
    assert run(["check", "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "mine: gradients vanish more" in said
    assert "Its parameters are others: now without cell.wx and with cell.weight_x." in said
    assert run(["baseline", "accept", str(CANDIDATE), "--reason", "why not", "--quiet"]) == 2
    assert "accept takes up to 0.3" in capsys.readouterr().err


def test_a_parameter_that_the_loss_no_longer_reaches_is_seen(folder: Path, capsys: Captured) -> None:
    recorded(folder, capsys)
    edited(folder, ("x @ self.wx.T", "x @ self.wx.detach().T"))
    assert run(["check", "--quiet"]) == 1
    assert "log10‖∂L/∂cell.wx‖ at T=30 became exactly 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "draw",
    ["torch.tensor(np.random.randn(hidden_size, hidden_size)).float()", "random.random() * torch.eye(hidden_size)"],
)
def test_every_generator_is_seeded_for_constructors(draw: str, folder: Path, capsys: Captured) -> None:
    changes = (
        ("import torch\n", "import torch, random\nimport numpy as np\n"),
        ("torch.randn(hidden_size, hidden_size)", draw),
    )
    recorded(folder, capsys, *changes)
    random.seed(5)
    np.random.seed(5)
    assert run(["check", "--quiet"]) == 0
    expected = np.random.RandomState(5).randn(), random.Random(5).random()
    assert (np.random.randn(), random.random()) == expected  # nobody else's generators have moved


def test_generators_are_put_back_after_an_error() -> None:
    random.seed(1)
    before = random.getstate()
    with pytest.raises(ValueError, match="no"), seeded_generators(3):
        raise ValueError("no")
    assert random.getstate() == before


def test_what_an_import_changes_does_not_depend_on_the_selection(folder: Path, capsys: Captured) -> None:
    text = CASES.format("cell.py:Cell") + '[[case]]\nname = "second"\narch = "cell.py:Cell"\nhidden-size = 4\n'
    (folder / "gradscope.toml").write_text(text)
    script = "import sys; from gradscope.commands.main import run; sys.exit(run(sys.argv[1:]))"

    def alone(*words: str) -> int:
        return subprocess.run([sys.executable, "-c", script, *words, "--quiet"], check=False).returncode

    edited(folder, ("class Cell", "torch.set_default_dtype(torch.float64)\nclass Cell"))
    assert alone("baseline", "record") == 0
    assert alone("check", "--case", "second") == 0


def test_the_candidate_is_written_before_a_revision_is_refused(folder: Path, capsys: Captured) -> None:
    edited(folder)
    assert run(["check", "--against", "nope", "--quiet"]) == 2
    assert CANDIDATE.is_file()


def test_a_baseline_that_was_edited_takes_force(folder: Path, capsys: Captured) -> None:
    recorded(folder, capsys)
    path = folder / "gradscope-baseline.json"
    document = json.loads(path.read_text())
    values = document["profiles"]["cpu-f64"]["cases"]["mine"]["statistics"]["T=30 log10_norm h"]["values"]
    values[0][0] += 1
    path.write_text(json.dumps(document))
    assert run(["check", "--quiet"]) == 3
    accept = ["baseline", "accept", str(CANDIDATE), "--reason", "edited by mistake", "--quiet"]
    assert run(accept) == 2
    assert "was edited by hand" in capsys.readouterr().err
    assert run([*accept, "--force"]) == 0
    assert run(["check", "--quiet"]) == 0


def test_another_revision_is_not_compared_with_an_installed_copy(folder: Path, capsys: Captured) -> None:
    elsewhere = folder / "site-packages" / "only_here_installed"
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").touch()
    (elsewhere / "cell.py").write_text(CELL)
    (folder / "gradscope.toml").write_text(CASES.format("only_here_installed.cell:Cell"))
    subprocess.run(["git", "init", "-q", "."], check=True)
    sys.path.insert(0, str(elsewhere.parent))
    assert run(["check", "--against", "HEAD", "--quiet"]) == 2
    assert "which is not part of the working copy" in capsys.readouterr().err


def test_a_cell_whose_state_may_be_left_out(folder: Path, capsys: Captured) -> None:
    recorded(
        folder,
        capsys,
        (
            "def forward(self, x, h):",
            "def forward(self, x, h=None):\n        h = 0 * x @ self.wx.T if h is None else h",
        ),
    )
    document = json.loads((folder / "gradscope-baseline.json").read_text())
    assert "T=30 log10_norm h" in document["profiles"]["cpu-f64"]["cases"]["mine"]["statistics"]


def test_another_revision_of_a_helper_beside_a_file_that_hides_the_standard_library(
    folder: Path, capsys: Captured
) -> None:
    (folder / "statistics.py").write_text("raise RuntimeError('the wrong one')\n")
    helper = folder / "only_here_scale.py"
    helper.write_text("SCALE = 0.4\n")
    edited(
        folder,
        ("import torch\n", "import torch\nfrom only_here_scale import SCALE\n"),
        ("wh = nn.Parameter(0.4", "wh = nn.Parameter(SCALE"),
    )
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y.z"]
    for words in (["init", "-q", "."], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    assert run(["check", "--against", "HEAD", "--quiet"]) == 0
    helper.write_text("SCALE = 0.3\n")
    for name in [name for name in sys.modules if name.startswith("gradscope_user")]:
        del sys.modules[name]
    assert run(["check", "--against", "HEAD", "--quiet"]) == 1
    assert "mine: gradients" in capsys.readouterr().out


@pytest.mark.parametrize("package", [False, True])
def test_two_folders_may_have_modules_of_the_same_names(package: bool, folder: Path, capsys: Captured) -> None:
    importing = "from .only_here_same" if package else "from only_here_same"
    for name in ("a", "b"):
        place = folder / name / "only_here_models"
        place.mkdir(parents=True)
        (place / "only_here_same.py").write_text("SCALE = 0.4\n")
        text = CELL.replace("import torch\n", f"import torch\n{importing} import SCALE\n", 1)
        (place / "cell.py").write_text(text.replace("wh = nn.Parameter(0.4", "wh = nn.Parameter(SCALE"))
        if package:
            (place / "__init__.py").touch()
    first, second = (f"{name}/only_here_models/cell.py:Cell" for name in ("a", "b"))
    cases = CASES.format(first) + f'[[case]]\nname = "other"\narch = "{second}"\n'
    (folder / "gradscope.toml").write_text(cases)
    assert run(["baseline", "record", "--quiet"]) == 0
    (folder / "b" / "only_here_models" / "only_here_same.py").write_text("SCALE = 0.2  # other\n")
    for name in [name for name in sys.modules if name.startswith(("gradscope_user", "only_here"))]:
        del sys.modules[name]
    capsys.readouterr()
    assert run(["check", "--quiet"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 changed, 1 ok.")


def test_a_parameter_that_is_frozen_is_seen(folder: Path, capsys: Captured) -> None:
    recorded(folder, capsys)
    edited(
        folder, ("torch.randn(hidden_size, input_size))", "torch.randn(hidden_size, input_size), requires_grad=False)")
    )
    assert run(["check", "--quiet"]) == 1
    assert "log10‖∂L/∂cell.wx‖ at T=30 became exactly 0" in capsys.readouterr().out


def test_a_parameter_that_became_a_buffer_is_told(folder: Path, capsys: Captured) -> None:
    recorded(folder, capsys)
    edited(
        folder,
        (
            "self.wx = nn.Parameter(0.4 * torch.randn(hidden_size, input_size))",
            'self.register_buffer("wx", 0.4 * torch.randn(hidden_size, input_size))',
        ),
    )
    assert run(["check", "--quiet"]) == 0
    assert "Its parameters are others: now without cell.wx." in capsys.readouterr().out
