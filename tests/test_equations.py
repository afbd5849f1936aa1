"""Every architecture against its equations and initial values, written out here with plain torch operations.

Outputs, states and the gradients of outputs, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gradscope.architectures.build import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.contract.combinators import Parallel
from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.sequence import SequenceModel
from gradscope.contract.state import State
from gradscope.errors import UsageError

BATCH, LENGTH, INPUT, HIDDEN = 2, 7, 5, 3
EXACT = {"rtol": 1e-12, "atol": 1e-13}

Weights = dict[str, Tensor]
Reference = Callable[..., dict[str, Tensor]]  # (weights, x (time, batch, input), **options) -> name to (time, batch, *)


def states_and_outputs(h: list[Tensor]) -> dict[str, Tensor]:
    return {"h": torch.stack(h), "y": torch.stack(h)}


def rnn(w: Weights, x: Tensor, nonlinearity: str = "tanh") -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    phi = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
    for x_t in x:
        h = phi(x_t @ w["weight_ih_l0"].T + w["bias_ih_l0"] + h @ w["weight_hh_l0"].T + w["bias_hh_l0"])
        rows.append(h)
    return states_and_outputs(rows)


def lstm_cell(w_ih: Tensor, w_hh: Tensor, b: Tensor, x_t: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x_t @ w_ih.T + h @ w_hh.T + b).split(HIDDEN, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def lstm(w: Weights, x: Tensor) -> dict[str, Tensor]:
    h = c = x.new_zeros(x.shape[1], HIDDEN)
    every_h, every_c = [], []
    for x_t in x:
        h, c = lstm_cell(w["weight_ih_l0"], w["weight_hh_l0"], w["bias_ih_l0"] + w["bias_hh_l0"], x_t, h, c)
        every_h.append(h)
        every_c.append(c)
    return states_and_outputs(every_h) | {"c": torch.stack(every_c)}


def gru(w: Weights, x: Tensor) -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    for x_t in x:
        in_r, in_z, in_n = (x_t @ w["weight_ih_l0"].T + w["bias_ih_l0"]).split(HIDDEN, dim=-1)
        re_r, re_z, re_n = (h @ w["weight_hh_l0"].T + w["bias_hh_l0"]).split(HIDDEN, dim=-1)
        z = torch.sigmoid(in_z + re_z)
        h = (1 - z) * torch.tanh(in_n + torch.sigmoid(in_r + re_r) * re_n) + z * h
        rows.append(h)
    return states_and_outputs(rows)


def gru_cho(w: Weights, x: Tensor) -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    for x_t in x:
        r, z = torch.sigmoid(x_t @ w["weight_ih_rz"].T + h @ w["weight_hh_rz"].T + w["bias_rz"]).split(HIDDEN, dim=-1)
        n = torch.tanh(x_t @ w["weight_ih_n"].T + (r * h) @ w["weight_hh_n"].T + w["bias_n"])
        h = (1 - z) * h + z * n
        rows.append(h)
    return states_and_outputs(rows)


def residual_rnn(w: Weights, x: Tensor, alpha: float) -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    for x_t in x:
        h = h + alpha * torch.tanh(x_t @ w["weight_ih"].T + h @ w["weight_hh"].T + w["bias"])
        rows.append(h)
    return states_and_outputs(rows)


def rrn(w: Weights, x: Tensor, depth: int = 2, inner: str = "sigmoid") -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    phi = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[inner]
    for x_t in x:
        y = h
        for m in range(1, depth + 1):
            y = phi(x_t @ w[f"weight_ih_{m}"].T + y @ w[f"weight_hh_{m}"].T + w[f"bias_{m}"])
        h = torch.tanh(h + y)
        rows.append(h)
    return states_and_outputs(rows)


def linear_rnn(w: Weights, x: Tensor) -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    for x_t in x:
        h = h @ w["A"].T + x_t @ w["B"].T
        rows.append(h)
    return states_and_outputs(rows)


def sc_lstm(w: Weights, x: Tensor, L: int = 20, alpha: float = 1.0) -> dict[str, Tensor]:
    """The paper's α h_{t−L} with all earlier states at hand; b is what the architecture keeps of them."""
    h = c = x.new_zeros(x.shape[1], HIDDEN)
    every_h, every_c, every_b = [], [], []
    for t, x_t in enumerate(x, start=1):
        h, c = lstm_cell(w["weight_ih"], w["weight_hh"], w["bias"], x_t, h, c)
        if t > 1 and (t - 1) % L == 0:
            h = h + w.get("alpha", alpha) * every_h[t - L - 1]
        every_h.append(h)
        every_c.append(c)
        every_b.append(every_h[(t - 1) // L * L])
    return states_and_outputs(every_h) | {"c": torch.stack(every_c), "b": torch.stack(every_b)}


def skip_rnn(w: Weights, x: Tensor, k: int = 4, alpha: float = 1.0) -> dict[str, Tensor]:
    h = [x.new_zeros(x.shape[1], HIDDEN)] * k  # h_{1−k} … h_0
    for x_t in x:
        h.append(torch.tanh(x_t @ w["weight_ih"].T + h[-1] @ w["weight_hh"].T + w["bias"]) + alpha * h[-k])
    lagged = {f"h_{lag}": torch.stack(h[k - lag : k - lag + len(x)]) for lag in range(1, k)}
    return states_and_outputs(h[k:]) | lagged


def lru(w: Weights, x: Tensor) -> dict[str, Tensor]:
    lam = torch.exp(torch.complex(-torch.exp(w["nu_log"]), torch.exp(w["theta_log"])))
    B, C = torch.complex(w["B_re"], w["B_im"]), torch.complex(w["C_re"], w["C_im"])
    h = torch.zeros(x.shape[1], HIDDEN, dtype=torch.complex128)
    rows, outputs = [], []
    for x_t in x:
        h = lam * h + torch.exp(w["gamma_log"]) * (x_t.to(h.dtype) @ B.T)
        y = (h @ C.T).real
        rows.append(h)
        outputs.append(y + w["D"] * x_t if "D" in w else y)
    return {"h": torch.stack(rows), "y": torch.stack(outputs)}


def min_gru(w: Weights, x: Tensor) -> dict[str, Tensor]:
    h, rows = x.new_zeros(x.shape[1], HIDDEN), []
    for x_t in x:
        z = torch.sigmoid(x_t @ w["weight_z"].T + w["bias_z"])
        h = (1 - z) * h + z * (x_t @ w["weight_h"].T + w["bias_h"])
        rows.append(h)
    return states_and_outputs(rows)


def deltanet(w: Weights, x: Tensor) -> dict[str, Tensor]:
    S, rows, outputs = x.new_zeros(x.shape[1], HIDDEN, HIDDEN), [], []
    for x_t in x:
        q, k = (torch.sigmoid(p) * p for p in (x_t @ w["weight_q"].T, x_t @ w["weight_k"].T))
        q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
        beta = torch.sigmoid(x_t @ w["weight_beta"].T + w["bias_beta"])[:, :, None]
        v = x_t @ w["weight_v"].T
        erase = torch.eye(HIDDEN, dtype=x.dtype) - beta * k[:, :, None] * k[:, None, :]
        S = erase @ S + beta * k[:, :, None] * v[:, None, :]
        rows.append(S)
        outputs.append(torch.einsum("bkv,bk->bv", S, q) / math.sqrt(HIDDEN))
    return {"S": torch.stack(rows), "y": torch.stack(outputs)}


CASES: list[tuple[str, dict[str, object], Reference]] = [
    ("rnn", {}, rnn),
    ("rnn", {"nonlinearity": "relu"}, rnn),
    ("lstm", {}, lstm),
    ("gru", {}, gru),
    ("gru-cho", {}, gru_cho),
    ("residual-rnn", {"alpha": 0.7}, residual_rnn),
    ("rrn", {}, rrn),
    ("rrn", {"depth": 1, "inner": "relu"}, rrn),
    ("rrn", {"depth": 3, "inner": "tanh"}, rrn),
    ("linear-rnn", {}, linear_rnn),
    ("sc-lstm-i", {"L": 3}, sc_lstm),
    ("sc-lstm-i", {"L": 1, "alpha": 0.3}, sc_lstm),
    ("sc-lstm-p", {"L": 2, "alpha": 0.6}, sc_lstm),
    ("skip-rnn", {}, skip_rnn),
    ("skip-rnn", {"k": 1, "alpha": 0.5}, skip_rnn),
    ("skip-rnn", {"k": 3, "alpha": 0.6}, skip_rnn),
    ("lru", {}, lru),
    ("min-gru", {}, min_gru),
    ("deltanet", {}, deltanet),
]
IDS = [" ".join([name, *(f"{k}={v}" for k, v in options.items())]) for name, options, _ in CASES]
by_case = pytest.mark.parametrize(("name", "options", "reference"), CASES, ids=IDS)


def make(name: str, input_size: int = INPUT, hidden_size: int = HIDDEN, **more: object) -> Model:
    return build(name, input_size=input_size, hidden_size=hidden_size, seed=3, dtype=torch.float64, **more)


def recurrence(name: str, **options: object) -> Recurrence:
    model = make(name, **options)
    assert isinstance(model, Recurrence)
    return model


def inputs(input_size: int = INPUT) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(BATCH, LENGTH, input_size, dtype=torch.float64, generator=generator)


def weights(model: Model) -> Weights:
    return {name: p.detach() for name, p in model.named_parameters()}


def states_of_steps(model: Recurrence, x: Tensor) -> State:
    """States of a plain loop over ``step``, ``(time, batch, *)``."""
    u, s, history = model.prepare(x), model.initial_state(len(x)), []
    for index in range(x.shape[1]):
        s = model.step(s, {n: v[:, index] for n, v in u.items()}, torch.tensor(index + 1))
        history.append(s)
    return {block.name: torch.stack([s[block.name] for s in history]) for block in model.state_spec}


@by_case
def test_outputs_follow_the_equations(name: str, options: dict[str, object], reference: Reference) -> None:
    model, x = recurrence(name, **options), inputs()
    expected = reference(weights(model), x.transpose(0, 1), **options)
    torch.testing.assert_close(model(x).transpose(0, 1), expected["y"], **EXACT)


@by_case
def test_states_of_the_steps_follow_the_equations(name: str, options: dict[str, object], reference: Reference) -> None:
    model, x = recurrence(name, **options), inputs()
    expected = reference(weights(model), x.transpose(0, 1), **options)
    found = states_of_steps(model, x)
    assert {*found, "y"} == set(expected)
    for block, value in found.items():
        torch.testing.assert_close(value, expected[block], **EXACT)


@by_case
def test_run_goes_on_from_any_state_as_the_steps_do(
    name: str, options: dict[str, object], reference: Reference
) -> None:
    model, x, start = recurrence(name, **options), inputs(), 2
    expected = reference(weights(model), x.transpose(0, 1), **options)
    rest = x[:, start:].transpose(0, 1).contiguous()
    before = {block.name: expected[block.name][start - 1] for block in model.state_spec}
    with torch.no_grad():
        found = model.run(rest, model.prepare(rest), before, start)
    for block in model.state_spec:
        torch.testing.assert_close(found[block.name], expected[block.name][start:], **EXACT)


@by_case
def test_gradients_of_the_outputs_follow_the_equations(
    name: str, options: dict[str, object], reference: Reference
) -> None:
    model, x = recurrence(name, **options), inputs().requires_grad_()
    leaves = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}
    target = inputs(model.output_size)
    ours = torch.autograd.grad(((model(x) - target) ** 2).sum(), [x, *model.parameters()])
    y = reference(leaves, x.transpose(0, 1), **options)["y"].transpose(0, 1)
    theirs = torch.autograd.grad(((y - target) ** 2).sum(), [x, *leaves.values()])
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_every_recurrence_of_the_catalogue_is_written_out_here() -> None:
    recurrences = {name for name in ARCHITECTURES if isinstance(make(name), Recurrence)}
    assert recurrences == {name for name, _, _ in CASES}


@pytest.mark.parametrize(
    ("name", "options", "branches"),
    [
        ("hrl", {}, ("lstm", "rrn")),
        ("hrl", {"depth": 3, "inner": "tanh"}, ("lstm", "rrn")),
        ("lstm-gru", {}, ("lstm", "gru")),
    ],
    ids=str,
)
def test_a_composite_is_the_mean_of_its_branches(
    name: str, options: dict[str, object], branches: tuple[str, str]
) -> None:
    model, x = make(name, **options), inputs()
    assert isinstance(model, Parallel)
    assert tuple(model.branches) == branches
    outputs = []
    for branch in branches:
        w = {n: p.detach() for n, p in model.branches[branch].named_parameters()}
        mine = options if branch == "rrn" else {}
        outputs.append({"lstm": lstm, "rrn": rrn, "gru": gru}[branch](w, x.transpose(0, 1), **mine)["y"])
    torch.testing.assert_close(model(x).transpose(0, 1), (outputs[0] + outputs[1]) / 2, **EXACT)


def test_sc_lstm_differs_from_an_lstm_from_the_second_anchor_on() -> None:
    with_shortcut, without, x = make("sc-lstm-i", L=3), make("sc-lstm-i", L=3, alpha=0.0), inputs()
    differs = (with_shortcut(x) != without(x)).any(dim=-1).all(dim=0)
    assert differs.tolist() == [False] * 3 + [True] * 4


def test_sc_lstm_p_learns_alpha_and_sc_lstm_i_keeps_it_out_of_a_checkpoint() -> None:
    learned, fixed = make("sc-lstm-p"), make("sc-lstm-i")
    assert learned.get_parameter("alpha").item() == 1.0
    assert set(learned.state_dict()) - set(fixed.state_dict()) == {"alpha"}


def test_lru_adds_the_input_where_widths_agree() -> None:
    model, x = make("lru", input_size=HIDDEN), inputs(HIDDEN)
    assert "D" in weights(model)
    torch.testing.assert_close(model(x).transpose(0, 1), lru(weights(model), x.transpose(0, 1))["y"], **EXACT)


def test_lru_starts_uniform_on_the_area_of_its_ring() -> None:
    w = weights(make("lru", hidden_size=2000, r_min=0.6, r_max=0.9, max_phase=math.pi / 2))
    squared, phase = torch.exp(-2 * torch.exp(w["nu_log"])), torch.exp(w["theta_log"])
    for value, low, high in ((squared, 0.36, 0.81), (phase, 0.0, math.pi / 2)):
        assert low <= value.min() <= value.max() <= high
        assert value.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert value.var().item() == pytest.approx((high - low) ** 2 / 12, rel=0.1)


def test_chrono_spreads_memories_over_one_to_its_longest() -> None:
    hidden, longest = 1000, 50
    w = weights(make("lstm", hidden_size=hidden, chrono=longest))
    memory = torch.exp((w["bias_ih_l0"] + w["bias_hh_l0"])[hidden : 2 * hidden])  # uniform in 1 … longest − 1
    assert 1 <= memory.min() < 1.5
    assert longest - 1.5 < memory.max() <= longest - 1
    assert memory.mean().item() == pytest.approx(longest / 2, rel=0.05)


def test_chrono_refuses_a_memory_of_one_step() -> None:
    with pytest.raises(UsageError, match=r"lstm: chrono=1 should be the longest memory in steps, at least 2, or 0"):
        make("lstm", chrono=1)


@pytest.mark.parametrize("radius", [0.9, 1.0, 1.1])
def test_orthogonal_linear_rnn_has_every_singular_value_at_its_radius(radius: float) -> None:
    A = weights(make("linear-rnn", init="orthogonal", radius=radius))["A"]
    torch.testing.assert_close(A @ A.T, radius**2 * torch.eye(HIDDEN, dtype=torch.float64), **EXACT)


def test_ginibre_linear_rnn_fills_the_disk_of_its_radius() -> None:
    moduli = torch.linalg.eigvals(weights(make("linear-rnn", hidden_size=200, radius=0.8))["A"]).abs()
    assert moduli.max().item() == pytest.approx(0.8, rel=0.1)
    assert moduli.square().mean().item() == pytest.approx(0.32, rel=0.1)  # half the squared radius, over a disk


@pytest.mark.parametrize("name", ["min-gru", "deltanet"])
def test_maps_of_the_input_start_as_torchs_linear_does(name: str) -> None:
    for value in weights(make(name, input_size=100, hidden_size=60)).values():
        assert value.abs().max() <= 0.1
        assert value.numel() < 50 or value.abs().max() > 0.09


def test_b_of_the_linear_rnn_keeps_the_variance_of_white_inputs() -> None:
    B = weights(make("linear-rnn", input_size=100, hidden_size=60))["B"]
    assert B.square().sum(dim=1).mean().item() == pytest.approx(1.0, rel=0.05)


def layer_norm(w: Weights, key: str, r: Tensor) -> Tensor:
    centred = r - r.mean(-1, keepdim=True)
    scale = torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
    return centred / scale * w[f"{key}.weight"] + w[f"{key}.bias"]


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """One head and one query at a time, each over the steps up to its own."""
    mixed, size = torch.zeros_like(v), v.shape[-1] // heads
    for mine in (slice(head * size, (head + 1) * size) for head in range(heads)):
        for t in range(v.shape[1]):
            score = torch.exp(torch.einsum("bd,bsd->bs", q[:, t, mine], k[:, : t + 1, mine]) / math.sqrt(size))
            alpha = score / score.sum(-1, keepdim=True)
            mixed[:, t, mine] = torch.einsum("bs,bsd->bd", alpha, v[:, : t + 1, mine])
    return mixed


def positions(length: int, d: int) -> Tensor:
    angles = [[t / 10000 ** (2 * (i // 2) / d) for i in range(d)] for t in range(length)]
    rows = [[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(row)] for row in angles]
    return torch.tensor(rows, dtype=torch.float64)


def transformer(w: Weights, x: Tensor, layers: int, heads: int) -> tuple[Tensor, list[Tensor]]:
    """Outputs, and the residual stream entering each layer."""
    d = len(w["weight_in"])
    r, entering = x @ w["weight_in"].T + positions(x.shape[1], d), []
    for key in (f"layers.{index}" for index in range(layers)):
        entering.append(r)
        qkv = layer_norm(w, f"{key}.norm_1", r) @ w[f"{key}.weight_qkv"].T + w[f"{key}.bias_qkv"]
        r = r + attention(*qkv.split(d, dim=-1), heads) @ w[f"{key}.weight_o"].T + w[f"{key}.bias_o"]
        a = layer_norm(w, f"{key}.norm_2", r) @ w[f"{key}.weight_1"].T + w[f"{key}.bias_1"]
        gelu = a * 0.5 * (1 + torch.erf(a / math.sqrt(2)))
        r = r + gelu @ w[f"{key}.weight_2"].T + w[f"{key}.bias_2"]
    return layer_norm(w, "norm", r), entering


@pytest.mark.parametrize(("hidden_size", "layers", "given", "heads"), [(6, 2, 2, 2), (6, 1, 0, 3), (7, 2, 0, 1)])
def test_transformer_follows_the_equations(hidden_size: int, layers: int, given: int, heads: int) -> None:
    model, x = make("transformer", hidden_size=hidden_size, num_layers=layers, heads=given), inputs()
    assert isinstance(model, SequenceModel)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # away from GPT-2's small weights, at which attention is nearly uniform
        for p in model.parameters():
            p.copy_(0.5 * torch.randn(p.shape, dtype=p.dtype, generator=generator))
    y, nodes = model.forward_with_nodes(x)
    expected, entering = transformer(weights(model), x, layers, heads)
    torch.testing.assert_close(y, expected, **EXACT)
    assert tuple(nodes) == model.components
    for found, stream in zip(nodes.values(), entering, strict=True):
        torch.testing.assert_close(found, stream, **EXACT)


def test_transformer_starts_as_gpt_2_does() -> None:
    layers = 3
    w = weights(make("transformer", hidden_size=120, num_layers=layers))
    for key in (f"layers.{index}" for index in range(layers)):
        for name, std in (("qkv", 0.02), ("1", 0.02), ("o", 0.02 / math.sqrt(6)), ("2", 0.02 / math.sqrt(6))):
            assert w[f"{key}.weight_{name}"].std().item() == pytest.approx(std, rel=0.03)
            assert not w[f"{key}.bias_{name}"].any()


def test_transformer_foresees_memory_that_grows_with_the_square_of_the_length() -> None:
    model = make("transformer", hidden_size=4)
    assert isinstance(model, SequenceModel)
    one_copy_of_the_scores = 8 * 4 * BATCH * 1000**2
    assert model.working_bytes(BATCH, 1000) > 3 * one_copy_of_the_scores
    assert model.working_bytes(BATCH, 20_000) / model.working_bytes(BATCH, 10_000) == pytest.approx(4, rel=0.05)
