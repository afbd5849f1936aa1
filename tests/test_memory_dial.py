"""The memory dial: the |λ| that is asked for is what a run shows, and every parameter has its group."""

import math

import numpy as np
import pytest
import torch

import gradscope
from gradscope.architectures.memory_dials import by_the_median
from gradscope.contract.combinators import Stack
from gradscope.contract.memory_dial import plain_moduli
from gradscope.contract.recurrence import Recurrence
from tests.models import ALL, SINGLE, SINGLE_NAMES, inputs, small

DIALS = [(name, options) for name, options in ALL if small(name, **options).has_memory_dial]
WITHOUT = [(name, options) for name, options in ALL if (name, options) not in DIALS]
MODULI = (0.5, 0.9, 0.99, 0.999)
NORMALIZERS = ("gamma_log",)  # follow the magnitude and are not part of it


def is_constant(model):
    """Whether |λ| is the same for every input, as a matrix's eigenvalues are; gates follow the state and the input."""
    return torch.equal(model.memory_moduli(inputs()), model.memory_moduli(inputs(seed=1)))


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_the_median_is_what_was_asked_for(name, options, modulus):
    model = small(name, hidden_size=64, **options)
    model.set_memory(modulus)
    achieved = model.memory_moduli(inputs(length=200, batch=4))
    assert ((achieved >= 0) & (achieved.isfinite())).all()
    tolerance = 1e-9 if is_constant(model) else 0.1
    assert abs((1 - float(achieved.median())) / (1 - modulus) - 1) < tolerance


SCALED = {"rnn": "weight_hh_l0", "linear-rnn": "A", "ind-rnn": "u"}  # the matrix, or its diagonal


@pytest.mark.parametrize("modulus", [0.5, 0.999])
@pytest.mark.parametrize("name", SCALED)
def test_a_matrix_is_set_by_what_decides_the_long_run(name, modulus):
    """Of 64 random eigenvalues with this median the largest would lie far above 1, and the state would explode."""
    model = small(name, hidden_size=64)
    model.set_memory(modulus)
    matrix = dict(model.named_parameters())[SCALED[name]].detach()
    eigenvalues = torch.linalg.eigvals(matrix) if matrix.dim() > 1 else matrix
    assert math.isclose(float(eigenvalues.abs().max()), modulus, rel_tol=1e-9)
    assert model.memory_moduli(inputs()).tolist() == pytest.approx([modulus], rel=1e-9)
    assert gradscope.memory_sensitivity(model, inputs(30)).achieved_lambda_modulus == pytest.approx(modulus, rel=1e-9)


@pytest.mark.parametrize("hidden_size", [1, 2, 5, 64])
@pytest.mark.parametrize("modulus", MODULI)
def test_lru_keeps_its_spread_and_its_order_below_one(modulus, hidden_size):
    model = small("lru", hidden_size=hidden_size)
    order = model.nu_log.argsort().tolist()
    model.set_memory(modulus)
    moduli = model.memory_moduli(inputs())
    time_constants = -1 / moduli.log()
    assert math.isclose(float(np.median(moduli)), modulus, rel_tol=1e-12)  # the mean of the two in the middle
    assert math.isclose(float(moduli.median()), modulus, rel_tol=1e-12)  # the lower of them
    if hidden_size > 2:
        assert math.isclose(float(time_constants.max() / time_constants.min()), 4, rel_tol=1e-10)
        assert order == torch.argsort(moduli, descending=True, stable=True).tolist()


@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_nothing_but_the_dial_moves(name, options):
    model = small(name, **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.set_memory(0.9)
    after, groups = model.state_dict(), model.memory_groups
    assert {key: value.shape for key, value in after.items()} == {key: value.shape for key, value in before.items()}
    assert all(parameter.requires_grad and parameter.grad_fn is None for parameter in model.parameters())
    assert any(not torch.equal(value, before[key]) for key, value in after.items())
    for key, value in after.items():
        may_move = torch.full(value.shape, key.endswith(NORMALIZERS))
        for group, rows in groups[key] if value.dim() else ():
            may_move[rows] |= group == "magnitude" and (value.dim() == 1 or is_constant(model))
        assert torch.equal(value[~may_move], before[key][~may_move]), key


@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_moduli_are_plain_numbers(name, options):
    model = small(name, dtype=torch.float32, **options)
    moduli = model.memory_moduli(inputs(dtype=torch.float32))
    assert (moduli.dtype, moduli.dim(), moduli.device.type) == (torch.float64, 1, "cpu")
    assert not moduli.requires_grad


def from_a_state(monkeypatch):
    """Lets every recurrence start from the same state that is not zero, so that U matters in the first step."""
    zeros = Recurrence.initial_state
    monkeypatch.setattr(
        Recurrence, "initial_state", lambda model, batch: {k: v + 0.3 for k, v in zeros(model, batch).items()}
    )


@torch.no_grad()
def changed_by(model, observe):
    """``(parameter, group, rows)`` to whether a change of those rows is seen."""
    before, seen = observe(), {}
    for key, parameter in model.named_parameters():
        for group, rows in model.memory_groups[key]:
            kept = parameter.clone()
            (parameter[rows] if parameter.dim() else parameter).add_(0.1)
            seen[key, group, str(rows)] = not torch.equal(observe(), before)
            parameter.copy_(kept)
    return seen


@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_the_moduli_of_a_step_depend_on_the_magnitude_alone(name, options, monkeypatch):
    from_a_state(monkeypatch)
    model, x = small(name, **options), inputs(length=1)
    for part, moved in changed_by(model, lambda: model.memory_moduli(x)).items():
        assert moved == ("magnitude" in part), part


@pytest.mark.parametrize(("name", "options"), [case for case in DIALS if case in SINGLE], ids=str)
def test_what_is_called_input_multiplies_the_input(name, options, monkeypatch):
    from_a_state(monkeypatch)
    model, x = small(name, **options), inputs(length=1)

    def state(x):
        u, s = model.prepare(x), model.initial_state(len(x))
        after = model.step(s, {key: value[:, 0] for key, value in u.items()}, torch.tensor(1))
        return after.get("c", after[model.primary_component])  # an LSTM's memory is c

    driven, silent = changed_by(model, lambda: state(x)), changed_by(model, lambda: state(torch.zeros_like(x)))
    assert any("input" in part for part in driven)
    for part, moved in driven.items():
        if "input" in part:
            assert moved, part
            assert "bias" in part[0] or not silent[part], part


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


@pytest.mark.parametrize(("name", "options"), WITHOUT, ids=str)
def test_those_without_a_dial_say_so(name, options):
    model = small(name, **options)
    assert not model.has_memory_dial
    with pytest.raises(gradscope.Unmeasurable, match="has no memory dial"):
        model.set_memory(0.9)
    with pytest.raises(gradscope.Unmeasurable, match="has no memory dial"):
        model.memory_moduli(inputs())


@pytest.mark.parametrize("modulus", [0.0, 1.0, 1.5, -0.2, math.nan, math.inf])
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


def test_a_stack_sets_every_layer_and_sees_each_layers_own_input():
    model, x = small("gru", num_layers=2, hidden_size=33), inputs(length=100, batch=4)
    model.set_memory(0.95)
    first, second = model.layers
    apart = [first.memory_moduli(x), second.memory_moduli(first(x).detach())]
    assert torch.equal(model.memory_moduli(x), torch.cat(apart))
    assert all(abs((1 - float(moduli.median())) / 0.05 - 1) < 0.1 for moduli in apart)


def test_a_stack_has_a_dial_if_one_of_its_layers_has():
    lower, upper = small("rrn", hidden_size=5), small("lstm", input_size=5)
    model, x = Stack([lower, upper]), inputs()
    before = [value.clone() for value in lower.parameters()]
    model.set_memory(0.95)
    assert torch.equal(model.memory_moduli(x), upper.memory_moduli(lower(x)))
    assert all(torch.equal(value, old) for value, old in zip(lower.parameters(), before, strict=True))
    with pytest.raises(gradscope.Unmeasurable, match="has no memory dial"):
        Stack([lower, small("rrn", input_size=5)]).set_memory(0.9)


def test_both_branches_are_set():
    model, x = small("lstm-gru", hidden_size=33), inputs(length=100, batch=4)
    model.set_memory(0.95)
    for branch in model.branches.values():
        assert abs((1 - float(branch.memory_moduli(x).median())) / 0.05 - 1) < 0.1
    assert model.memory_moduli(x).numel() == 2 * 4 * 100 * 33


class Hooked(gradscope.Recurrence):
    """h_t = λ ⊙ h_{t−1} + x_t, with the two functions that stood for a dial before there was one."""

    def __init__(self):
        super().__init__()
        self.input_size = self.output_size = 4
        self.state_spec = (gradscope.Block("h", (4,)),)
        self.decay = torch.nn.Parameter(torch.rand(4, dtype=torch.float64))

    def step(self, s, u, t):
        return {"h": self.decay * s["h"] + u["x"]}

    def turn_memory_dial(self, modulus):
        self.decay.fill_(modulus)

    def dialled_moduli(self, x):
        return self.decay


def test_a_class_with_the_functions_of_before_still_has_a_dial():
    model = Stack([Hooked(), small("rrn", input_size=4)])
    told = r"Hooked has turn_memory_dial .* define the property memory_dial"
    with pytest.warns(DeprecationWarning, match=told):
        model.set_memory(0.9)
    with pytest.warns(DeprecationWarning, match=told):
        moduli = model.memory_moduli(inputs())
    assert moduli.tolist() == [0.9] * 4


def test_a_matrix_of_zeros_cannot_be_scaled():
    with pytest.raises(gradscope.Unmeasurable, match=r"no scale gives it a spectral radius of 0\.9"):
        small("linear-rnn", radius=0.0).set_memory(0.9)


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


@pytest.mark.parametrize("name", [name for name in SINGLE_NAMES if small(name).has_memory_dial])
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


@pytest.mark.parametrize(("name", "num_layers"), [("rnn", 1), ("linear-rnn", 2), ("ind-rnn", 1), ("lstm", 1)])
def test_baselines_keep_the_median_that_they_were_recorded_at(name, num_layers):
    model = small(name, num_layers=num_layers, hidden_size=7)
    with torch.no_grad():
        dial = by_the_median(model.required_dial)
        dial.turn(0.9)
        moduli = plain_moduli(dial, inputs())
    assert float(moduli.median()) == pytest.approx(0.9, abs=0.02 if name == "lstm" else 1e-9)
    assert name == "lstm" or float(moduli.max()) > 0.9
