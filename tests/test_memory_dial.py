"""The memory dial: the median |λ| that is asked for is what a run shows, and every parameter has its group."""

import math

import pytest
import torch

import gradscope
from tests.models import ALL, inputs, small

WITHOUT = ("residual-rnn", "rrn", "skip-rnn", "transformer")
DIALS = [(name, options) for name, options in ALL if name not in WITHOUT]
BY_MATRIX = ("rnn", "linear-rnn", "lru")
MODULI = (0.5, 0.9, 0.99, 0.999)


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_the_median_is_what_was_asked_for(name, options, modulus):
    model = small(name, hidden_size=65, **options)
    model.set_memory(modulus)
    achieved = model.memory_moduli(inputs(length=200, batch=4))
    assert achieved.dtype == torch.float64
    assert ((achieved >= 0) & (achieved.isfinite())).all()
    tolerance = 1e-9 if name in BY_MATRIX else 0.1  # gates follow the state and the input around the bias
    assert abs((1 - float(achieved.median())) / (1 - modulus) - 1) < tolerance


@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_nothing_but_the_dial_moves(name, options):
    model = small(name, **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.set_memory(0.9)
    after = model.state_dict()
    assert {key: value.shape for key, value in after.items()} == {key: value.shape for key, value in before.items()}
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    groups = model.memory_groups
    dialled = {key for key, parts in groups.items() if "magnitude" in dict(parts)} | {"gamma_log"}
    assert changed
    assert changed <= dialled


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_every_row_of_every_parameter_has_one_group(name, options, num_layers):
    model = small(name, num_layers=num_layers, **options)
    parameters = dict(model.named_parameters())
    assert model.memory_groups.keys() == parameters.keys()
    for key, parts in model.memory_groups.items():
        rows = parameters[key].shape[0] if parameters[key].dim() else 1
        covered = [row for _, part in parts for row in range(*part.indices(rows))]
        assert sorted(covered) == list(range(rows))
        assert {group for group, _ in parts} <= {"magnitude", "angle", "input", "rest"}


@pytest.mark.parametrize("name", WITHOUT)
def test_those_without_a_dial_say_so(name):
    model = small(name)
    assert not model.has_memory_dial
    with pytest.raises(gradscope.Unmeasurable, match="has no memory dial"):
        model.set_memory(0.9)
    with pytest.raises(gradscope.Unmeasurable, match="has no memory dial"):
        model.memory_moduli(inputs())


@pytest.mark.parametrize("modulus", [0.0, 1.0, 1.5, -0.2])
def test_moduli_outside_are_refused(modulus):
    with pytest.raises(gradscope.UsageError, match="should lie between 0 and 1"):
        small("lstm").set_memory(modulus)


@pytest.mark.parametrize(("name", "layers"), [("gru", 2), ("hrl", 1), ("lstm-gru", 2), ("lru", 2)])
def test_stacks_and_composites(name, layers):
    model = small(name, num_layers=layers, hidden_size=33)
    assert model.has_memory_dial
    model.set_memory(0.95)
    achieved = float(model.memory_moduli(inputs(length=100, batch=4)).median())
    assert abs((1 - achieved) / 0.05 - 1) < 0.1


def test_lru_keeps_its_normaliser():
    model = small("lru", hidden_size=9)
    model.set_memory(0.99)
    modulus = torch.exp(-torch.exp(model.nu_log)).detach()
    assert torch.allclose(torch.exp(model.gamma_log), torch.sqrt(1 - modulus**2), rtol=1e-12)
    assert math.isclose(float(modulus.median()), 0.99, rel_tol=1e-12)


def exact_power(model, x, group_of):
    """‖∂s_T/∂θ‖² by autograd of every entry of the state, through the model's own loop, ``{group: (batch,)}``."""
    names = [name for name, _ in model.named_parameters()]
    found = {}
    for sample in range(len(x)):
        u, s = model.prepare(x[sample : sample + 1]), model.initial_state(1)
        for index in range(x.shape[1]):
            s = model.step(s, {key: value[:, index] for key, value in u.items()}, torch.tensor(index + 1))
        blocks = [s[b.name] for b in model.state_spec if not b.is_buffer]
        flat = torch.cat([torch.view_as_real(v).flatten() if v.is_complex() else v.flatten() for v in blocks])
        for entry in flat:
            parameters = list(model.parameters())
            grads = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True)
            for name, grad in zip(names, grads, strict=True):
                for group, rows in group_of[name] if grad is not None else ():
                    part = grad[rows] if grad.dim() else grad
                    found.setdefault(group, torch.zeros(len(x), dtype=torch.float64))[sample] += (part**2).sum()
        units = len(flat)
    return {group: value.detach() / units for group, value in found.items()}


@pytest.mark.parametrize(
    "name", ["rnn", "lstm", "gru", "gru-cho", "lru", "min-gru", "linear-rnn", "deltanet", "sc-lstm-p"]
)
def test_probes_are_unbiased_for_the_exact_sensitivity(name):
    model, x = small(name, hidden_size=2), inputs(length=6)
    model.set_memory(0.8)
    probes = 3000
    mine = gradscope.memory_sensitivity(model, x, probes=probes)
    for group, expected in exact_power(model, x, model.memory_groups).items():
        # u·g with u ~ N(0, I): the relative standard error of ‖Gᵀu‖² is at most √(2/probes)
        assert torch.allclose(mine.dh_domega_power[group], expected, rtol=4.5 * math.sqrt(2 / probes), atol=1e-30), (
            group
        )
    state = gradscope.linearize(model, x).trajectory.states(6, 6)
    flat = torch.cat(
        [
            torch.view_as_real(v).flatten(2) if v.is_complex() else v.flatten(2)
            for v in (state[b.name] for b in model.state_spec if not b.is_buffer)
        ],
        -1,
    )[0]
    assert torch.allclose(mine.state_power, (flat**2).mean(-1), rtol=1e-12)


def test_loss_gradients_are_those_of_compare():
    model, x = small("gru"), inputs()
    mine = gradscope.memory_sensitivity(model, x).loss_gradient_power
    norms = gradscope.gradient_norms(model, x, [7], loss="last").log10_weight_gradient_norm
    total = sum(10 ** (2 * value[0]) for value in norms.values())
    assert torch.allclose(sum(mine.values()), total, rtol=1e-10)


def test_outputs_stand_for_the_state_of_a_stack():
    model, x = small("gru", num_layers=2), inputs()
    mine = gradscope.memory_sensitivity(model, x)
    assert mine.units == 3
    assert set(mine.dh_domega_power) == {"magnitude", "input", "rest"}
    assert gradscope.memory_sensitivity(small("rrn"), x).moduli.numel() == 0
