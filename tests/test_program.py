"""The program of a step: what is followed is exact, what is not is replayed, and both say so."""

import math

import pytest
import torch
from torch import nn

import gradscope
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.commands.main import run
from gradscope.dynamics.linearize import linearize_model
from gradscope.dynamics.program.follow import traced_program
from gradscope.dynamics.program.pieces import consecutive
from gradscope.dynamics.program.program import Region
from gradscope.dynamics.program.slopes import Slope, differentiated, has_rules, slopes
from gradscope.dynamics.program.values import Values
from gradscope.errors import Unmeasurable, UsageError
from gradscope.own.as_model import as_model
from tests.cells import CELLS, REPLAYED

LENGTHS = [7, 20]
INPUT, HIDDEN, BATCH = 4, 8, 3


def made(cell, dtype=torch.float64):
    torch.manual_seed(0)
    return as_model(cell(INPUT, HIDDEN).to(dtype), input_size=INPUT, hidden_size=HIDDEN)


def white(length=20, dtype=torch.float64):
    return gradscope.make_inputs("white", batch=BATCH, length=length, input_size=INPUT, dtype=dtype)


def norms(model, x, lengths, executor, loss="mean"):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADSCOPE_EXECUTOR", executor)
        return gradscope.gradient_norms(model, x, lengths, loss=loss)


def differences(first, second):
    """The largest difference of log10 norms, which are finite in the same places."""
    both = [(first.log10_norm[name], norm) for name, norm in second.log10_norm.items()]
    both += [(first.log10_weight_gradient_norm[n], norm) for n, norm in second.log10_weight_gradient_norm.items()]
    found = 0.0
    for mine, theirs in both:
        assert torch.equal(mine.isfinite(), theirs.isfinite())
        known = theirs.isfinite()
        found = max(found, float((mine - theirs)[known].abs().max()) if bool(known.any()) else 0.0)
    return found


@pytest.mark.parametrize("loss", ["last", "mean"])
@pytest.mark.parametrize("name", CELLS)
def test_followed_cells_equal_autograd(name, loss):
    model, x = made(CELLS[name]), white()
    found = norms(model, x, LENGTHS, "torch", loss)
    assert linearize_model(model, x).recurrences[0].executor.startswith("program: ")
    assert found.notes == ()
    assert differences(found, norms(model, x, LENGTHS, "replay", loss)) < 1e-10


@pytest.mark.parametrize("name", CELLS)
def test_states_of_followed_cells_are_those_of_the_cell(name):
    model, x = made(CELLS[name]), white()
    with torch.no_grad():
        assert torch.allclose(linearize_model(model, x).outputs.transpose(0, 1), model(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", REPLAYED)
def test_what_is_not_followed_is_replayed_and_says_why(name):
    model, x = made(REPLAYED[name]), white()
    (trajectory,) = linearize_model(model, x).recurrences
    assert trajectory.executor == "autograd replay"
    found = norms(model, x, LENGTHS, "torch")
    assert found.notes == (f"{name} is replayed by autograd, which is slower: {trajectory.why_replayed}.",)
    assert differences(found, norms(model, x, LENGTHS, "replay")) == 0


@pytest.mark.parametrize("name", [name for name in CELLS if name != "Blind"])  # without inputs every sample is one draw
def test_float32_is_as_exact_as_replayed(name):
    errors = {"torch": [], "replay": []}
    for seed in range(2):
        x = torch.randn(BATCH, 120, INPUT, generator=torch.Generator().manual_seed(seed))
        exact = norms(made(CELLS[name]), x.double(), [120], "replay", "last").log10_norm["h"]
        for executor, found in errors.items():
            mine = norms(made(CELLS[name], torch.float32), x, [120], executor, "last").log10_norm["h"]
            found.append((mine - exact)[exact.isfinite()].abs())
    medians = {executor: float(torch.cat(found).median()) for executor, found in errors.items()}
    assert medians["torch"] <= 2 * medians["replay"] + 1e-6  # decades: some units in the last place


@pytest.mark.parametrize("name", [*REPLAYED, "Joined", "LayerNorm"])
def test_gradients_of_weights_are_those_of_autograd(name):
    model, x = made((REPLAYED | CELLS)[name]), white()

    def loss(y):
        return y[:, -1].square().sum(-1)

    found = gradscope.gradient_norms(model, x, loss=loss).log10_weight_gradient_norm
    parameters = dict(model.named_parameters())
    for sample in range(BATCH):
        grads = torch.autograd.grad(loss(model(x[sample : sample + 1])).sum(), list(parameters.values()))
        for parameter, grad in zip(parameters, grads, strict=True):
            assert float(found[parameter][0, sample]) == pytest.approx(float(grad.norm().log10()), abs=1e-10)


class Counting(nn.RNNCell):
    """Its answers change with the number of calls."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.calls = 0

    def forward(self, x, h=None):
        self.calls += 1
        return super().forward(x, h) * (1 + 0.1 * (self.calls % 3))


class Drawing(nn.RNNCell):
    """Drops units at random."""

    def forward(self, x, h=None):
        return super().forward(x, h) * (torch.rand_like(x[:, :1]) > 0.5)


@pytest.mark.parametrize("cell", [Counting, Drawing])
def test_cells_that_count_or_draw_are_refused(cell):
    assert linearize_model(made(cell), white()).recurrences[0].executor == "autograd replay"
    with pytest.raises(Unmeasurable, match="two answers to the same input"):
        gradscope.gradient_norms(made(cell), white())


class Mutating(nn.RNNCell):
    """Changes the state that it is given."""

    def forward(self, x, h=None):
        h.mul_(0.9)
        return super().forward(x, h)


class Emptying(nn.RNNCell):
    """Changes it when it is done."""

    def forward(self, x, h=None):
        after = super().forward(x, h)
        h.zero_()
        return after


class Centring(nn.RNNCell):
    """Changes its input."""

    def forward(self, x, h=None):
        return super().forward(x.sub_(1), h)


@pytest.mark.parametrize("executor", ["torch", "replay"])
@pytest.mark.parametrize(("cell", "what"), [(Mutating, "h"), (Emptying, "h"), (Centring, "x")])
def test_cells_that_write_into_what_they_are_given_are_refused(cell, what, executor, monkeypatch):
    monkeypatch.setenv("GRADSCOPE_EXECUTOR", executor)
    for measure in (gradscope.gradient_norms, gradscope.linearize, gradscope.jacobian_spectrum):
        with pytest.raises(Unmeasurable, match=f"step of {cell.__name__} writes into '{what}', which it is given"):
            measure(made(cell), white())


def test_a_long_sequence_in_segments_and_with_checkpoints_is_the_same(monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.trajectory.KEPT_BYTES", 1)
    model, x = made(CELLS["Joined"]), white(300)
    assert differences(norms(model, x, [40, 300], "torch"), norms(model, x, [40, 300], "replay")) < 1e-9


def test_masks_of_the_step_and_buffers_are_followed():
    model = gradscope.build("sc-lstm-i", input_size=INPUT, hidden_size=HIDDEN, L=3, dtype=torch.float64)

    class Plain(gradscope.Recurrence):
        """The same step without the shape that its class declares."""

        def __init__(self):
            super().__init__()
            self.inner = model
            self.input_size, self.output_size, self.state_spec = INPUT, HIDDEN, model.state_spec

        def prepare(self, x):
            return self.inner.prepare(x)

        def step(self, s, u, t):
            return self.inner.step(s, u, t)

    found = norms(Plain(), white(), LENGTHS, "torch")
    assert linearize_model(Plain(), white()).recurrences[0].executor.startswith("program")
    expected = gradscope.gradient_norms(model, white(), LENGTHS, loss="mean")
    for name in ("h", "c", "x", "<state>"):
        difference = (found.log10_norm[name] - expected.log10_norm[name])[expected.log10_norm[name].isfinite()]
        assert difference.abs().max() < 1e-10


def test_explain_says_how_a_class_of_ones_own_is_run(tmp_path, capsys):
    assert run(["explain", "sample_configs/own_cell.py:CoupledLSTMCell"]) == 0
    assert "how it is run   program: 1 matrix product, 2 pointwise maps" in capsys.readouterr().out
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class OddCell(torch.nn.RNNCell):\n"
        "    def forward(self, x, h=None):\n"
        "        return super().forward(x, h.detach())\n"
    )
    assert run(["explain", f"{tmp_path / 'own.py'}:OddCell"]) == 0
    said = capsys.readouterr().out
    assert "how it is run   autograd replay" in said
    assert "why             torch.Tensor.detach takes a tensor out of the gradient" in said


def test_the_list_says_how_every_architecture_is_run(capsys):
    assert run(["list", "--executors"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(ARCHITECTURES) <= set(rows)
    assert "program: 1 pointwise map" in rows["ind-rnn"]
    assert "program: 1 matrix product, 2 pointwise maps" in rows["lstm"]
    assert not any("autograd replay" in row for row in rows.values())
    assert "no recurrent state" in rows["transformer"]


def test_the_executor_is_one_of_two(monkeypatch):
    monkeypatch.setenv("GRADSCOPE_EXECUTOR", "fortran")
    with pytest.raises(UsageError, match="GRADSCOPE_EXECUTOR should be torch or replay, but it is fortran"):
        gradscope.gradient_norms(made(nn.GRUCell), white())


@pytest.mark.parametrize("name", CELLS)
def test_rules_of_differentiation_equal_autograd(name):
    model, x = made(CELLS[name]), white().transpose(0, 1)
    program = traced_program(model, x)
    s = {block.name: torch.randn(5, *block.shape, dtype=torch.float64) for block in model.state_spec}
    u, t = {"x": x[:5, 0]}, torch.arange(1, 6)
    for region in (step for step in program.steps if isinstance(step, Region) and has_rules(program, step)):
        shape = (5, *program.feature_shape(region.result))
        mine, theirs = (
            way(program, region, Values.of_step(program, s, u, t), region.leaves) for way in (slopes, differentiated)
        )
        assert mine.keys() >= theirs.keys()
        for leaf, slope in mine.items():
            ones = Slope(slope.factor, torch.ones(shape, dtype=torch.float64))
            found = (ones if slope.tensor is None else slope).whole().expand(shape)
            expected = theirs[leaf].whole() if leaf in theirs else torch.zeros(shape, dtype=torch.float64)
            assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_runs_of_positions():
    assert consecutive([]) == []
    assert consecutive([0, 1, 2, 7, 8, 3]) == [(0, 3), (7, 2), (3, 1)]
    assert math.prod(width for _, width in consecutive([5, 4, 3])) == 1
