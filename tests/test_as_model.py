"""A module of torch is measured as it is: its own parameters, its own gradients, and no trace of it afterwards."""

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from gradscope.numerics.random_streams import random_stream
from tests.models import inputs
from tests.tolerances import DECADES, RELATIVE

INPUT, HIDDEN, LENGTH, BATCH = 3, 4, 9, 2
TOLERANCE = DECADES[torch.float64]


class Blend(nn.Module):
    """A cell of one's own that computes its recurrence by another class of one's own."""

    def __init__(self):
        super().__init__()
        self.input_size, self.hidden_size = INPUT, HIDDEN
        self.inside = Recurrent()

    def forward(self, x, h):
        return 0.5 * h + 0.5 * self.inside(x, h)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.from_input, self.from_state = nn.Linear(INPUT, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x, h):
        return torch.tanh(self.from_input(x) + self.from_state(h))


class Blended(nn.Module):
    """A sequence module of one's own around that cell; its second output is not asked for."""

    def __init__(self):
        super().__init__()
        self.cell, self.map, self.norm = Blend(), nn.Linear(HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        torch.rand(1)  # a draw that changes no answer
        h, outputs = x.new_zeros(len(x), HIDDEN), []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outputs.append(self.norm(h))
        return self.map(torch.stack(outputs, dim=1)), h


class Sum(nn.Module):
    def forward(self, x):
        return x.cumsum(1)


def active(module):
    """A relu network whose units are all in use, so that no determinant is zero."""
    with torch.no_grad():
        module.bias_ih_l0.fill_(3.0)
    return module


RECURRENT = {
    "LSTM": lambda: nn.LSTM(INPUT, HIDDEN, 2),
    "GRU": lambda: nn.GRU(INPUT, HIDDEN, batch_first=True),
    "relu": lambda: active(nn.RNN(INPUT, HIDDEN, nonlinearity="relu")),
    "LSTM without bias": lambda: nn.LSTM(INPUT, HIDDEN, bias=False, batch_first=True),
    "GRU without bias": lambda: nn.GRU(INPUT, HIDDEN, 2, bias=False),
    "RNN without bias": lambda: nn.RNN(INPUT, HIDDEN, bias=False),
    "evaluated": lambda: nn.LSTM(INPUT, HIDDEN, 2, dropout=0.5).eval(),
    "LSTMCell": lambda: nn.LSTMCell(INPUT, HIDDEN),
    "GRUCell": lambda: nn.GRUCell(INPUT, HIDDEN, bias=False),
    "RNNCell": lambda: nn.RNNCell(INPUT, HIDDEN),
    "own cell": Blend,
}
SEQUENCES = {
    "own": lambda: Blended().eval(),
    "Sequential": lambda: nn.Sequential(nn.Linear(INPUT, 5), Sum(), nn.Tanh(), nn.Linear(5, HIDDEN)),
}
RECURRENT_MEASUREMENTS = {
    "jacobian_spectrum": gradscope.jacobian_spectrum,
    "lyapunov_exponents": lambda module, x: gradscope.lyapunov_exponents(module, x, warm_up=0),
    "jacobian_products": gradscope.jacobian_products,
    "memory_sensitivity": gradscope.memory_sensitivity,
    "state_jacobian": lambda module, x: gradscope.state_jacobian(module, x, step=2),
    "linearize": gradscope.linearize,
}
MEASUREMENTS = {
    "gradient_norms": gradscope.gradient_norms,
    "temporal_jacobian": gradscope.temporal_jacobian,
    **RECURRENT_MEASUREMENTS,
}


def made(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().double()


def x_of(length=LENGTH, batch=BATCH):
    return inputs(length=length, batch=batch, input_size=INPUT)


def loss(y):
    return (y[:, -1] * torch.arange(1.0, 1 + y.shape[-1])).sum(-1).sin() + y[:, 1].square().sum(-1)


def layers_of(module):
    return range(module.num_layers) if isinstance(module, nn.RNNBase) else [None]


def step(module, layer, x, state):
    """The new state of one layer, a dictionary, by the equations that torch's documentation gives."""
    if isinstance(module, Blend):
        return {"h": module(x, state["h"])}
    suffix = "" if layer is None else f"_l{layer}"
    w_ih, w_hh, b_ih, b_hh = (
        getattr(module, f"{name}{suffix}", None) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    a, b = F.linear(x, w_ih, b_ih), F.linear(state["h"], w_hh, b_hh)
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        i, f, g, o = (a + b).chunk(4, -1)
        c = torch.sigmoid(f) * state["c"] + torch.sigmoid(i) * torch.tanh(g)
        return {"h": torch.sigmoid(o) * torch.tanh(c), "c": c}
    if isinstance(module, nn.GRU | nn.GRUCell):
        (a_r, a_z, a_n), (b_r, b_z, b_n) = a.chunk(3, -1), b.chunk(3, -1)
        z = torch.sigmoid(a_z + b_z)
        return {"h": (1 - z) * torch.tanh(a_n + torch.sigmoid(a_r + b_r) * b_n) + z * state["h"]}
    return {"h": torch.relu(a + b) if module.nonlinearity == "relu" else torch.tanh(a + b)}


def zeros(module, batch):
    names = ("h", "c") if isinstance(module, nn.LSTM | nn.LSTMCell) else ("h",)
    return [{name: torch.zeros(batch, HIDDEN, dtype=torch.float64) for name in names} for _ in layers_of(module)]


def advance(module, x_t, states):
    """One step of all layers."""
    after = []
    for layer, state in zip(layers_of(module), states, strict=True):
        after.append(step(module, layer, x_t, state))
        x_t = after[-1]["h"]
    return after


def unrolled(module, x):
    """Outputs, and the states of every step, each a list of dictionaries."""
    states, history = zeros(module, len(x)), []
    for x_t in x.unbind(1):
        states = advance(module, x_t, states)
        history.append(states)
    return torch.stack([states[-1]["h"] for states in history], dim=1), history


def outputs_of(module, x):
    """The module's own outputs, whatever it wants its input to look like."""
    if isinstance(module, nn.RNNBase) and not module.batch_first:
        return module(x.transpose(0, 1))[0].transpose(0, 1)
    if isinstance(module, nn.RNNBase | Blended):
        return module(x)[0]
    return module(x) if isinstance(module, nn.Sequential) else unrolled(module, x)[0]


def name_of(module, block, layer):
    return f"{block}_l{layer}" if isinstance(module, nn.RNNBase) and module.num_layers > 1 else block


def vectors(states):
    return torch.cat([value for state in states for value in state.values()], dim=-1)


def jacobians(module, x):
    """J_t of every step by autograd, ``(length, batch, n, n)``."""
    found = []
    _, history = unrolled(module, x)
    before = [zeros(module, len(x)), *history[:-1]]
    for x_t, states in zip(x.unbind(1), before, strict=True):
        blocks = [len(state) for state in states]

        def one(vector, x_row, blocks=blocks, states=states):
            parts = iter(vector.unsqueeze(0).split(HIDDEN, -1))
            given = [{name: next(parts) for name in state} for state in states]
            return vectors(advance(module, x_row.unsqueeze(0), given))[0]

        rows = zip(vectors(states).detach(), x_t, strict=True)
        found.append(torch.stack([torch.autograd.functional.jacobian(lambda s, r=r: one(s, r), v) for v, r in rows]))
    return torch.stack(found)


def assert_decades(mine, values):
    torch.testing.assert_close(mine, torch.log10(values.detach()), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("make", RECURRENT.values(), ids=RECURRENT)
def test_gradients_of_a_recurrence_are_those_of_autograd(make):
    module, x = made(make), x_of()
    mine = gradscope.gradient_norms(module, x, loss=loss)
    assert mine.lengths == (LENGTH,)

    leaf = x.clone().requires_grad_()
    y, history = unrolled(module, leaf)
    torch.testing.assert_close(y, outputs_of(module, x), rtol=1e-12, atol=1e-14)
    nodes = [value for states in history for state in states for value in state.values()]
    for node in nodes:
        node.retain_grad()
    loss(y).sum().backward()
    names = {"x", "<state>"}
    for layer, state in enumerate(history[0]):
        for block in state:
            name = name_of(module, block, layer)
            names.add(name)
            grads = torch.stack([states[layer][block].grad for states in history], dim=1)
            assert_decades(mine.log10_norm[name][0], grads.norm(dim=-1))
    assert set(mine.log10_norm) == names
    assert_decades(mine.log10_norm["x"][0], leaf.grad.norm(dim=-1))


@pytest.mark.parametrize("make", [*RECURRENT.values(), *SEQUENCES.values()], ids=[*RECURRENT, *SEQUENCES])
def test_gradients_of_inputs_and_weights_are_those_of_the_module_itself(make):
    module, x = made(make), x_of()
    mine = gradscope.gradient_norms(module, x, lengths=[5, LENGTH], loss=loss)
    for index, length in enumerate((5, LENGTH)):
        leaf = x[:, :length].clone().requires_grad_()
        (grad,) = torch.autograd.grad(loss(outputs_of(module, leaf)).sum(), leaf)
        assert_decades(mine.log10_norm["x"][index, :, :length], grad.norm(dim=-1))
    own = dict(module.named_parameters())
    prefix = "" if isinstance(module, nn.RNNBase) else "cell." if make in RECURRENT.values() else "module."
    assert set(mine.log10_weight_gradient_norm) == {prefix + name for name in own}
    for sample in range(BATCH):
        grads = torch.autograd.grad(loss(outputs_of(module, x[sample : sample + 1])).sum(), list(own.values()))
        for name, grad in zip(own, grads, strict=True):
            assert_decades(mine.log10_weight_gradient_norm[prefix + name][1, sample], grad.norm())


@pytest.mark.parametrize("make", RECURRENT.values(), ids=RECURRENT)
def test_jacobians_are_those_of_autograd(make):
    module, x = made(make), x_of()
    expected = jacobians(module, x)
    torch.testing.assert_close(gradscope.state_jacobian(module, x, step=4), expected[3], rtol=1e-10, atol=1e-13)
    linearization = gradscope.linearize(module, x)
    torch.testing.assert_close(linearization.coupled[0].matrix(LENGTH), expected[-1], rtol=1e-10, atol=1e-13)
    spectrum = gradscope.jacobian_spectrum(module, x, steps=[1, LENGTH])
    for index, t in enumerate((0, LENGTH - 1)):
        radius = torch.linalg.eigvals(expected[t]).abs().amax(-1)
        torch.testing.assert_close(spectrum.spectral_radius[:, index], radius, rtol=1e-9, atol=0)
        values = torch.linalg.svdvals(expected[t])
        torch.testing.assert_close(spectrum.singular_values[:, index], values, rtol=1e-9, atol=1e-12)
    product = torch.eye(expected.shape[-1], dtype=torch.float64).expand(BATCH, -1, -1)
    products = gradscope.jacobian_products(module, x)
    for lag in range(1, LENGTH + 1):
        product = product @ expected[LENGTH - lag]
        assert_decades(products.log10_largest_singular_value[:, lag - 1], torch.linalg.matrix_norm(product, 2))
    exponents = gradscope.lyapunov_exponents(module, x, warm_up=0).exponents_nats_per_step
    volume = torch.linalg.det(expected).abs().log().mean(0)
    torch.testing.assert_close(exponents.sum(-1), volume, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", [*RECURRENT.values(), *SEQUENCES.values()], ids=[*RECURRENT, *SEQUENCES])
def test_the_temporal_jacobian_is_that_of_the_module_itself(make):
    module, x = made(make), x_of()
    mine = gradscope.temporal_jacobian(module, x)
    leaf = x.clone().requires_grad_()
    last = outputs_of(module, leaf)[:, -1]
    rows = [torch.autograd.grad(last[:, k].sum(), leaf, retain_graph=True)[0] for k in range(last.shape[-1])]
    blocks = torch.stack(rows, dim=2).flip(1)  # (batch, lag, output, input)
    assert_decades(mine.log10_frobenius_norm, torch.linalg.matrix_norm(blocks))
    values = torch.linalg.svdvals(blocks)
    torch.testing.assert_close(10.0**mine.log10_singular_values, values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", RECURRENT.values(), ids=RECURRENT)
def test_sensitivity_is_the_squared_gradient_of_the_modules_weights(make):
    module, x = made(make), x_of()
    mine = gradscope.memory_sensitivity(module, x, seed=3)
    y, history = unrolled(module, x)
    target = torch.from_numpy(random_stream("targets", 3).standard_normal((BATCH, HIDDEN)))
    for sample in range(BATCH):
        value = (outputs_of(module, x[sample : sample + 1])[0, -1] - target[sample]).square().sum() / 2
        grads = torch.autograd.grad(value, list(module.parameters()))
        expected = sum(grad.square().sum() for grad in grads)
        power = sum(group[sample] for group in mine.loss_gradient_power.values())
        torch.testing.assert_close(power, expected, rtol=RELATIVE[torch.float64], atol=0)
    assert "magnitude" in mine.dh_domega_power or not isinstance(module, nn.RNNBase)
    assert all((power > 0).all() for power in mine.dh_domega_power.values())
    assert mine.dh_domega_power
    probed = y[:, -1] if len(history[-1]) > 1 else vectors(history[-1])
    torch.testing.assert_close(mine.state_power, probed.square().mean(-1).detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("make", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("measure", RECURRENT_MEASUREMENTS.values(), ids=RECURRENT_MEASUREMENTS)
def test_a_sequence_module_says_that_it_has_no_recurrent_state(make, measure):
    module = made(make)
    name = type(module).__name__
    with pytest.raises(gradscope.NoRecurrentState, match=f"{name} has no recurrent state.*the temporal Jacobian"):
        measure(module, x_of())


@pytest.mark.parametrize("make", RECURRENT.values(), ids=RECURRENT)
def test_weights_are_shared_and_not_copied(make):
    module, x = made(make), x_of()
    model = gradscope.as_model(module)
    prefix = "" if isinstance(module, nn.RNNBase) else "cell."
    own = dict(module.named_parameters())
    assert {name for name, _ in model.named_parameters()} == {prefix + name for name in own}
    assert all(model.get_parameter(prefix + name) is value for name, value in own.items())
    assert model.parameters_stored == sum(value.numel() for value in own.values())
    before = gradscope.gradient_norms(model, x, loss=loss).log10_norm["x"]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loss(outputs_of(module, x)).sum().backward()
    optimizer.step()
    after = gradscope.gradient_norms(model, x, loss=loss).log10_norm["x"]
    assert (after - before).abs().max() > 1e-4
    assert torch.equal(after, gradscope.gradient_norms(module, x, loss=loss).log10_norm["x"])
    model.float()
    assert all(model.get_parameter(prefix + name) is value for name, value in module.named_parameters())
    assert all(value.dtype == torch.float32 for value in module.parameters())


@pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS)
@pytest.mark.parametrize("make", [*RECURRENT.values(), *SEQUENCES.values()], ids=[*RECURRENT, *SEQUENCES])
def test_a_module_is_left_as_it_was(make, measure):
    module, x = made(make), x_of()
    first, *rest = module.parameters()
    first.requires_grad_(False)
    rest[0].grad = torch.ones_like(rest[0])
    hooked = module if not isinstance(module, nn.RNNBase) else nn.Identity()  # with one it is another module
    handle = hooked.register_forward_hook(lambda *_: None)

    def seen():
        return {
            "state": {name: value.clone() for name, value in module.state_dict().items()},
            "versions": [value._version for value in (*module.parameters(), *module.buffers())],
            "objects": [id(value) for value in (*module.parameters(), *module.buffers())],
            "requires_grad": [value.requires_grad for value in module.parameters()],
            "grad": [None if value.grad is None else value.grad.clone() for value in module.parameters()],
            "modes": [inner.training for inner in module.modules()],
            "hooks": [list(inner._forward_hooks) for inner in module.modules()],
            "batch_first": getattr(module, "batch_first", None),
            "names": sorted(vars(module)),
            "random": torch.get_rng_state().tolist(),
        }

    before = seen()
    versions_count = not any(True for _ in module.buffers())  # a buffer that is put back has another version
    try:
        measure(module, x)
    except gradscope.NoRecurrentState:
        assert make in SEQUENCES.values()
    after = seen()
    assert list(hooked._forward_hooks) == [handle.id]
    for key, value in before.items():
        if key != "versions" or versions_count:
            torch.testing.assert_close(after[key], value, rtol=0, atol=0) if key in ("state", "grad") else None
            assert str(after[key]) == str(value), key


def test_one_that_is_in_training_mode_with_batch_norm_keeps_its_running_means():
    module = made(Blended)
    before = copy.deepcopy(module.state_dict())
    gradscope.as_model(module, input_size=INPUT)
    with pytest.raises(gradscope.Unmeasurable, match="batch norm in training mode"):
        gradscope.gradient_norms(module, x_of())
    torch.testing.assert_close(dict(module.state_dict()), dict(before), rtol=0, atol=0)


def test_a_bias_that_there_is_not_is_no_parameter():
    module = made(lambda: nn.LSTM(INPUT, HIDDEN, bias=False))
    model = gradscope.as_model(module)
    assert model.parameters_counted == model.parameters_stored == 4 * HIDDEN * (INPUT + HIDDEN)
    assert set(model.memory_groups) == set(model.symmetry.parameters) == {"weight_ih_l0", "weight_hh_l0"}
    assert not model.has_memory_dial
    assert gradscope.as_model(made(lambda: nn.LSTM(INPUT, HIDDEN))).has_memory_dial


def test_no_random_number_is_drawn_for_shared_weights(monkeypatch):
    module = made(RECURRENT["LSTM"])
    monkeypatch.setattr("gradscope.contract.initializer.random_stream", None)
    monkeypatch.setattr(torch.nn.init, "uniform_", None)
    assert gradscope.as_model(module).layers[1].weight_hh_l1 is module.weight_hh_l1


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("change", ["weight norm", "tied"])
def test_one_whose_weights_are_not_its_own_is_measured_at_its_inputs(change, batch_first):
    module, x = made(lambda: nn.GRU(INPUT, HIDDEN, 2, batch_first=batch_first)), x_of()
    if change == "weight norm":
        torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    else:
        module.weight_hh_l1 = module.weight_hh_l0
    mine = gradscope.gradient_norms(module, x, loss=loss)
    assert set(mine.log10_norm) == {"x"}
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(outputs_of(module, leaf)).sum(), leaf)
    assert_decades(mine.log10_norm["x"][0], grad.norm(dim=-1))


def test_a_model_is_itself_and_inner_modules_are_nodes():
    model = gradscope.build("lru", input_size=INPUT, hidden_size=HIDDEN)
    assert gradscope.as_model(model) is model
    module = made(SEQUENCES["Sequential"])
    at = gradscope.as_model(module, input_size=INPUT, at="0+2")
    assert set(gradscope.gradient_norms(at, x_of()).log10_norm) == {"0", "2", "x"}
    wide = made(lambda: Recurrent())
    assert gradscope.as_model(wide, input_size=INPUT, hidden_size=HIDDEN).state_size == HIDDEN


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.LSTM(INPUT, HIDDEN)

    def forward(self, x):
        return self.inner(x)


class BothWays(nn.Module):
    """A layer norm hides a change that is the same for all features."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(INPUT)

    def forward(self, x):
        y = self.norm(x)
        return y + y.mean(1, keepdim=True)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.LSTM(INPUT, HIDDEN, bidirectional=True),
            gradscope.Unmeasurable,
            "bidirectional LSTM reads the",
        ),
        (lambda: nn.LSTM(INPUT, HIDDEN, proj_size=2), gradscope.Unmeasurable, r"projected state of LSTM \(proj_size=2"),
        (lambda: nn.GRU(INPUT, HIDDEN, 2, dropout=0.1), gradscope.Unmeasurable, "dropout in training mode, GRU,"),
        (TimeFirst, gradscope.Unmeasurable, r"depends on the rest of the batch.*build it with batch_first=True"),
        (BothWays, gradscope.Unmeasurable, "not causal"),
        (lambda: nn.LSTM(INPUT + 1, HIDDEN), gradscope.UsageError, "The model reads 4 features, but the inputs have 3"),
        (lambda: nn.Linear(INPUT + 1, HIDDEN), gradscope.UsageError, r"Linear should map \(batch, length, input_size"),
        (Recurrent, gradscope.UsageError, "where its state has another width, say hidden_size"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_sentence(make, error, message, batch):
    with pytest.raises(error, match=message):
        gradscope.gradient_norms(made(make), x_of(batch=batch))


@pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_what_is_no_module_is_refused_by_every_measurement(measure):
    for given, name in ((nn.LSTM, "the class LSTM"), ("lstm", "str"), (torch.tanh, "builtin_function_or_method")):
        with pytest.raises(gradscope.UsageError, match=f"should be given to be measured, but it was {name}"):
            measure(given, x_of())


def test_other_refusals():
    with pytest.raises(gradscope.UsageError, match="Sequential has no attribute input_size; say input_size=… of"):
        gradscope.as_model(nn.Sequential(nn.Linear(INPUT, HIDDEN)))
    for module in (nn.LSTM(INPUT, HIDDEN), nn.LSTMCell(INPUT, HIDDEN)):
        with pytest.raises(gradscope.UsageError, match="at= names inner modules of a sequence module"):
            gradscope.as_model(module, at="0")
    with pytest.raises(gradscope.Unmeasurable, match=r"in bfloat16; .* copy.deepcopy\(model\).float\(\)"):
        gradscope.gradient_norms(nn.LSTM(INPUT, HIDDEN).bfloat16(), x_of())
    with pytest.raises(gradscope.UsageError, match=r"Inputs should be \(batch, length, input_size\)"):
        gradscope.gradient_norms("lstm", torch.zeros(3, 4))


@pytest.mark.parametrize("kind", ["GPT2", "Mamba"])
def test_a_model_of_hugging_face_is_measured_at_its_embeddings(kind):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "GPT2": {"n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 11, "bos_token_id": 0, "eos_token_id": 0},
        "Mamba": {"hidden_size": 8, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 11},
    }
    config = getattr(transformers, f"{kind}Config")(**sizes[kind])
    module = made(lambda: getattr(transformers, f"{kind}Model")(config).eval())
    assert gradscope.as_model(module).input_size == 8
    x = inputs(length=LENGTH, batch=BATCH, input_size=8)
    mine = gradscope.gradient_norms(module, x, loss=loss)
    leaf = x.clone().requires_grad_()
    y = module(inputs_embeds=leaf).last_hidden_state
    (grad,) = torch.autograd.grad(loss(y).sum(), leaf)
    assert_decades(mine.log10_norm["x"][0], grad.norm(dim=-1))


def hundredfold(module):
    module.register_forward_hook(lambda module, given, output: (100 * output[0], output[1]))


def of_inputs(module):
    module.register_forward_pre_hook(lambda module, given: (3 * given[0],))


def clamped(module):
    module.register_forward_pre_hook(lambda module, given: (given[0].clamp(-2, 2), *given[1:]))


def replaced(module):
    inner = module.forward
    module.forward = lambda x: (inner(x)[0] ** 2, None)


def backward(module):
    module.register_full_backward_hook(lambda module, given, output: None)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("change", [hundredfold, of_inputs, clamped, replaced, backward])
def test_hooks_and_a_forward_pass_of_ones_own_are_measured_and_not_passed_over(change):
    module, x = made(lambda: nn.LSTM(INPUT, HIDDEN)), 3 * x_of()
    change(module)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(outputs_of(module, leaf)).sum(), leaf)
    assert_decades(gradscope.gradient_norms(module, x, loss=loss).log10_norm["x"][0], grad.norm(dim=-1))


def test_a_hook_hides_the_states_and_a_subclass_does_not():
    class Named(nn.LSTM):
        pass

    assert gradscope.as_model(Named(INPUT, HIDDEN)).components == ("h", "c")
    module = made(lambda: nn.LSTM(INPUT, HIDDEN))
    module.register_forward_hook(lambda *_: None)
    with pytest.raises(gradscope.NoRecurrentState, match=r"^LSTM \(with hooks, or weights or a forward pass"):
        gradscope.jacobian_spectrum(module, x_of())


# a linearization is measured later
AT_ONCE = {name: measure for name, measure in MEASUREMENTS.items() if name != "linearize"}
PAIRS = [(make, measure) for make in RECURRENT.values() for measure in AT_ONCE.values()] + [
    (make, MEASUREMENTS[name]) for make in SEQUENCES.values() for name in ("gradient_norms", "temporal_jacobian")
]


@pytest.mark.parametrize(("make", "measure"), PAIRS)
@pytest.mark.parametrize(
    "surroundings", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", dtype=torch.bfloat16)]
)
def test_what_surrounds_a_measurement_does_not_change_it(make, measure, surroundings):
    module, x = made(make).float(), x_of().float()
    alone = measure(module, x)
    with surroundings():
        inside = measure(module, x * 1)
    found, expected = (
        {"value": result} if isinstance(result, torch.Tensor) else vars(result) for result in (inside, alone)
    )
    for name, value in expected.items():
        assert str(found[name]) == str(value), name


def test_parameters_and_arguments_that_autograd_cannot_follow_are_refused():
    with torch.inference_mode():
        module = nn.LSTM(INPUT, HIDDEN)
    with pytest.raises(gradscope.Unmeasurable, match=r"made under torch.inference_mode.*build the model outside"):
        gradscope.gradient_norms(module, x_of())
    for given, kind in (
        ([[0.0]], "list"),
        (x_of().numpy(), "ndarray"),
        (x_of().to_sparse(), "sparse tensor"),
        (x_of().to("meta"), "meta tensor"),
        (x_of() * 1j, "complex tensor"),
        (nn.utils.rnn.pack_sequence([x_of()[0]]), "PackedSequence"),
    ):
        for measure in (*MEASUREMENTS.values(), gradscope.diagnose):
            with pytest.raises(gradscope.UsageError, match=f"but a {kind} was given"):
                measure(nn.LSTM(INPUT, HIDDEN), given)
    with pytest.raises(gradscope.UsageError, match="TorchScript module"):
        gradscope.gradient_norms(torch.jit.script(nn.Linear(INPUT, 2)), x_of())


class Cut(nn.Module):
    """Autograd does not see what it does."""

    def __init__(self, whole):
        super().__init__()
        self.inner, self.outer, self.whole = nn.Linear(INPUT, HIDDEN), nn.Linear(HIDDEN, HIDDEN), whole

    def forward(self, x):
        with torch.no_grad():
            inner = self.inner(x)
        return self.outer(inner).detach() if self.whole else self.outer(inner) + x.sum(-1, keepdim=True)


def test_a_sequence_module_without_a_gradient_is_refused():
    for measure in (gradscope.gradient_norms, gradscope.temporal_jacobian, gradscope.diagnose):
        with pytest.raises(gradscope.Unmeasurable, match="The output of Cut has no gradient"):
            measure(made(lambda: Cut(whole=True)), x_of())
    at = gradscope.as_model(made(lambda: Cut(whole=False)), input_size=INPUT, at="inner")
    with pytest.raises(gradscope.Unmeasurable, match="What comes out of 'inner' of Cut has no gradient"):
        gradscope.gradient_norms(at, x_of())
    named_x = nn.Sequential()
    named_x.add_module("x", nn.Linear(INPUT, HIDDEN))
    with pytest.raises(gradscope.UsageError, match="an inner module called 'x' cannot be told from the input"):
        gradscope.as_model(named_x, input_size=INPUT, at="x")


def test_outputs_that_are_not_finite_are_a_status():
    module = nn.Sequential(nn.Linear(INPUT, HIDDEN))
    with torch.no_grad():
        module[0].weight.fill_(torch.nan)
    assert gradscope.gradient_norms(module, x_of()).status == ("non-finite",)
    with pytest.raises(gradscope.Unmeasurable, match="is not finite"):
        gradscope.temporal_jacobian(module, x_of())


class Counting(nn.Module):
    """Changes its buffers in every way that there is."""

    def __init__(self):
        super().__init__()
        self.input_size, self.hidden_size = INPUT, INPUT
        self.inside = nn.RNNCell(INPUT, INPUT)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("tied", self.calls)
        self.register_buffer("mask", None)
        self.register_buffer("removed", torch.ones(2))
        self.register_buffer("unknown", torch.full((2,), torch.nan))

    def forward(self, x, h):
        self.calls = self.calls + 1
        self.tied = self.tied * 3
        self.mask = torch.ones(INPUT)
        self.register_buffer("made", torch.ones(INPUT))
        self.removed = None
        del self.removed
        self.removed = torch.zeros(3)
        if not hasattr(self, "later"):
            self.later = nn.Module()
            self.later.register_buffer("table", torch.ones(INPUT))
        return self.inside(x, h) * self.later.table


@pytest.mark.parametrize("measure", AT_ONCE.values(), ids=AT_ONCE)
def test_buffers_that_a_cell_changes_replaces_or_makes_are_put_back(measure):
    module = made(Counting)
    before, tensors = copy.deepcopy(dict(module._buffers)), dict(module._buffers)
    measure(module, x_of())
    measure(module, x_of())
    assert list(module._buffers) == list(before)
    assert all(module._buffers[name] is tensors[name] for name in before)
    assert "removed" not in vars(module)
    assert list(module.state_dict())[:5] == ["calls", "tied", "removed", "unknown", "inside.weight_ih"]
    for name, value in before.items():
        torch.testing.assert_close(module._buffers[name], value, rtol=0, atol=0, equal_nan=True)


class Grown(nn.Linear):
    def __init__(self):
        super().__init__(INPUT, HIDDEN)
        self.register_buffer("seen", torch.ones(2), persistent=False)

    def forward(self, x):
        self.seen.resize_(5).fill_(2)
        return super().forward(x)


def test_a_buffer_that_grows_in_place_is_put_back():
    module = made(Grown)
    for measure in (gradscope.gradient_norms, gradscope.temporal_jacobian):
        measure(module, x_of())
        assert module.seen.tolist() == [1, 1]
    assert "seen" not in module.state_dict()


def test_the_precision_of_products_is_put_back_however_it_was_set():
    script = (
        "import torch, gradscope; from torch import nn; {}; before = torch.backends.cuda.matmul.fp32_precision; "
        "gradscope.gradient_norms(nn.LSTM(3, 4), torch.randn(2, 5, 3)); "
        "assert torch.backends.cuda.matmul.fp32_precision == before; {}"
    )
    for given, after in (
        ("torch.set_float32_matmul_precision('medium')", "assert torch.get_float32_matmul_precision() == 'medium'"),
        ("torch.backends.cuda.matmul.allow_tf32 = True", "assert torch.backends.cuda.matmul.allow_tf32"),
        ("torch.backends.cuda.matmul.fp32_precision = 'tf32'", ""),
        ("torch.backends.cudnn.conv.fp32_precision = 'ieee'", ""),
    ):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", script.format(given, after)], capture_output=True)
        assert not done.returncode, (given, done.stderr)


def test_weight_gradients_whose_squares_are_too_small_have_a_norm():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(INPUT, HIDDEN, bias=False)

        def forward(self, x):
            return self.map(x * 1e-170)

    module = made(Small)
    small = gradscope.gradient_norms(module, x_of(), loss="last-probe").log10_weight_gradient_norm["module.map.weight"]
    plain = gradscope.gradient_norms(module, 1e170 * x_of(), loss="last-probe").log10_weight_gradient_norm
    assert (small + 170 - plain["module.map.weight"]).abs().max() < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_module_is_followed_far_below_its_dtype(dtype):
    gru = made(lambda: nn.GRU(INPUT, HIDDEN, batch_first=True)).to(dtype)
    x = x_of(length=400 if dtype == torch.float32 else 4000).to(dtype)
    for norms in (
        lambda module: gradscope.temporal_jacobian(module, x).log10_frobenius_norm,
        lambda module: gradscope.gradient_norms(module, x, weight_gradients=False).log10_norm["x"],
    ):
        known, mine = norms(gru), norms(nn.Sequential(gru))
        assert known.min() < 1.5 * math.log10(torch.finfo(dtype).smallest_normal)
        assert (mine - known).abs().max() < DECADES[dtype]


@pytest.mark.parametrize(
    ("measure", "argument", "given"),
    [
        *((gradscope.gradient_norms, "lengths", given) for given in ([5.5], "12", [float("nan")], [None], [])),
        *((gradscope.diagnose, "lengths", given) for given in ([5.5], "12", ())),
        *((gradscope.jacobian_products, "lags", given) for given in ([1.5], "1", [10])),
        *((gradscope.jacobian_spectrum, "steps", given) for given in ([1.5], 2.0, "1", [])),
        (gradscope.jacobian_spectrum, "leading", 1.5),
        (gradscope.lyapunov_exponents, "count", 1.5),
        (gradscope.lyapunov_exponents, "warm_up", 1.5),
        *((gradscope.memory_sensitivity, "probes", given) for given in (0, -1, 1.5, [1, 2])),
        (gradscope.lyapunov_exponents, "warm_up", [1, 2]),
        (gradscope.gradient_norms, "components", []),
    ],
)
def test_arguments_that_are_no_whole_numbers_are_refused(measure, argument, given):
    with pytest.raises(gradscope.UsageError, match=r"was given|is needed"):
        measure(nn.LSTM(INPUT, HIDDEN), x_of(), **{argument: given})


def test_whole_numbers_of_any_kind_are_taken():
    module, x = made(lambda: nn.LSTM(INPUT, HIDDEN)), x_of()
    assert gradscope.gradient_norms(module, x, lengths=5).lengths == (5,)
    assert gradscope.gradient_norms(module, x, lengths=np.array(5)).lengths == (5,)
    assert gradscope.gradient_norms(module, x, lengths=torch.tensor([2, 5])).lengths == (2, 5)
    for step in (5, torch.tensor(5), np.int64(5), [5], (5,)):
        assert gradscope.jacobian_spectrum(module, x, steps=step).steps == (5,)
