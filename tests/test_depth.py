"""Signal propagation against an independently written network, one step and one layer at a time."""

import numpy as np
import pytest
import torch

from gradscope.contract.initializer import Initializer
from gradscope.errors import UnknownName, UsageError
from gradscope.experiments.depth import signal_propagation
from gradscope.experiments.residual_network import RECURRENCES, ResidualNetwork
from gradscope.inputs.make import make_inputs
from gradscope.numerics.diagonal_scan import diagonal_scan
from tests.tolerances import RELATIVE

EXACT = RELATIVE[torch.float64]
OWN = {"cRNN": {"lambda"}, "lru": {"magnitude", "angle"}, "gru": {"magnitude"}}


def drawn(batch=3, length=7, features=5, kind="white"):
    return make_inputs(kind, batch=batch, length=length, input_size=features)


def complex_layer(p, x, poles, gamma):
    B, C = torch.complex(p["B_re"], p["B_im"]), torch.complex(p["C_re"], p["C_im"])
    h, outputs = torch.zeros(len(x), len(poles), dtype=torch.complex128), []
    for t in range(x.shape[1]):
        h = poles * h + gamma * (x[:, t].to(B.dtype) @ B.T)
        outputs.append((h @ C.T).real + p["D"] * x[:, t])
    return torch.stack(outputs, 1)


def gru_layer(p, x):
    (W_r, W_z, W_n), (b_r, b_z, b_n) = p["weight_ih_l0"].chunk(3), p["bias_ih_l0"].chunk(3)
    (U_r, U_z, U_n), (c_r, c_z, c_n) = p["weight_hh_l0"].chunk(3), p["bias_hh_l0"].chunk(3)
    h, outputs = torch.zeros(len(x), len(b_r), dtype=torch.float64), []
    for t in range(x.shape[1]):
        r = torch.sigmoid(x[:, t] @ W_r.T + b_r + h @ U_r.T + c_r)
        z = torch.sigmoid(x[:, t] @ W_z.T + b_z + h @ U_z.T + c_z)
        n = torch.tanh(x[:, t] @ W_n.T + b_n + r * (h @ U_n.T + c_n))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs, 1)


def layer(kind, p, x):
    if kind == "cRNN":
        return complex_layer(p, x, torch.complex(p["lambda_re"], p["lambda_im"]), 1.0)
    if kind == "lru":
        poles = torch.exp(torch.complex(-torch.exp(p["nu_log"]), torch.exp(p["theta_log"])))
        return complex_layer(p, x, poles, torch.exp(p["gamma_log"]))
    return gru_layer(p, x)


def independent(kind, parameters, x, depth):
    """Loss and the recurrences' outputs."""
    stream, recurrent = x @ parameters["encoder_weight"].T + parameters["encoder_bias"], []
    for k in range(depth):
        p = {n.removeprefix(f"blocks.{k}."): v for n, v in parameters.items() if n.startswith(f"blocks.{k}.")}
        own = {n.removeprefix("recurrence."): v for n, v in p.items() if n.startswith("recurrence.")}
        y = layer(kind, own, stream)
        z = 0.5 * y * (1 + torch.erf(y / 2**0.5))
        gate = 1 / (1 + torch.exp(-(z @ p["gate_weight"].T + p["gate_bias"])))
        stream = stream + (z @ p["value_weight"].T + p["value_bias"]) * gate
        recurrent.append(y)
    predicted = stream @ parameters["decoder_weight"].T + parameters["decoder_bias"]
    total = sum(((predicted[:, t] - x[:, t + 1]) ** 2).sum() / 2 for t in range(x.shape[1] - 1))
    return total / (len(x) * (x.shape[1] - 1)), recurrent


def group_of(kind, name):
    """Which entries of a block's parameter belong to which group, by its name."""
    if not name.startswith("recurrence."):
        return [("feed-forward", slice(None))]
    own = name.removeprefix("recurrence.")
    if kind == "gru":
        rows = [slice(0, 4), slice(4, 8), slice(8, 12)]  # r, z, n at width 4
        return [("recurrent", rows[0]), ("magnitude", rows[1]), ("recurrent", rows[2])]
    names = {"nu_log": "magnitude", "theta_log": "angle", "lambda_re": "lambda", "lambda_im": "lambda"}
    return [(names.get(own, "recurrent"), slice(None))]


@pytest.mark.parametrize("modulus", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("kind", RECURRENCES)
def test_equals_autograd_of_an_independent_network(kind, modulus):
    depth, width, x = 3, 4, drawn()
    result = signal_propagation(kind, modulus, x, depth=depth, width=width, seed=2)
    network = ResidualNetwork(kind, modulus, 5, width, depth, Initializer(2))
    parameters = {name: value.detach().clone().requires_grad_() for name, value in network.named_parameters()}
    loss, recurrent = independent(kind, parameters, x.double(), depth)
    gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
    assert result.loss == pytest.approx(loss.item(), rel=EXACT)
    assert result.status == "ok"
    assert result.state_power.tolist() == pytest.approx([(y**2).mean().item() for y in recurrent], rel=EXACT)
    assert set(result.gradient_power) == OWN[kind] | {"recurrent", "feed-forward"}
    for k in range(depth):
        parts = {}
        for name, gradient in gradients.items():
            if name.startswith(f"blocks.{k}."):
                for group, rows in group_of(kind, name.removeprefix(f"blocks.{k}.")):
                    parts.setdefault(group, []).append(gradient[rows].flatten())
        for group, values in parts.items():
            expected = (torch.cat(values) ** 2).mean().item()
            assert expected > 0
            assert result.gradient_power[group][k].item() == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("kind", ["cRNN", "lru"])
@pytest.mark.parametrize("modulus", [0.0, 0.9, 0.99])
def test_eigenvalues_lie_in_the_ring(kind, modulus):
    network = ResidualNetwork(kind, modulus, 3, 50, 2, Initializer(0))
    for block in network.blocks:
        moduli = block.recurrence.prepare(torch.zeros(1, 50, dtype=torch.float64))["a"].abs()
        assert modulus - 1e-12 <= moduli.min() < moduli.max() <= (1 + modulus) / 2 + 1e-12


def test_chrono_gates_keep_for_one_to_two_time_constants():
    network = ResidualNetwork("gru", 0.99, 3, 50, 1, Initializer(0))
    gru = network.blocks[0].recurrence
    time_constants = torch.exp(gru.bias_ih_l0[50:100] + gru.bias_hh_l0[50:100])
    assert 100 <= time_constants.min() < 110
    assert 190 < time_constants.max() <= 200


def test_the_complex_rnn_and_the_lru_share_their_draws():
    a, b = (ResidualNetwork(kind, 0.9, 3, 6, 2, Initializer(1)).blocks[1] for kind in ("cRNN", "lru"))
    x = torch.zeros(1, 6, dtype=torch.float64)
    assert torch.allclose(a.recurrence.prepare(x)["a"], b.recurrence.prepare(x)["a"], atol=1e-14)
    assert torch.equal(a.value_weight, b.value_weight)
    assert torch.equal(a.recurrence.C_im, b.recurrence.C_im)


@pytest.mark.parametrize("kind", RECURRENCES)
def test_a_deeper_network_begins_with_the_shallower_one(kind):
    x = drawn()
    shallow, deep = (signal_propagation(kind, 0.9, x, depth=k, width=6) for k in (1, 3))
    assert deep.state_power.shape == (3,)
    assert torch.equal(shallow.state_power, deep.state_power[:1])


@pytest.mark.parametrize("kind", RECURRENCES)
def test_same_seed_same_numbers_whatever_the_global_generators(kind):
    x = drawn()
    first = signal_propagation(kind, 0.9, x, width=6)
    state = torch.get_rng_state()
    again = signal_propagation(kind, 0.9, x.numpy(), width=6)
    other = signal_propagation(kind, 0.9, x, width=6, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert first.loss == again.loss != other.loss
    for group, power in first.gradient_power.items():
        assert torch.equal(power, again.gradient_power[group])
        assert not torch.equal(power, other.gradient_power[group])


def test_lambda_gradients_of_the_complex_rnn_explode_and_the_lru_and_the_gru_are_spared():
    x = drawn(batch=4, length=300, features=8, kind="wiki-like")
    moduli = [0.684, 0.99]
    results = {kind: [signal_propagation(kind, m, x, width=16) for m in moduli] for kind in RECURRENCES}

    def growth(kind, group):
        short, long = (result.gradient_power[group].log10().mean() for result in results[kind])
        return float(long - short)  # decades

    assert growth("cRNN", "lambda") > 7
    assert growth("cRNN", "feed-forward") > 4
    assert abs(growth("lru", "magnitude")) < 1.5
    assert growth("lru", "angle") > 1
    assert abs(growth("lru", "feed-forward")) < 1
    assert abs(growth("gru", "magnitude")) < 1.5
    power = {kind: [result.state_power for result in of_kind] for kind, of_kind in results.items()}
    assert power["cRNN"][1][-1] > 1000 * power["cRNN"][0][-1]
    assert 0.3 < power["lru"][1][-1] / power["lru"][0][-1] < 3


@pytest.mark.parametrize("kind", RECURRENCES)
def test_single_precision_is_close(kind):
    x = drawn(length=30)
    single, double = (signal_propagation(kind, 0.9, x, width=6, dtype=t) for t in (torch.float32, torch.float64))
    assert single.loss == pytest.approx(double.loss, rel=1e-4)
    assert single.loss != double.loss
    for group, power in double.gradient_power.items():
        assert single.gradient_power[group].tolist() == pytest.approx(power.tolist(), rel=1e-2)


def test_overflow_is_a_status():
    assert signal_propagation("cRNN", 0.9, drawn().double() * 1e200, width=4).status == "non-finite"


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_scan_equals_its_loop_with_gradients(dtype, length):
    random = np.random.RandomState(length)
    shape = (2, length, 2, 3, 2)  # a and b; real and imaginary part
    a, b = torch.view_as_complex(torch.from_numpy(random.standard_normal(shape)))
    a, b = ((v if dtype.is_complex else v.real).clone().requires_grad_() for v in (a, b))
    h, expected = torch.zeros_like(b[0]), []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        expected.append(h)
    expected = torch.stack(expected)
    assert torch.allclose(diagonal_scan(a, b), expected, rtol=0, atol=1e-12)
    weights = torch.from_numpy(random.standard_normal(expected.shape))
    losses = [((states * weights).abs() ** 2).sum() for states in (diagonal_scan(a, b), expected)]
    for measured, reference in zip(*(torch.autograd.grad(loss, (a, b)) for loss in losses), strict=True):
        assert torch.allclose(measured, reference, rtol=EXACT, atol=1e-12)
    assert torch.autograd.gradcheck(diagonal_scan, (a, b))


def test_scan_reads_broadcast_coefficients():
    a, b = torch.tensor([0.5, -0.2], dtype=torch.float64, requires_grad=True), torch.ones(4, 3, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: diagonal_scan(a.expand_as(b), b), (a,))


def test_refuses_what_it_cannot_measure():
    x = drawn()
    with pytest.raises(UnknownName, match=r"no recurrence called 'crnn'. Did you mean 'cRNN'"):
        signal_propagation("crnn", 0.9, x)
    with pytest.raises(UsageError, match="exclusive of 1, but 1 was given"):
        signal_propagation("lru", 1.0, x)
    with pytest.raises(UsageError, match=r"Inputs should be \(batch, length, input_size\)"):
        signal_propagation("lru", 0.9, x[0])
    with pytest.raises(UsageError, match="two steps or more"):
        signal_propagation("lru", 0.9, x[:, :1])
    with pytest.raises(UsageError, match="NaN or infinite"):
        signal_propagation("lru", 0.9, x * float("nan"))
    with pytest.raises(UsageError, match="depth should be 1 or more, but 0"):
        signal_propagation("lru", 0.9, x, depth=0)
    with pytest.raises(UsageError, match="width should be 1 or more, but 0"):
        signal_propagation("lru", 0.9, x, width=0)
