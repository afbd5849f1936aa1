"""A user's own classes, data files and inputs."""

import textwrap

import numpy as np
import pandas as pd
import pytest
import torch

import gradscope
from gradscope.inputs.data_file import read_data
from gradscope.inputs.windows import cut_windows
from tests.models import inputs
from tests.tolerances import DECADES

TOLERANCE = DECADES[torch.float64]


def own(tmp_path, code, name="Own", **options):
    file = tmp_path / "own.py"
    file.write_text("import torch\nfrom torch import nn\nimport gradscope\n" + textwrap.dedent(code))
    return gradscope.build(f"{file}:{name}", input_size=4, hidden_size=3, dtype=torch.float64, **options)


def test_a_cell_measures_as_torchs_lstm():
    cell = gradscope.build("torch.nn:LSTMCell", input_size=4, hidden_size=3, dtype=torch.float64, seed=5)
    plain = gradscope.build("lstm", input_size=4, hidden_size=3, dtype=torch.float64)
    plain.load_state_dict({f"{n.removeprefix('cell.')}_l0": v for n, v in cell.state_dict().items()})
    x = inputs(length=80)
    mine, reference = (gradscope.gradient_norms(m, x, [20, 80]) for m in (cell, plain))
    for name in ("h", "c", "x", "<state>"):
        assert torch.allclose(mine.log10_norm[name], reference.log10_norm[name], rtol=0, atol=TOLERANCE, equal_nan=True)
    for name, norm in reference.log10_weight_gradient_norm.items():
        mine_norm = mine.log10_weight_gradient_norm[f"cell.{name.removesuffix('_l0')}"]
        assert torch.allclose(mine_norm, norm, rtol=0, atol=TOLERANCE)
    steps = mine.recurrent_weight_steps.log10_step_norm, reference.recurrent_weight_steps.log10_step_norm
    assert torch.allclose(*steps, rtol=0, atol=TOLERANCE, equal_nan=True)


@pytest.mark.parametrize(("cell", "plain"), [("RNNCell", "rnn"), ("GRUCell", "gru")])
def test_other_cells_of_torch(cell, plain):
    cell = gradscope.build(f"torch.nn:{cell}", input_size=4, hidden_size=3, dtype=torch.float64)
    plain = gradscope.build(plain, input_size=4, hidden_size=3, dtype=torch.float64)
    plain.load_state_dict({f"{n.removeprefix('cell.')}_l0": v for n, v in cell.state_dict().items()})
    x = inputs(length=30)
    for name, norm in gradscope.gradient_norms(plain, x, [30]).log10_norm.items():
        assert torch.allclose(gradscope.gradient_norms(cell, x, [30]).log10_norm[name], norm, rtol=0, atol=TOLERANCE)


def test_a_sequence_module_measures_its_input_as_the_cell_does():
    module = gradscope.build("torch.nn:LSTM", input_size=4, hidden_size=3, dtype=torch.float64)
    plain = gradscope.build("lstm", input_size=4, hidden_size=3, dtype=torch.float64)
    plain.load_state_dict({n.removeprefix("module."): v for n, v in module.state_dict().items()})
    x = inputs(length=50)
    mine, reference = (gradscope.gradient_norms(m, x, [9, 50]) for m in (module, plain))
    assert torch.allclose(mine.log10_norm["x"], reference.log10_norm["x"], rtol=0, atol=TOLERANCE, equal_nan=True)
    for name, norm in reference.log10_weight_gradient_norm.items():
        assert torch.allclose(mine.log10_weight_gradient_norm[f"module.{name}"], norm, rtol=0, atol=TOLERANCE)


def test_inner_modules_are_nodes():
    name = "sample_configs/own_sequence.py:TwoLayerGRU"
    model = gradscope.build(name, input_size=4, hidden_size=3, at="first", dtype=torch.float64)
    result = gradscope.gradient_norms(model, inputs(), [7])
    assert set(result.log10_norm) == {"first", "x"}
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(gradscope.UnknownName, match=r"inner module .* called 'frist'. Did you mean 'first'"):
        gradscope.build(name, input_size=4, hidden_size=3, at="frist")


def test_a_class_with_the_contract_stacks(tmp_path):
    name = "sample_configs/own_contract.py:LeakyRNN"
    model = gradscope.build(name, input_size=4, hidden_size=3, num_layers=2, leak="0.25", dtype=torch.float64)
    assert model.layers[0].leak == 0.25
    assert {"h_l0", "h_l1", "x", "<state>"} == set(gradscope.gradient_norms(model, inputs(), [7]).log10_norm)


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = gradscope.build("torch.nn:GRUCell", input_size=4, hidden_size=3, seed=1)
    again = gradscope.build("torch.nn:GRUCell", input_size=4, hidden_size=3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


REFUSED = [
    ("class Own(nn.Module)\n    pass", {}, "has a syntax error in line 4"),
    ("raise RuntimeError('no')", {}, "cannot be imported: RuntimeError: no"),
    ("class Owm(nn.Module): pass", {}, "no class in .* called 'Own'. Did you mean 'Owm'"),
    ("class Own: pass", {}, "should be a class that derives from torch.nn.Module"),
    (
        """
        class Own(nn.Module):
            def __init__(self, input_size, hidden_size):
                super().__init__()
            def forward(self, x, h, ):
                return x
        """,
        {},
        r"should be called as cell\(x, h\)",
    ),
    (
        """
        class Own(nn.Module):
            def __init__(self, input_size):
                super().__init__()
            def forward(self, x):
                return x.sum(1)
        """,
        {},
        r"should map \(batch, length, input_size\) to \(batch, length, features\); called with .* it returned \(2, 4\)",
    ),
    (
        "class Own(nn.Module):\n    def __init__(self, width=1): super().__init__()",
        {"widht": "3"},
        "Did you mean 'width'",
    ),
    ("class Own(nn.Module):\n    def __init__(self, width=1): super().__init__()", {"width": "x"}, "width=x should be"),
    ("class Own(nn.Module):\n    def __init__(self, width): super().__init__()", {}, "cannot be built with"),
]


@pytest.mark.parametrize(("code", "options", "message"), REFUSED)
def test_classes_that_cannot_be_used_are_refused(tmp_path, code, options, message):
    with pytest.raises(gradscope.UsageError, match=message):
        own(tmp_path, code, **options)


SEQUENCE = """
class Own(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size)
        {init}
    def forward(self, x):
        {body}
"""


@pytest.mark.parametrize(
    ("init", "body", "message"),
    [
        ("self.d = nn.Dropout(0.5)", "return self.d(self.linear(x))", "dropout in training mode, 'module.d'"),
        ("self.n = nn.BatchNorm1d(hidden_size)", "return self.n(self.linear(x).mT).mT", "batch norm in training mode"),
        ("", "return self.linear(x).flip(1)", "not causal"),
        ("", "return self.linear(x) + torch.rand(1).double()", "two answers to the same input"),
        ("", "return self.linear(x) - x.mean()", "depends on the rest of the batch"),
    ],
)
def test_models_that_cannot_be_measured_are_refused(tmp_path, init, body, message):
    model = own(tmp_path, SEQUENCE.format(init=init or "pass", body=body))
    with pytest.raises(gradscope.Unmeasurable, match=message):
        gradscope.gradient_norms(model, inputs(), [7])


@pytest.mark.parametrize("kind", ["white", "ar1"])
def test_a_prefix_of_a_longer_draw_is_the_shorter_draw(kind):
    short, long = (gradscope.make_inputs(kind, batch=3, length=n, input_size=2, seed=4) for n in (5, 50))
    assert torch.equal(short, long[:, :5])
    assert not torch.equal(short, gradscope.make_inputs(kind, batch=3, length=5, input_size=2, seed=5))
    double = gradscope.make_inputs(kind, batch=3, length=5, input_size=2, seed=4, dtype=torch.float64)
    assert torch.equal(double.float(), short)


def test_ar1_has_the_correlation_asked_for():
    x = gradscope.make_inputs("ar1", batch=200, length=200, input_size=2, rho=0.8, dtype=torch.float64)
    assert x.var().item() == pytest.approx(1, abs=0.05)
    assert (x[:, 1:] * x[:, :-1]).mean().item() == pytest.approx(0.8, abs=0.03)
    assert (x[:, 3:] * x[:, :-3]).mean().item() == pytest.approx(0.8**3, abs=0.04)


def test_adding_marks_two_values_and_copy_is_one_hot():
    x = gradscope.make_inputs("adding", batch=50, length=20, input_size=2)
    assert (x[..., 1].sum(1) == 2).all()
    assert (x[:, :10, 1].sum(1) == 1).all()
    x = gradscope.make_inputs("copy", batch=5, length=30, input_size=6, symbols=4, memory=3)
    assert (x.sum(-1) == 1).all()
    assert (x[:, :3, :4].sum(-1) == 1).all()
    assert (x[..., 5].sum(1) == 1).all()
    with pytest.raises(gradscope.UsageError, match="'copy' has 6 features, but input_size=7"):
        gradscope.make_inputs("copy", batch=5, length=30, input_size=7, symbols=4)
    with pytest.raises(gradscope.UnknownName, match="Did you mean 'white'"):
        gradscope.make_inputs("whit", batch=5, length=30, input_size=7)


def test_data_files_of_every_kind_hold_the_same(tmp_path):
    array = np.random.RandomState(0).standard_normal((30, 2))
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array, other=array[:3])
    frame = pd.DataFrame(array, columns=["one", "two"])
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "bare.csv", index=False, header=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.npy", "a.npz", "a.csv", "bare.csv", "a.parquet"):
        assert np.allclose(read_data(tmp_path / name), array, rtol=1e-15), name


BAD_FILES = [
    ("a.csv", "", "is empty"),
    ("a.csv", "a,b\n", "has no rows"),
    ("a.csv", "a,b\n1,2\n3,x\n", r"holds 'x' in row 3, column 2 \('b'\)"),
    ("a.csv", "a,b\n1,2\n3,\n", r"holds 'nan' in row 3, column 2"),
    ("a.csv", "1,2\n3,inf\n", r"holds 'inf' in row 2, column 2"),
    ("a.csv", "1,2\n3,4,5\n", "same number of columns"),
    ("a.npy", "not numpy", "is no readable .npy file"),
    ("a.txt", "1 2", "is not a kind of data file"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_bad_data_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(gradscope.UsageError, match=message):
        read_data(tmp_path / name)


def test_arrays_that_are_no_sequences_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array(["x"]))
    with pytest.raises(gradscope.UsageError, match="values of type"):
        read_data(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2, 2)))
    with pytest.raises(gradscope.UsageError, match=r"shape \(2, 2, 2, 2\)"):
        read_data(tmp_path / "a.npy")
    array = np.zeros((4, 2))
    array[2, 1] = np.nan
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(gradscope.UsageError, match="holds nan in row 3, column 2"):
        read_data(tmp_path / "a.npy")


def test_windows_are_standardised_and_spread():
    array = np.arange(40.0).reshape(20, 2) * 3 + 7
    array[:, 1] = 5
    windows = cut_windows(array, length=5, batch=4)
    assert windows.x.shape == (4, 5, 2)
    whole = (array[:, 0] - array[:, 0].mean()) / array[:, 0].std()
    assert np.allclose(windows.x[0, :, 0], whole[:5])
    assert np.allclose(windows.x[-1, :, 0], whole[-5:])
    assert not windows.x[..., 1].any()
    assert "4 windows of 5 from 20 steps" in windows.note
    assert "1 constant" in windows.note
    with pytest.raises(gradscope.UsageError, match="have 20 steps, but the longest length is 30"):
        cut_windows(array, length=30, batch=4)
