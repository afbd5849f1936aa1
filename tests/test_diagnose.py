"""A model's diagnosis in Python is its row in ``gradscope compare``."""

import math

import pandas as pd
import pytest
import torch

import gradscope
from gradscope.commands import main as cli
from gradscope.commands.compare.columns import SUMMARY_COLUMNS
from gradscope.commands.compare.rows import comparison
from gradscope.errors import UnknownName, UsageError
from gradscope.measurements.verdict import TROUBLES
from tests.models import Convolved, inputs, small

LENGTHS = [5, 11, 60]
ROWS = [
    ("rnn", {}, 1),
    ("lstm", {}, 2),
    ("lstm", {"forget_bias": 1.5}, 1),
    ("rrn", {"depth": 3, "inner": "tanh"}, 1),
    ("lru", {"r_min": 0.99, "r_max": 1.0}, 1),
    ("linear-rnn", {"init": "orthogonal", "radius": 2}, 1),
    ("hrl", {}, 1),
    ("deltanet", {}, 1),
    ("transformer", {}, 2),
]


def compared(tmp_path, arch, *more):
    """The table's content and the rows of ``summary.csv``."""
    words = ["compare", "--arch", arch, "--lengths", ",".join(map(str, LENGTHS)), "--hidden-size", "4", "--batch", "3"]
    words += ["--input-size", "2", "--seeds", "1", "--dtype", "float64", "--device", "cpu", "--quiet"]
    assert cli.run([*words, "--out", str(tmp_path), *more]) == 0
    summary = pd.read_csv(tmp_path / "summary.csv")
    advice = tmp_path / "advice.csv"
    return comparison(summary, pd.read_csv(advice) if advice.exists() else None), summary


@pytest.mark.parametrize(("name", "options", "num_layers"), ROWS, ids=str)
def test_it_is_the_row_of_the_command(name, options, num_layers, tmp_path):
    arch = name + "".join(f":{key}={value}" for key, value in options.items())
    table, summary = compared(tmp_path, arch, "--num-layers", str(num_layers))
    model = small(name, num_layers=num_layers, input_size=2, hidden_size=4, **options)
    found = gradscope.diagnose(model, inputs(60, batch=3, input_size=2), LENGTHS)
    assert found.cells == dict(zip(table.headers, table.rows[0], strict=True))
    said = f"{arch} ({found.verdict}): {found.advice}."
    assert table.advice == ([said] if found.verdict in TROUBLES else [])
    assert (said in repr(found)) == bool(table.advice)
    frame = found.to_dataframe()
    assert list(frame) == [column for column in SUMMARY_COLUMNS if column not in ("arch", "seed")]
    expected = summary.drop(columns=["arch", "seed"])
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False, check_exact=True)


def test_a_component_seed_and_loss_are_those_of_the_command(tmp_path):
    table, summary = compared(tmp_path, "lstm", "--component", "c", "--loss", "mean", "--seed", "3")
    assert set(summary["seed"]) == {3}
    x = inputs(60, batch=3, input_size=2, seed=3)
    model = small("lstm", input_size=2, hidden_size=4, seed=3)
    found = gradscope.diagnose(model, x, LENGTHS, component="c", loss="mean", seed=3)
    assert found.cells == dict(zip(table.headers, table.rows[0], strict=True))
    assert found.component == "c"
    assert found.plot().axes[0].get_title("left") == "∂L/∂c"


def test_the_headline_is_that_of_the_longest_length():
    model = small("linear-rnn", init="orthogonal", radius=0.1)
    x = inputs(60)
    found = gradscope.diagnose(model, x, [60, 2])
    assert list(found.log10_relative_norms) == [2, 60]
    assert found.log10_relative_norms[2] == pytest.approx(-1)
    assert found.log10_relative_norms[60] == pytest.approx(-59)
    assert found.decades_per_step == pytest.approx(-1)
    assert (found.horizon_steps, found.horizon_censored) == (2, False)
    assert found.weight_gradient_horizon_steps == found.longest.weight_gradient_horizon_steps <= 2
    assert found.float16_lost_steps_back < found.float32_lost_steps_back < 60
    assert found.verdict == "lost"
    assert repr(found) == repr(gradscope.diagnose(model, x, [2, 60]))
    assert list(gradscope.diagnose(model, x).log10_relative_norms) == [60]
    near = gradscope.diagnose(model, x[:, :2])
    assert (near.verdict, near.advice, near.horizon_censored, near.float32_lost_steps_back) == (
        "carried",
        "",
        True,
        math.inf,
    )


def test_lines_are_aligned_and_the_advice_stands_below():
    found = gradscope.diagnose(small("rrn"), inputs(60), [10, 60])
    title, above, headers, row, advice = str(found).splitlines()
    assert title == "log10 of the gradient norm at step 1, relative to the last step"
    assert headers.split()[:3] == ["architecture", "parameters", "state"]
    assert above.split() == ["weight", "float32", "float16"]
    assert row.startswith("rrn ")
    assert row.index("lost") == headers.index("verdict")
    assert advice == f"rrn (lost): {found.advice}."
    assert [trial.label for trial in found.trials] == ["rrn:inner=tanh", "lru:r_min=0.9262"]
    assert found.advice.startswith("try lru:r_min=0.9262 (carried, ")
    assert "; rrn:inner=tanh is lost, " in found.advice


def test_what_a_model_is_called():
    x = inputs(60)
    assert gradscope.diagnose(small("lstm", forget_bias=1), x).label == "lstm:forget_bias=1"
    assert gradscope.diagnose(small("rrn", num_layers=2, inner="tanh", depth=1), x).label == "rrn:inner=tanh:depth=1"
    named = gradscope.diagnose(small("rrn"), x, label="mine")
    assert named.cells["architecture"] == "mine"
    assert named.advice == gradscope.diagnose(small("rrn"), x).advice
    torch.manual_seed(0)
    own = gradscope.diagnose(Convolved(4, 3).double(), x)
    assert own.label == "Convolved"
    assert [trial.label for trial in own.trials] == ["lru:r_min=0.9262"]


def test_notes_are_kept():
    found = gradscope.diagnose(small("rnn"), inputs(9))
    noted = gradscope.measurements.diagnose.Diagnosis(
        **{**vars(found), "norms": type(found.norms)(**{**vars(found.norms), "notes": ("What happened.",)})}
    )
    assert repr(noted).splitlines()[-1] == "What happened."


def test_what_does_not_fit_is_refused():
    with pytest.raises(UnknownName, match="component of RNN called 'c'"):
        gradscope.diagnose(small("rnn"), inputs(), component="c")
    with pytest.raises(UsageError, match="The longest length is 8, but the inputs have only 7"):
        gradscope.diagnose(small("rnn"), inputs(), [8])
    with pytest.raises(UsageError, match=r"\(batch, length, input_size\), but their shape is \(7,\)"):
        gradscope.diagnose(small("rnn"), torch.zeros(7))
