"""Architectures against their equations, against torch, and against what the papers promise."""

import math

import pytest
import torch
from torch import nn

import gradscope
from tests.models import ALL, NAMES, SINGLE_NAMES, inputs, small
from tests.unrolled import unrolled

TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("name", TORCH)
def test_state_dicts_move_both_ways(name, num_layers, dtype):
    mine = small(name, num_layers, dtype)
    theirs = TORCH[name](4, 3, num_layers, batch_first=True, dtype=dtype)
    theirs.load_state_dict(mine.state_dict())
    x = inputs(length=20, dtype=dtype)
    tolerance = {"rtol": 0, "atol": 1e-6 if dtype == torch.float32 else 1e-13}
    assert torch.allclose(mine(x), theirs(x)[0], **tolerance)
    other = TORCH[name](4, 3, num_layers, batch_first=True, dtype=dtype)
    mine.load_state_dict(other.state_dict())
    assert torch.allclose(mine(x), other(x)[0], **tolerance)
    assert torch.allclose(gradscope.linearize(mine, x).outputs.transpose(0, 1), other(x)[0], **tolerance)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_forward_trajectory_and_loop_agree(name, options, num_layers):
    model, x = small(name, num_layers, **options), inputs(length=9)
    y = model(x)
    assert y.shape == (2, 9, model.output_size)
    loop, _ = unrolled(model, x)
    assert torch.allclose(y, loop, rtol=1e-12, atol=1e-13)
    if model.state_size:
        assert torch.allclose(gradscope.linearize(model, x).outputs.transpose(0, 1), y, rtol=1e-12, atol=1e-13)
    y.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", SINGLE_NAMES)
def test_states_of_the_fast_forward_equal_those_of_its_step(name):
    model, x = small(name), inputs(length=150)
    u, s = model.prepare(x), model.initial_state(2)
    (trajectory,) = gradscope.linearize(model, x).recurrences
    for index in range(150):
        s = model.step(s, {n: v[:, index] for n, v in u.items()}, torch.tensor(index + 1))
    for block, value in trajectory.states(150, 150).items():
        assert torch.allclose(value[0], s[block], rtol=1e-11, atol=1e-12)


def test_gru_cho_resets_before_the_product():
    m, x = small("gru-cho"), inputs(length=1)
    h = torch.randn(2, 3, dtype=torch.float64)
    rz = torch.sigmoid(x[:, 0] @ m.weight_ih_rz.T + m.bias_rz + h @ m.weight_hh_rz.T)
    r, z = rz[:, :3], rz[:, 3:]
    n = torch.tanh(x[:, 0] @ m.weight_ih_n.T + m.bias_n + (r * h) @ m.weight_hh_n.T)
    mine = m.step({"h": h}, {k: v[:, 0] for k, v in m.prepare(x).items()}, torch.tensor(1))["h"]
    assert torch.allclose(mine, (1 - z) * h + z * n, rtol=0, atol=1e-14)


def test_rrn_of_depth_three():
    m, x = small("rrn", depth=3), inputs(length=1)
    h = y = torch.randn(2, 3, dtype=torch.float64)
    for k in (1, 2, 3):
        weights = (getattr(m, f"{n}_{k}") for n in ("weight_ih", "weight_hh", "bias"))
        w_ih, w_hh, bias = weights
        y = torch.sigmoid(x[:, 0] @ w_ih.T + y @ w_hh.T + bias)
    mine = m.step({"h": h}, {k: v[:, 0] for k, v in m.prepare(x).items()}, torch.tensor(1))["h"]
    assert torch.allclose(mine, torch.tanh(h + y), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("input_size", "hidden_size"), [(4, 3), (32, 64)])
def test_rrn_has_half_the_parameters_of_an_lstm(input_size, hidden_size):
    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    assert 2 * small("rrn", **sizes).parameters_counted == small("lstm", **sizes).parameters_counted


def test_sc_lstm_adds_the_last_anchor_every_l_steps():
    m, x = small("sc-lstm-p", L=3, alpha=0.5), inputs(length=8)
    plain = small("lstm")
    with torch.no_grad():
        plain.weight_ih_l0.copy_(m.weight_ih)
        plain.weight_hh_l0.copy_(m.weight_hh)
        plain.bias_ih_l0.copy_(m.bias)
        plain.bias_hh_l0.zero_()
    h = c = torch.zeros(2, 3, dtype=torch.float64)
    cell, hs = nn.LSTMCell(4, 3, dtype=torch.float64), {}
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in plain.state_dict().items()})
    for t in range(1, 9):
        h, c = cell(x[:, t - 1], (h, c))
        if t in (4, 7):
            h = h + 0.5 * hs[t - 3]
        hs[t] = h
    assert torch.allclose(m(x), torch.stack(list(hs.values()), 1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"L": 100}])
def test_sc_lstm_without_a_shortcut_is_an_lstm(options):
    m, plain, x = small("sc-lstm-i", **options), small("lstm"), inputs(length=50)
    with torch.no_grad():
        plain.weight_ih_l0.copy_(m.weight_ih)
        plain.weight_hh_l0.copy_(m.weight_hh)
        plain.bias_ih_l0.copy_(m.bias)
        plain.bias_hh_l0.zero_()
    mine = gradscope.gradient_norms(m, x, [50], weight_gradients=False)
    reference = gradscope.gradient_norms(plain, x, [50], weight_gradients=False)
    for name in ("h", "c", "x"):
        assert torch.allclose(mine.log10_norm[name], reference.log10_norm[name], rtol=0, atol=1e-10)


def test_skip_rnn_adds_the_state_k_steps_back():
    m, x = small("skip-rnn", k=3, alpha=0.7), inputs(length=8)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    h = dict.fromkeys((0, -1, -2), zero)
    for t in range(1, 9):
        a = x[:, t - 1] @ m.weight_ih.T + m.bias + h[t - 1] @ m.weight_hh.T
        h[t] = torch.tanh(a) + 0.7 * h[t - 3]
    assert torch.allclose(m(x), torch.stack([h[t] for t in range(1, 9)], 1), rtol=0, atol=1e-14)


def test_min_gru_and_lru_equations():
    m, x = small("min-gru"), inputs(length=6)
    z, candidate = torch.sigmoid(x @ m.weight_z.T + m.bias_z), x @ m.weight_h.T + m.bias_h
    h = torch.zeros(2, 3, dtype=torch.float64)
    for t in range(6):
        h = (1 - z[:, t]) * h + z[:, t] * candidate[:, t]
    assert torch.allclose(m(x)[:, -1], h, rtol=0, atol=1e-14)

    m = small("lru", input_size=3)
    x = inputs(length=6, input_size=3)
    s = torch.zeros(2, 3, dtype=torch.complex128)
    lam = torch.exp(-torch.exp(m.nu_log) + 1j * torch.exp(m.theta_log))
    for t in range(6):
        s = lam * s + torch.exp(m.gamma_log) * (x[:, t].to(s.dtype) @ torch.complex(m.B_re, m.B_im).T)
    y = (s @ torch.complex(m.C_re, m.C_im).T).real + m.D * x[:, -1]
    assert torch.allclose(m(x)[:, -1], y, rtol=0, atol=1e-13)


def test_lru_ring_and_normaliser():
    m = small("lru", hidden_size=500, r_min=0.8, r_max=0.95)
    modulus = torch.exp(-torch.exp(m.nu_log))
    assert ((modulus >= 0.8) & (modulus <= 0.95)).all()
    assert torch.allclose(torch.exp(m.gamma_log), torch.sqrt(1 - modulus**2), rtol=1e-12)
    with pytest.raises(gradscope.UsageError, match=r"r_min=0.9 should be below r_max=0.5"):
        small("lru", r_min=0.9, r_max=0.5)


def test_lstm_initialisations():
    plain, biased = small("lstm"), small("lstm", forget_bias=1)
    assert torch.allclose(
        biased.bias_ih_l0 - plain.bias_ih_l0, torch.tensor([0.0] * 3 + [1.0] * 3 + [0.0] * 6).double()
    )
    chrono = small("lstm", chrono=1000, hidden_size=50)
    i, f, g, o = (chrono.bias_ih_l0 + chrono.bias_hh_l0).chunk(4)
    assert torch.equal(i, -f)
    assert ((f >= 0) & (f <= math.log(999))).all()
    assert not g.any()
    assert not o.any()


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "rrn", "sc-lstm-i"])
def test_default_initialisation_is_torchs(name):
    model = small(name, hidden_size=64, input_size=32)
    for parameter in model.parameters():
        assert parameter.abs().max() <= 1 / 8
        assert parameter.abs().max() > 0.9 / 8


def test_the_orthogonal_matrix_is_orthogonal():
    a = small("linear-rnn", init="orthogonal", hidden_size=64).A
    assert torch.allclose(a @ a.T, torch.eye(64, dtype=torch.float64), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_give_the_same_weights_in_every_dtype(name):
    single, double, other = small(name, dtype=torch.float32), small(name), small(name, seed=1)
    for key, value in double.state_dict().items():
        assert torch.equal(value.float(), single.state_dict()[key])
    drawn = [key for key, value in double.state_dict().items() if value.unique().numel() > 1]
    assert drawn
    assert all(not torch.equal(double.state_dict()[key], other.state_dict()[key]) for key in drawn)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstn", {}, "no architecture called 'lstn'. Did you mean 'lstm'"),
        ("lstm", {"forget_bais": 1}, "no option of lstm called 'forget_bais'. Did you mean 'forget_bias'"),
        ("gru", {"alpha": 1}, "gru has no options"),
        ("rrn", {"inner": "sine"}, "inner=sine should be sigmoid or tanh or relu"),
        ("rrn", {"depth": 0}, "depth=0 should be at least 1"),
        ("rrn", {"depth": 1.5}, "depth=1.5 should be a whole number"),
        ("transformer", {"heads": 2}, "heads=2 should divide the hidden size, which is 3"),
        ("lstm", {"hidden_size": 0}, "hidden_size should be at least 1, but 0 was given"),
    ],
)
def test_wrong_names_and_options_are_refused(name, options, message):
    with pytest.raises(gradscope.UsageError, match=message):
        small(name, **options)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_stack_can_move_between_dtypes(name):
    model = small(name, 2).float()
    assert model(inputs(dtype=torch.float32)).dtype == torch.float32
    assert {n for n, _ in model.named_parameters()} == {n for n, _ in TORCH[name](4, 3, 2).named_parameters()}


def test_the_transformer_is_causal_and_its_positions_are_prefix_stable():
    model, x = small("transformer", 2), inputs(length=12)
    assert torch.allclose(model(x)[:, :5], model(x[:, :5]), rtol=0, atol=1e-12)
