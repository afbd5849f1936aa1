"""Lyapunov exponents: closed forms, theory, and the QR code on a map whose exponents are in the literature."""

import math

import pytest
import torch

import gradscope
from gradscope.measurements.lyapunov_exponents import exponents_of
from gradscope.numerics.stretching import stretching
from tests.models import RECURRENT, SINGLE, inputs, small

EVERY = [*RECURRENT, ("skip-rnn", {"k": 3, "alpha": 0.0})]


def linear(matrix):
    model = small("linear-rnn", hidden_size=len(matrix))
    with torch.no_grad():
        model.A.copy_(matrix)
    return model


def haar(size, seed=0):
    torch.manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q


@pytest.mark.parametrize("every_step", [False, True])
def test_normal_linear_recurrence(every_step):
    """λ = 0.9, 0.6 e^{±i}, 0.2: once the warm-up W makes (|λ_{i+1}|/|λ_i|)^{2W} < 1e-10, equal to log|λ_i|."""
    block = torch.zeros(4, 4, dtype=torch.float64)
    block[0, 0], block[3, 3] = 0.9, 0.2
    rotation = torch.tensor([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]], dtype=torch.float64)
    block[1:3, 1:3] = 0.6 * rotation
    q = haar(4)
    linearization = gradscope.linearize(linear(q @ block @ q.mT), inputs(length=150))
    found = exponents_of(linearization, None, 50, every_step=every_step)
    expected = torch.tensor([0.9, 0.6, 0.6, 0.2], dtype=torch.float64).log().expand(2, -1)
    assert torch.allclose(found.exponents_nats_per_step, expected, rtol=0, atol=1e-9)
    assert found.converged.all()


def test_non_normal_linear_recurrence_converges():
    matrix = torch.tensor([[0.9, 5.0, 3.0], [0.0, 0.7, 4.0], [0.0, 0.0, 0.5]], dtype=torch.float64)
    expected = torch.tensor([0.9, 0.7, 0.5], dtype=torch.float64).log()
    errors = []
    for warm_up in (2, 10, 50, 150):
        found = gradscope.lyapunov_exponents(linear(matrix), inputs(length=250), warm_up=warm_up)
        errors.append(float((found.exponents_nats_per_step[0] - expected).abs().max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-9


def test_orthogonal_recurrence_has_zero_exponents():
    found = gradscope.lyapunov_exponents(small("linear-rnn", init="orthogonal", hidden_size=7), inputs(length=300))
    assert found.exponents_nats_per_step.abs().max() < 1e-12


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_they_sum_to_the_mean_log_determinant(name, options):
    model, x = small(name, **options), inputs(length=40)
    found = gradscope.lyapunov_exponents(model, x, warm_up=10)
    exponents = found.exponents_nats_per_step
    assert exponents.shape == (2, model.state_size)
    assert (exponents[:, 1:] <= exponents[:, :-1]).all()
    determinants = [torch.linalg.det(gradscope.state_jacobian(model, x, t)) for t in range(found.warm_up + 1, 41)]
    mean = torch.stack(determinants).abs().log().mean(0)
    if torch.isfinite(exponents).all():
        assert torch.allclose(exponents.sum(-1), mean, rtol=0, atol=1e-9)
    else:
        assert (exponents.isneginf().any(-1) & (torch.stack(determinants).abs() < 1e-12).any(0)).all()


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_every_few_steps_equals_every_step(name, options):
    linearization = gradscope.linearize(small(name, **options), inputs(length=60))
    seldom, always = (exponents_of(linearization, None, 10, every_step=e) for e in (False, True))
    mine, twin = seldom.exponents_nats_per_step, always.exponents_nats_per_step
    assert torch.equal(mine.isneginf(), twin.isneginf())
    finite = torch.isfinite(mine)
    assert torch.equal(finite, torch.isfinite(twin))
    assert torch.allclose(mine[finite], twin[finite], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "deltanet", "lru", "hrl"])
def test_leading_ones_are_the_first_of_all(name):
    model, x = small(name, hidden_size=4), inputs(length=80)
    whole = gradscope.lyapunov_exponents(model, x, warm_up=30).exponents_nats_per_step
    leading = gradscope.lyapunov_exponents(model, x, 3, warm_up=30).exponents_nats_per_step
    assert leading.shape == (2, 3)
    assert torch.allclose(leading, whole[:, :3], rtol=0, atol=1e-9)
    assert not whole.isnan().any()


def henon(orbits, steps):
    """Jacobians of the Hénon map along orbits on its attractor, ``(steps, orbits, 2, 2)``."""
    generator = torch.Generator().manual_seed(0)
    x, y = (0.1 * torch.rand(2, orbits, generator=generator, dtype=torch.float64)).unbind(0)
    jacobians = torch.zeros(steps, orbits, 2, 2, dtype=torch.float64)
    jacobians[..., 0, 1], jacobians[..., 1, 0] = 1.0, 0.3
    for step in range(-1000, steps):
        if step >= 0:
            jacobians[step, :, 0, 0] = -2.8 * x
        x, y = 1 - 1.4 * x**2 + y, 0.3 * x
    return jacobians.unbind(0)


def test_henon_map():
    """Exponents 0.4192 and −1.6232 of a = 1.4, b = 0.3; their sum is log b."""
    jacobians = henon(16, 50_000)

    def advance(start, stop, frame):
        for step in range(start, stop):
            frame = jacobians[step] @ frame
        return frame

    found = stretching(advance, torch.eye(2, dtype=torch.float64).expand(16, 2, 2), 50_000)
    exponents = found.log_stretch.sum(0) / 50_000
    assert len(found.stops) < 12_000  # orthonormalised once in four steps or less
    assert torch.allclose(exponents.mean(0), torch.tensor([0.4192, -1.6232], dtype=torch.float64), rtol=0, atol=3e-3)
    assert (exponents.sum(-1) - math.log(0.3)).abs().max() < 1e-12


def test_a_block_that_stretches_too_far_is_done_again():
    """The spread per step jumps from 1 to e^12: the block that was planned for 32 steps loses the frame, and is cut."""
    scales = [torch.diag(torch.tensor([1.0, 1.0])).double()] * 40
    scales += [torch.diag(torch.tensor([1.0, math.exp(-12.0)], dtype=torch.float64))] * 20

    def advance(start, stop, frame):
        for step in range(start, stop):
            frame = scales[step] @ frame
        return frame

    found = stretching(advance, haar(2).unsqueeze(0), 60)
    assert found.stops[-1] == 60
    assert math.isclose(float(found.log_stretch.sum()), -240.0, rel_tol=1e-10)
    assert not found.unresolved.any()


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 1.0), (0.5, 0.5 ** (1 / 20))])
def test_sc_lstm_forgets_by_alpha_in_a_period(alpha, expected):
    model = gradscope.build("sc-lstm-i", input_size=8, hidden_size=16, dtype=torch.float64, alpha=alpha)
    found = gradscope.lyapunov_exponents(model, inputs(length=400, input_size=8), 4)
    assert (found.length - found.warm_up) % 20 == 0
    assert (found.exponents_nats_per_step[:, 0].exp() - expected).abs().max() < 1e-5
    assert (found.exponents_nats_per_step[:, 0] - math.log(expected)).abs().max() < 1e-5


class Rectified(gradscope.Recurrence):
    """h_t = relu(x_t + h_{t−1}/2), by units that do not see each other."""

    def __init__(self):
        super().__init__()
        self.input_size = self.output_size = 4
        self.state_spec = (gradscope.Block("h", (4,)),)

    def step(self, s, u, t):
        return {"h": torch.relu(u["x"] + s["h"] / 2)}


def test_units_that_were_off_once_are_gone_whichever_step_it_was(monkeypatch):
    x = torch.ones(2, 60, 4, dtype=torch.float64)
    x[0, 20, 0] = x[0, 30, 1] = x[0, 40, 1] = x[0, 50, 2] = -9.0
    for chunk_bytes in (8 * 2**20, 4000):  # one chunk; 15 steps a chunk
        monkeypatch.setattr("gradscope.dynamics.core_jacobians.CHUNK_BYTES", chunk_bytes)
        found = gradscope.lyapunov_exponents(Rectified().double(), x, warm_up=52).exponents_nats_per_step
        assert found[0].isneginf().tolist() == [False, True, True, True]
        assert torch.allclose(found[0, 0], torch.tensor(0.5, dtype=torch.float64).log(), atol=1e-12)
        assert torch.allclose(found[1], torch.full((4,), math.log(0.5), dtype=torch.float64), atol=1e-12)


def test_null_directions_are_exact():
    model = small("sc-lstm-i", L=3)
    exponents = gradscope.lyapunov_exponents(model, inputs(length=60), warm_up=9).exponents_nats_per_step
    assert int(exponents.isneginf().sum()) == 2 * 3  # one direction a unit and sample
    skip = small("skip-rnn", k=3, alpha=0.0)
    exponents = gradscope.lyapunov_exponents(skip, inputs(length=60), warm_up=9).exponents_nats_per_step
    assert int(exponents.isneginf().sum()) == 2 * 6
    assert torch.isfinite(exponents[:, :3]).all()


@pytest.mark.parametrize(("name", "options"), SINGLE, ids=str)
def test_the_largest_is_the_slope_of_the_adjoint(name, options):
    length = 400
    model, x = small(name, hidden_size=8, **options), inputs(length=length)
    found = gradscope.lyapunov_exponents(model, x, warm_up=100)
    norms = gradscope.gradient_norms(model, x, [length], loss="last-probe", components=["<state>"])
    log_norm = norms.log10_norm["<state>"][0] * math.log(10)
    slope = (log_norm[:, -1] - log_norm[:, found.warm_up - 1]) / (length - found.warm_up)
    error = found.standard_error[:, 0].nan_to_num()
    # backwards: a contracting recurrence has a falling norm towards the past
    largest = found.exponents_nats_per_step[:, 0]
    both_zero = slope.isposinf() & largest.isneginf()  # every unit was off once: nothing is left
    assert (both_zero | ((-slope - largest).abs() <= 3 * error + 2 / length * 10)).all()


def test_a_driven_fixed_point_contracts():
    """A constant input drives an RNN to a fixed point; the exponents are the logarithms of J's eigenvalues there."""
    model = small("rnn", hidden_size=5)
    x = torch.ones(1, 400, 4, dtype=torch.float64)
    found = gradscope.lyapunov_exponents(model, x, warm_up=200)
    moduli = gradscope.jacobian_spectrum(model, x, steps=[400]).eigenvalues[0, 0].abs().sort(descending=True).values
    assert math.isclose(found.exponents_nats_per_step[0, 0], math.log(moduli[0]), abs_tol=1e-2)
    assert math.isclose(float(found.exponents_nats_per_step.sum()), float(moduli.log().sum()), rel_tol=1e-9)


def test_joint_qr_of_a_stack_agrees_with_its_layers():
    model, x = small("gru", num_layers=2, hidden_size=5), inputs(length=600)
    linearization = gradscope.linearize(model, x)
    layers = exponents_of(linearization, None, 100)
    (joint,) = linearization.coupled
    found = joint.stretching(10, [100])
    total = found.log_stretch[[stop > 100 for stop in found.stops]].sum(0) / 500
    error = layers.standard_error.nan_to_num()
    difference = (total - layers.exponents_nats_per_step).abs()
    assert (difference <= 3 * error + 10 / 500).all()
    assert torch.allclose(total.sum(-1), layers.exponents_nats_per_step.sum(-1), rtol=0, atol=1e-9)


def test_composite_has_those_of_its_branches():
    model, x = small("hrl"), inputs(length=60)
    whole = gradscope.lyapunov_exponents(model, x, warm_up=10).exponents_nats_per_step
    parts = [gradscope.lyapunov_exponents(b, x, warm_up=10).exponents_nats_per_step for b in model.branches.values()]
    assert torch.equal(whole, torch.cat(parts, -1).sort(dim=-1, descending=True).values)


def test_unconverged_exponents_say_so():
    """The recurrence slows down along the way: the halves differ."""
    model = small("min-gru", hidden_size=2)
    x = torch.linspace(-5, 5, 200, dtype=torch.float64).reshape(1, -1, 1).expand(1, 200, 4)
    assert not gradscope.lyapunov_exponents(model, x, warm_up=10).converged.all()


def test_standard_error_covers_the_truth():
    """Random diagonal factors with a known mean: the error bars hold their promise in most of 64 samples."""

    class Random(gradscope.Recurrence):
        def __init__(self):
            super().__init__()
            self.input_size = self.output_size = 1
            self.state_spec = (gradscope.Block("h", (1,)),)

        def prepare(self, x):
            return {"a": torch.exp(-0.5 + 0.3 * x), "b": x}

        def step(self, s, u, t):
            return {"h": u["a"] * s["h"] + u["b"]}

    x = inputs(length=1100, batch=64, input_size=1)
    found = gradscope.lyapunov_exponents(Random(), x, warm_up=100)
    deviation = (found.exponents_nats_per_step[:, 0] + 0.5).abs() / found.standard_error[:, 0]
    assert 0.85 < float((deviation < 2).double().mean()) <= 1.0
    assert 0.2 < float(deviation.median()) < 1.0


def test_warm_up_that_leaves_nothing():
    with pytest.raises(gradscope.UsageError, match="warm-up takes 7 steps, but the sequence has 7"):
        gradscope.lyapunov_exponents(small("rnn"), inputs(), warm_up=7)


def test_more_exponents_than_the_state_has():
    with pytest.raises(gradscope.UsageError, match="4 were asked for, but the state has 3 numbers"):
        gradscope.lyapunov_exponents(small("rnn"), inputs(), 4, warm_up=2)


def test_a_transformer_has_none():
    with pytest.raises(gradscope.NoRecurrentState, match="temporal Jacobian"):
        gradscope.lyapunov_exponents(small("transformer"), inputs(), warm_up=2)


def test_exponents_that_are_not_known_have_not_converged():
    model = small("linear-rnn", init="orthogonal", radius=1e30, dtype=torch.float32)
    found = gradscope.lyapunov_exponents(model, inputs(60, torch.float32), warm_up=10)
    assert found.overflow_step is not None
    assert found.exponents_nats_per_step.isnan().all()
    assert not found.converged.any()
