"""Every number of gradient_norms against plain autograd, over the whole catalogue, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from tests.models import ALL, RECURRENT_NAMES, SINGLE_NAMES, Convolved, inputs, small
from tests.tolerances import DECADES
from tests.unrolled import log10_norms, unrolled

LENGTHS = [3, 7, 4]
TOLERANCE = DECADES[torch.float64]
LOSSES = {
    "last": lambda y: 0.5 * ((y[:, -1] - 1) ** 2).sum(-1),
    "every": lambda y: (y**2).sum((1, 2)) / y.shape[1],
}


def close(mine, reference):
    assert mine.shape == reference.shape
    assert torch.equal(mine.isneginf(), reference.isneginf())
    finite = ~reference.isneginf()
    assert torch.allclose(mine[finite], reference[finite], rtol=0, atol=TOLERANCE)


def check_against_autograd(model, x, loss):
    result = gradscope.gradient_norms(model, x, LENGTHS, loss=loss)
    assert set(result.log10_norm) == {*model.components, "x", *(["<state>"] if model.state_size else [])}
    for index, length in enumerate(LENGTHS):
        leaf = x[:, :length].clone().requires_grad_()
        y, nodes = unrolled(model, leaf)
        loss(y).sum().backward()
        for name, node in {**nodes, "x": leaf}.items():
            close(result.log10_norm[name][index, :, :length], log10_norms(node))
            assert result.log10_norm[name][index, :, length:].isnan().all()
    for sample in range(len(x)):
        for index, length in enumerate(LENGTHS):
            y, _ = unrolled(model, x[sample : sample + 1, :length])
            names, parameters = zip(*model.named_parameters(), strict=True)
            grads = torch.autograd.grad(loss(y).sum(), parameters, allow_unused=True)
            for name, parameter, grad in zip(names, parameters, grads, strict=True):
                grad = torch.zeros_like(parameter) if grad is None else grad
                mine = result.log10_weight_gradient_norm[name][index, sample]
                close(mine.reshape(1), torch.log10(grad.norm()).reshape(1))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_total_derivatives_and_weight_gradients_equal_autograd(name, options, num_layers, loss):
    check_against_autograd(small(name, num_layers, **options), inputs(), loss)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_prepare_may_reach_back(num_layers, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.linearize.SEGMENT_STEPS", (2, 2))
    torch.manual_seed(0)
    layers = [Convolved(4, 3).double(), Convolved(3, 3).double()][:num_layers]
    model = layers[0] if num_layers == 1 else gradscope.Stack(layers)
    check_against_autograd(model, inputs(), LOSSES["every"])


class UnequalDeltaRule(gradscope.Recurrence):
    """Keys and values of unequal sizes, a parameter that v and β share, and keys that the readout uses too."""

    def __init__(self):
        super().__init__()
        self.input_size, self.output_size = 4, 2
        self.state_spec = (gradscope.Block("S", (3, 2)),)
        self.weight_k, self.weight_v = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(2, 4))
        self.weight_beta = nn.Parameter(torch.randn(1, 4))

    def prepare(self, x):
        v = F.linear(x, self.weight_v)
        return {"k": torch.tanh(F.linear(x, self.weight_k)), "v": v, "beta": F.linear(x, self.weight_beta) + v[..., :1]}

    def step(self, s, u, t):
        retrieved = torch.einsum("...ij,...i->...j", s["S"], u["k"])
        return {"S": s["S"] + torch.einsum("...i,...j->...ij", u["beta"] * u["k"], u["v"] - retrieved)}

    def readout(self, s, u):
        return torch.einsum("...ij,...i->...j", s["S"], u["k"])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_the_delta_rule_needs_no_replay(loss, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.replay.ReplayedSteps.pull", None)
    torch.manual_seed(0)
    check_against_autograd(UnequalDeltaRule().double(), inputs(), loss)


@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_checkpointed_trajectories_give_the_same_numbers(name, monkeypatch):
    x, model = inputs(length=150), small(name)
    kept = gradscope.gradient_norms(model, x, [90, 150], loss="mean")
    monkeypatch.setattr("gradscope.dynamics.trajectory.KEPT_BYTES", 0)
    replayed = gradscope.gradient_norms(model, x, [90, 150], loss="mean")
    for component, norm in kept.log10_norm.items():
        assert torch.allclose(norm, replayed.log10_norm[component], rtol=0, atol=TOLERANCE, equal_nan=True)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_checkpointed_trajectories_give_the_same_spectra_and_sensitivities(name, num_layers, monkeypatch):
    x, model = inputs(length=130), small(name, num_layers)

    def measured():
        spectrum = gradscope.jacobian_spectrum(model, x, steps=[1, 64, 65, 129])
        products = gradscope.jacobian_products(model, x, lags=[1, 130])
        sensitivity = gradscope.memory_sensitivity(model, x)
        exponents = gradscope.lyapunov_exponents(model, x).exponents_nats_per_step
        values = [spectrum.largest_singular_value, spectrum.spectral_radius, exponents, products.log10_frobenius_norm]
        return [*values, *sensitivity.dh_domega_power.values(), *sensitivity.loss_gradient_power.values()]

    kept = measured()
    monkeypatch.setattr("gradscope.dynamics.trajectory.KEPT_BYTES", 0)
    for first, second in zip(kept, measured(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", SINGLE_NAMES)
def test_the_state_adjoint_is_the_product_of_the_models_own_jacobians(name):
    model, x = small(name), inputs()
    result = gradscope.gradient_norms(model, x, [x.shape[1]], loss="last-probe", components=["<state>"])
    linearization = gradscope.linearize(model, x)
    (trajectory,) = linearization.recurrences
    states, u = trajectory.states(0, x.shape[1]), trajectory.prepared(0, x.shape[1])
    from gradscope.measurements.losses import output_cotangents

    probe = output_cotangents("last-probe", linearization.outputs, [x.shape[1]], 0)[x.shape[1]]
    for sample in range(len(x)):

        def at(values, t, sample=sample):
            return {n: v[t, sample : sample + 1] for n, v in values.items()}

        def as_real(values):
            return torch.cat([(torch.view_as_real(v) if v.is_complex() else v).flatten() for v in values.values()])

        def from_real(flat, like):
            parts, out = list(flat.split([v.numel() * (2 if v.is_complex() else 1) for v in like.values()])), {}
            for (n, v), part in zip(like.items(), parts, strict=True):
                out[n] = torch.view_as_complex(part.reshape(*v.shape, 2)) if v.is_complex() else part.reshape(v.shape)
            return out

        last = x.shape[1]
        s = at(states, last)
        readout = torch.func.jacrev(lambda f: model.readout(from_real(f, s), at(u, last - 1))[0])(as_real(s))  # noqa: B023
        delta = readout.T @ probe[sample]
        for t in range(last, 0, -1):
            mine = result.log10_norm["<state>"][0, sample, t - 1]
            assert abs(mine - torch.log10(delta.norm())) < TOLERANCE
            before = at(states, t - 1)

            def step(flat, t=t, before=before):
                return as_real(model.step(from_real(flat, before), at(u, t - 1), torch.tensor(t)))

            delta = torch.func.jacrev(step)(as_real(before)).T @ delta


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("loss", ["last", "mean"])
@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_accelerated_paths_equal_the_autograd_linearization(name, loss, num_layers, monkeypatch):
    from gradscope.measurements import gradient_norms as module

    model, x, lengths = small(name, num_layers), inputs(length=150), [9, 150, 33]
    fast = gradscope.gradient_norms(model, x, lengths, loss=loss)
    linearize = module.linearize_model
    monkeypatch.setattr(module, "linearize_model", lambda model, x: linearize(model, x, accelerated=False))
    slow = gradscope.gradient_norms(model, x, lengths, loss=loss)
    for mine, reference in (
        (fast.log10_norm, slow.log10_norm),
        (fast.log10_weight_gradient_norm, slow.log10_weight_gradient_norm),
        ({"": fast.recurrent_weight_steps.log10_step_norm}, {"": slow.recurrent_weight_steps.log10_step_norm}),
    ):
        assert mine.keys() == reference.keys()
        for key in mine:
            assert torch.allclose(mine[key], reference[key], rtol=0, atol=TOLERANCE, equal_nan=True), key


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "lru", "min-gru", "deltanet", "sc-lstm-p", "transformer"])
def test_a_sweep_equals_separate_runs(name):
    model, x = small(name), inputs(length=60)
    together = gradscope.gradient_norms(model, x, [5, 60, 21])
    for index, length in enumerate([5, 60, 21]):
        alone = gradscope.gradient_norms(model, x[:, :length], [length])
        for component, norm in alone.log10_norm.items():
            mine = together.log10_norm[component][index, :, :length]
            assert torch.allclose(mine, norm[0], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_shares_of_the_recurrent_weights_add_up(name):
    model, x = small(name), inputs(length=1)
    result = gradscope.gradient_norms(model, x, [1], loss="mean")
    steps = result.recurrent_weight_steps
    share, total = steps.log10_step_norm[:, :, 0], steps.log10_sum_norm  # one step: its share is the gradient
    assert torch.equal(share.isneginf(), total.isneginf())
    finite = ~share.isneginf()
    assert torch.allclose(share[finite], total[finite], rtol=0, atol=TOLERANCE)


def test_what_is_not_asked_for_is_not_computed():
    result = gradscope.gradient_norms(small("lstm"), inputs(), [7], components=["h"], weight_gradients=False)
    assert set(result.log10_norm) == {"h"}
    assert result.log10_weight_gradient_norm == {}
    assert result.recurrent_weight_steps is None
    assert result.log10_largest_entry == {}


def test_measuring_leaves_the_model_as_it_was():
    model, x = small("gru"), inputs()
    model.weight_hh_l0.requires_grad_(False)
    model.weight_ih_l0.grad = torch.ones_like(model.weight_ih_l0)
    before, random = {n: p.clone() for n, p in model.named_parameters()}, torch.get_rng_state()
    gradscope.gradient_norms(model, x, [7])
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert not model.weight_hh_l0.requires_grad
    assert torch.equal(model.weight_ih_l0.grad, torch.ones_like(model.weight_ih_l0))
    assert model.bias_ih_l0.grad is None
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": [0]}, "Lengths should be distinct whole numbers from 1 on"),
        ({"lengths": [3, 3]}, "Lengths should be distinct"),
        ({"lengths": [8]}, "The longest length is 8, but the inputs have only 7 steps"),
        ({"lengths": [7], "loss": "lest"}, "no loss called 'lest'. Did you mean 'last'"),
        ({"lengths": [7], "components": ["hh"]}, "no component of LSTM called 'hh'. Did you mean 'h'"),
        ({"lengths": [7], "loss": lambda y: y.sum()}, "one number per sample"),
        ({"lengths": [7], "loss": lambda y: torch.zeros(2)}, "does not depend on the outputs"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(gradscope.UsageError, match=message):
        gradscope.gradient_norms(small("lstm"), inputs(), **arguments)


def test_inputs_must_fit():
    with pytest.raises(gradscope.UsageError, match="reads 4 features, but the inputs have 5"):
        gradscope.gradient_norms(small("lstm"), inputs(input_size=5), [7])
    with pytest.raises(gradscope.UsageError, match="NaN or infinite"):
        gradscope.gradient_norms(small("lstm"), inputs() / 0, [7])


def test_a_transformer_has_no_state_jacobian():
    with pytest.raises(gradscope.NoRecurrentState, match="temporal Jacobian"):
        gradscope.linearize(small("transformer"), inputs())


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-cho", "lru", "min-gru", "skip-rnn"])
def test_weight_gradients_over_many_segments_equal_autograd(name, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.linearize.SEGMENT_STEPS", (16, 16))
    model, x = small(name), inputs(length=200)
    result = gradscope.gradient_norms(model, x, [200], loss=LOSSES["last"])
    names, parameters = zip(*model.named_parameters(), strict=True)
    for sample in range(len(x)):
        grads = torch.autograd.grad(LOSSES["last"](model(x[sample : sample + 1])).sum(), parameters)
        for parameter, grad in zip(names, grads, strict=True):
            close(result.log10_weight_gradient_norm[parameter][0, sample].reshape(1), grad.norm().log10().reshape(1))
