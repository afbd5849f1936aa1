"""J_t = ∂s_t/∂s_{t−1} of one step by ``torch.func.jacrev`` against closed forms, written out here by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from gradscope.architectures.build import build
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State

BATCH, INPUT, HIDDEN = 2, 5, 3
EXACT = {"rtol": 1e-11, "atol": 1e-13}

Weights = dict[str, Tensor]
ClosedForm = Callable[[Weights, State, Tensor], Tensor]  # (weights, the state before, x_t), one sample -> (n, n)

D = torch.diag
EYE = torch.eye(HIDDEN, dtype=torch.float64)
ZERO = torch.zeros(HIDDEN, HIDDEN, dtype=torch.float64)


def blocks(rows: list[list[Tensor]]) -> Tensor:
    return torch.cat([torch.cat(row, dim=1) for row in rows])


def d_sigmoid(y: Tensor) -> Tensor:
    return y * (1 - y)


def rnn(w: Weights, s: State, x: Tensor) -> Tensor:
    U = w["weight_hh_l0"]
    h = torch.tanh(w["weight_ih_l0"] @ x + w["bias_ih_l0"] + U @ s["h"] + w["bias_hh_l0"])
    return D(1 - h**2) @ U


def relu_rnn(w: Weights, s: State, x: Tensor) -> Tensor:
    U = w["weight_hh_l0"]
    a = w["weight_ih_l0"] @ x + w["bias_ih_l0"] + U @ s["h"] + w["bias_hh_l0"]
    return D((a > 0).double()) @ U


def lstm_blocks(W: Tensor, U: Tensor, b: Tensor, s: State, x: Tensor) -> list[list[Tensor]]:
    h, c = s["h"], s["c"]
    a_i, a_f, a_g, a_o = (W @ x + U @ h + b).split(HIDDEN)
    U_i, U_f, U_g, U_o = U.split(HIDDEN)
    i, f, g, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
    tau = torch.tanh(f * c + i * g)
    Q = D(c * d_sigmoid(f)) @ U_f + D(g * d_sigmoid(i)) @ U_i + D(i * (1 - g**2)) @ U_g
    through_c = D(o * (1 - tau**2))
    return [[D(tau * d_sigmoid(o)) @ U_o + through_c @ Q, through_c @ D(f)], [Q, D(f)]]


def lstm(w: Weights, s: State, x: Tensor) -> Tensor:
    return blocks(lstm_blocks(w["weight_ih_l0"], w["weight_hh_l0"], w["bias_ih_l0"] + w["bias_hh_l0"], s, x))


def sc_lstm_at_anchor(w: Weights, s: State, x: Tensor) -> Tensor:
    (hh, hc), (ch, cc) = lstm_blocks(w["weight_ih"], w["weight_hh"], w["bias"], s, x)
    alpha = w["alpha"] * EYE
    return blocks([[hh, hc, alpha], [ch, cc, ZERO], [hh, hc, alpha]])


def sc_lstm_between(w: Weights, s: State, x: Tensor) -> Tensor:
    (hh, hc), (ch, cc) = lstm_blocks(w["weight_ih"], w["weight_hh"], w["bias"], s, x)
    return blocks([[hh, hc, ZERO], [ch, cc, ZERO], [ZERO, ZERO, EYE]])


def gru(w: Weights, s: State, x: Tensor) -> Tensor:
    h, U = s["h"], w["weight_hh_l0"]
    U_r, U_z, U_n = U.split(HIDDEN)
    in_r, in_z, in_n = (w["weight_ih_l0"] @ x + w["bias_ih_l0"]).split(HIDDEN)
    re_r, re_z, q = (U @ h + w["bias_hh_l0"]).split(HIDDEN)
    r, z = torch.sigmoid(in_r + re_r), torch.sigmoid(in_z + re_z)
    n = torch.tanh(in_n + r * q)
    candidate = D((1 - z) * (1 - n**2)) @ (D(r) @ U_n + D(q * d_sigmoid(r)) @ U_r)
    return D(z) + D((h - n) * d_sigmoid(z)) @ U_z + candidate


def gru_cho(w: Weights, s: State, x: Tensor) -> Tensor:
    h, U_n = s["h"], w["weight_hh_n"]
    U_r, U_z = w["weight_hh_rz"].split(HIDDEN)
    r, z = torch.sigmoid(w["weight_ih_rz"] @ x + w["weight_hh_rz"] @ h + w["bias_rz"]).split(HIDDEN)
    n = torch.tanh(w["weight_ih_n"] @ x + U_n @ (r * h) + w["bias_n"])
    candidate = D(z * (1 - n**2)) @ U_n @ (D(r) + D(h * d_sigmoid(r)) @ U_r)
    return D(1 - z) + D((n - h) * d_sigmoid(z)) @ U_z + candidate


def residual_rnn(w: Weights, s: State, x: Tensor) -> Tensor:
    U = w["weight_hh"]
    return EYE + 0.7 * D(1 - torch.tanh(w["weight_ih"] @ x + U @ s["h"] + w["bias"]) ** 2) @ U


def rrn_of_three(w: Weights, s: State, x: Tensor) -> Tensor:
    y, product = s["h"], EYE
    for m in (1, 2, 3):
        U = w[f"weight_hh_{m}"]
        y = torch.sigmoid(w[f"weight_ih_{m}"] @ x + U @ y + w[f"bias_{m}"])
        product = D(d_sigmoid(y)) @ U @ product
    return D(1 - torch.tanh(s["h"] + y) ** 2) @ (EYE + product)


def linear_rnn(w: Weights, s: State, x: Tensor) -> Tensor:
    return w["A"]


def skip_rnn_of_three(w: Weights, s: State, x: Tensor) -> Tensor:
    U = w["weight_hh"]
    J_f = D(1 - torch.tanh(w["weight_ih"] @ x + U @ s["h"] + w["bias"]) ** 2) @ U
    return blocks([[J_f, ZERO, 0.6 * EYE], [EYE, ZERO, ZERO], [ZERO, EYE, ZERO]])


def lru(w: Weights, s: State, x: Tensor) -> Tensor:
    modulus, phase = torch.exp(-torch.exp(w["nu_log"])), torch.exp(w["theta_log"])
    re, im = modulus * torch.cos(phase), modulus * torch.sin(phase)
    return torch.block_diag(
        *(torch.stack([torch.stack([a, -b]), torch.stack([b, a])]) for a, b in zip(re, im, strict=True))
    )


def min_gru(w: Weights, s: State, x: Tensor) -> Tensor:
    return D(1 - torch.sigmoid(w["weight_z"] @ x + w["bias_z"]))


def deltanet(w: Weights, s: State, x: Tensor) -> Tensor:
    k = w["weight_k"] @ x
    k = k * torch.sigmoid(k)
    k = k / k.norm()
    beta = torch.sigmoid(w["weight_beta"] @ x + w["bias_beta"])
    return torch.kron(EYE - beta * torch.outer(k, k), EYE)


CASES: list[tuple[str, dict[str, object], int, ClosedForm]] = [
    ("rnn", {}, 5, rnn),
    ("rnn", {"nonlinearity": "relu"}, 5, relu_rnn),
    ("lstm", {}, 5, lstm),
    ("gru", {}, 5, gru),
    ("gru-cho", {}, 5, gru_cho),
    ("residual-rnn", {"alpha": 0.7}, 5, residual_rnn),
    ("rrn", {"depth": 3}, 5, rrn_of_three),
    ("linear-rnn", {}, 5, linear_rnn),
    ("sc-lstm-p", {"L": 3, "alpha": 0.4}, 4, sc_lstm_at_anchor),
    ("sc-lstm-p", {"L": 3, "alpha": 0.4}, 5, sc_lstm_between),
    ("sc-lstm-p", {"L": 3, "alpha": 0.4}, 6, sc_lstm_between),
    ("skip-rnn", {"k": 3, "alpha": 0.6}, 5, skip_rnn_of_three),
    ("lru", {}, 5, lru),
    ("min-gru", {}, 5, min_gru),
    ("deltanet", {}, 5, deltanet),
]
IDS = [" ".join([name, *(f"{k}={v}" for k, v in options.items()), f"t={t}"]) for name, options, t, _ in CASES]


def make(name: str, **options: object) -> Recurrence:
    model = build(name, input_size=INPUT, hidden_size=HIDDEN, seed=2, dtype=torch.float64, **options)
    assert isinstance(model, Recurrence)
    return model


def situation(model: Recurrence) -> tuple[State, Prepared, Tensor]:
    """A random state of every sample, the inputs of one step prepared, and the inputs."""
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(BATCH, 1, INPUT, dtype=torch.float64, generator=generator)
    s = {
        block.name: torch.randn(
            BATCH, *block.shape, dtype=torch.complex128 if block.is_complex else torch.float64, generator=generator
        )
        for block in model.state_spec
    }
    return s, {name: value[:, 0].detach() for name, value in model.prepare(x).items()}, x[:, 0]


def flat(model: Recurrence, s: State) -> Tensor:
    """One sample's state as real numbers, block after block; complex ones as (re, im) pairs."""
    parts = (torch.view_as_real(s[b.name]) if b.is_complex else s[b.name] for b in model.state_spec)
    return torch.cat([part.flatten() for part in parts])


def unflat(model: Recurrence, vector: Tensor) -> State:
    parts = vector.split([block.size for block in model.state_spec])
    return {
        b.name: torch.view_as_complex(part.reshape(*b.shape, 2)) if b.is_complex else part.reshape(b.shape)
        for b, part in zip(model.state_spec, parts, strict=True)
    }


def state_jacobians(model: Recurrence, s: State, u: Prepared, t: Tensor) -> Tensor:
    """``(batch, n, n)`` by one vectorised call, as the definition says."""

    def step(vector: Tensor, u_t: Prepared) -> Tensor:
        batched = {n: v.unsqueeze(0) for n, v in unflat(model, vector).items()}
        new = model.step(batched, {n: v.unsqueeze(0) for n, v in u_t.items()}, t)
        return flat(model, {n: v[0] for n, v in new.items()})

    vectors = torch.stack([flat(model, {n: v[i] for n, v in s.items()}) for i in range(BATCH)])
    return vmap(lambda vector, u_t: jacrev(lambda v: step(v, u_t))(vector))(vectors, u)  # jacrev refuses a complex u


@pytest.mark.parametrize(("name", "options", "t", "closed_form"), CASES, ids=IDS)
def test_jacobian_of_one_step_is_the_closed_form(
    name: str, options: dict[str, object], t: int, closed_form: ClosedForm
) -> None:
    model = make(name, **options)
    s, u, x = situation(model)
    w = {n: p.detach() for n, p in model.named_parameters()}
    found = state_jacobians(model, s, u, torch.tensor(t)).detach()
    for sample in range(BATCH):
        expected = closed_form(w, {n: v[sample] for n, v in s.items()}, x[sample])
        torch.testing.assert_close(found[sample], expected, **EXACT)


def test_every_recurrence_of_the_catalogue_has_a_closed_form_here() -> None:
    from gradscope.architectures.catalogue import ARCHITECTURES

    built = {name: build(name, input_size=INPUT, hidden_size=HIDDEN) for name in ARCHITECTURES}
    recurrences = {name for name, model in built.items() if isinstance(model, Recurrence)}
    # the two SC-LSTMs are one recurrence; only where α comes from differs
    assert recurrences - {"sc-lstm-i"} == {name for name, *_ in CASES}


@pytest.mark.parametrize("name", ["sc-lstm-i", "lstm", "rrn"])
def test_a_step_takes_its_number_as_one_of_a_batch(name: str) -> None:
    options = {"L": 3} if name == "sc-lstm-i" else {}
    model = make(name, **options)
    s, u, _ = situation(model)
    times = torch.arange(1, 8)
    together = vmap(lambda t: model.step(s, u, t))(times)
    broadcast = model.step(
        {n: v.expand(7, *v.shape) for n, v in s.items()},
        {n: v.expand(7, *v.shape) for n, v in u.items()},
        times[:, None, None],
    )
    for index, t in enumerate(times):
        for block, value in model.step(s, u, t).items():
            torch.testing.assert_close(together[block][index], value, rtol=0, atol=0)
            torch.testing.assert_close(broadcast[block].expand(7, *value.shape)[index], value, **EXACT)


@pytest.mark.parametrize(("k", "alpha"), [(2, 0.5), (3, 0.6), (4, 1.0)])
def test_determinant_of_the_skip_rnn_is_alpha_to_the_hidden_size(k: int, alpha: float) -> None:
    model = make("skip-rnn", k=k, alpha=alpha)
    s, u, _ = situation(model)
    determinants = torch.linalg.det(state_jacobians(model, s, u, torch.tensor(1)).detach()).abs()
    torch.testing.assert_close(determinants, torch.full_like(determinants, alpha**HIDDEN))


def test_eigenvalues_of_the_skip_rnn_are_roots_of_its_polynomial() -> None:
    k, alpha = 3, 0.6
    model = make("skip-rnn", k=k, alpha=alpha)
    s, u, _ = situation(model)
    J = state_jacobians(model, s, u, torch.tensor(1)).detach()[0]
    eigenvalues = torch.linalg.eigvals(J)
    mu = torch.linalg.eigvals(J[:HIDDEN, :HIDDEN])
    residual = eigenvalues[:, None] ** k - mu * eigenvalues[:, None] ** (k - 1) - alpha
    assert residual.abs().amin(dim=1).max() < 1e-12


def test_spectrum_of_deltanet_is_one_and_one_minus_beta() -> None:
    model = make("deltanet")
    s, u, _ = situation(model)
    found = torch.linalg.eigvalsh(state_jacobians(model, s, u, torch.tensor(1)).detach()[0])
    expected = torch.ones(HIDDEN * HIDDEN, dtype=torch.float64)
    expected[:HIDDEN] = 1 - u["beta"][0]
    torch.testing.assert_close(found, expected)


def test_sc_lstm_keeps_its_anchor_over_a_period_and_weighs_it_by_alpha() -> None:
    L, alpha = 4, 0.3
    model = make("sc-lstm-i", L=L, alpha=alpha)
    s, u, _ = situation(model)
    product = torch.eye(model.state_size, dtype=torch.float64).expand(BATCH, -1, -1)
    for t in range(2, L + 2):  # from the step after one anchor to the next anchor
        J = state_jacobians(model, s, u, torch.tensor(t)).detach()
        if t <= L:  # between anchors one step alone looks as if nothing were ever lost
            assert torch.linalg.eigvals(J).abs().amax(dim=-1).min() >= 1 - 1e-12
        product = J @ product
    from_b_to_b = product[:, 2 * HIDDEN :, 2 * HIDDEN :]
    torch.testing.assert_close(from_b_to_b, (alpha * EYE).expand(BATCH, -1, -1), **EXACT)


def test_gates_far_into_saturation_keep_an_exact_derivative() -> None:
    model = make("min-gru")
    with torch.no_grad():
        model.get_parameter("weight_z").zero_()
        model.get_parameter("bias_z").fill_(60.0)
    s, u, _ = situation(model)
    diagonal = state_jacobians(model, s, u, torch.tensor(1)).detach()[0].diagonal()
    torch.testing.assert_close(diagonal, torch.full_like(diagonal, math.exp(-60)), rtol=1e-12, atol=0)
