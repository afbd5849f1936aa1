"""J_t = ∂s_t/∂s_{t−1} of one step by ``torch.func.jacrev`` against the equation's own, by forward mode."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd, jacrev, vmap

from gradscope.architectures.build import build
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared, State
from tests.equations import EQUATIONS, Equation, Options
from tests.models import SINGLE

BATCH, INPUT, HIDDEN = 2, 5, 3
EXACT = {"rtol": 1e-11, "atol": 1e-13}

EYE = torch.eye(HIDDEN, dtype=torch.float64)
STEPS = (1, 4, 5, 6)  # on and between the anchors of every variant


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


@pytest.mark.parametrize("t", STEPS)
@pytest.mark.parametrize(("name", "options"), SINGLE, ids=str)
def test_jacobian_of_one_step_is_that_of_the_equation(name: str, options: Options, t: int) -> None:
    model, equation = make(name, **options), EQUATIONS[name]
    assert isinstance(equation, Equation)
    s, u, x = situation(model)
    w = {n: p.detach() for n, p in model.named_parameters()}
    found = state_jacobians(model, s, u, torch.tensor(t)).detach()
    for sample in range(BATCH):

        def step(vector: Tensor, sample: int = sample) -> Tensor:
            return flat(model, equation.step(w, x[sample], unflat(model, vector), t, **options))

        theirs = jacfwd(step)(flat(model, {n: v[sample] for n, v in s.items()}))
        torch.testing.assert_close(found[sample], theirs, **EXACT)


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
