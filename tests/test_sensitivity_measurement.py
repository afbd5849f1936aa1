"""Sensitivities as they are measured: their tangents entry by entry, their standard errors, and their probes."""

import math

import numpy as np
import pytest
import torch

import gradscope
from gradscope.commands.sensitivity.scalar_laws import FROM_THE_LIMIT, ScalarCell
from gradscope.contract.state import as_vector
from gradscope.dynamics.linearize import linearize_model
from gradscope.measurements.memory_sensitivity import last_values, weight_gradients
from gradscope.numerics.fits import fit_exponent
from gradscope.running.definitions import InputDefinition
from gradscope.running.input_choice import InputChoice
from tests.models import ALL, inputs, small
from tests.tolerances import RELATIVE

SIZE, LENGTH, BATCH = 2, 5, 2
DIALS = [(name, options) for name, options in ALL if small(name, hidden_size=SIZE).has_memory_dial]
STEP = 1e-4  # of a parameter
STENCIL = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}  # central differences, good to the fourth power of the step
ERRORS = 4.0


def dialled(name, options, modulus=0.8):
    model = small(name, hidden_size=SIZE, **options)
    model.set_memory(modulus)
    return model


def final(model, x):
    """What is probed: the last state as real numbers, ``(batch, units)``, or the output of a model of several."""
    if not isinstance(model, gradscope.Recurrence):
        return model(x)[:, -1]
    u, s = model.prepare(x), model.initial_state(len(x))
    for index in range(x.shape[1]):
        s = model.step(s, {key: value[:, index] for key, value in u.items()}, torch.tensor(index + 1))
    return as_vector({block.name: s[block.name] for block in model.state_spec if not block.is_buffer})


def by_autograd(model, x):
    """∂s_T/∂θ, name to ``(batch, units, *parameter shape)``; zeros for a parameter that the state does not see."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    rows = [
        torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True)
        for sample in final(model, x)
        for entry in sample
    ]
    stacked = [torch.stack(of_one) for of_one in zip(*rows, strict=True)]
    return {name: value.reshape(len(x), -1, *value.shape[1:]) for name, value in zip(names, stacked, strict=True)}


@torch.no_grad()
def by_differences(model, x):
    """The same by central differences of every single number."""
    found = {}
    for name, parameter in model.named_parameters():
        columns = []
        flat = parameter.view(-1)
        for index in range(flat.numel()):
            kept = float(flat[index])
            slope = 0.0
            for steps, weight in STENCIL.items():
                flat[index] = kept + steps * STEP
                slope = slope + weight / STEP * final(model, x)
            flat[index] = kept
            columns.append(slope)
        found[name] = torch.stack(columns, -1).unflatten(-1, parameter.shape or (1,))
    return found


def by_adjoint(model, x):
    """The same as the measurement has it: one adjoint pass for the unit vector of every entry."""
    linearization = linearize_model(model, x)
    units = last_values(model, linearization).shape[1]
    eye = torch.eye(units, dtype=x.dtype).unsqueeze(1).expand(units, len(x), units)
    no_loss = torch.zeros(units, len(x), model.output_size, dtype=x.dtype)
    found = weight_gradients(model, linearization, eye, no_loss)
    return {name: value.at(torch.zeros_like(value.exponent)).transpose(0, 1) for name, value in found.items()}


@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_a_dial_reads_along_the_trajectory_at_hand(name, options):
    model, x = dialled(name, options), inputs(LENGTH, batch=BATCH)
    found = gradscope.memory_sensitivity(model, x)
    assert torch.allclose(found.moduli, model.memory_moduli(x), rtol=RELATIVE[torch.float64], atol=0)
    assert not hasattr(model, "_known")


def test_a_run_at_hand_is_that_of_its_own_inputs_alone():
    model, x = small("gru"), inputs(LENGTH)
    u, before = model.states_before(x)
    made_up = {"h": torch.ones(LENGTH + 1, len(x), model.hidden_size, dtype=x.dtype)}
    with model.knowing(x, lambda: (u, made_up)):
        assert torch.equal(model.states_before(x)[1]["h"], made_up["h"][:-1])
        assert torch.equal(model.states_before(x.clone())[1]["h"], before["h"])
    assert torch.equal(model.states_before(x)[1]["h"], before["h"])


@pytest.mark.parametrize("modulus", [0.5, 0.95])
@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_tangents_equal_autograd_and_differences(name, options, modulus):
    model, x = dialled(name, options, modulus), inputs(LENGTH, batch=BATCH)
    mine, graph, differences = by_adjoint(model, x), by_autograd(model, x), by_differences(model, x)
    seen = set()
    for key, groups in model.memory_groups.items():
        expected = graph[key]
        scale = max(1.0, float(expected.abs().max()))
        assert (expected.reshape(-1) - differences[key].reshape(-1)).abs().max() < 1e-8 * scale, key
        if key in mine:
            assert torch.allclose(mine[key], expected, rtol=1e-9, atol=1e-12), key
        else:
            assert not expected.any(), key  # C and D of a readout
        for group, rows in groups:
            part = expected[:, :, rows] if expected.dim() > 2 else expected
            if part.any():
                seen.add(group)
    assert "magnitude" in seen
    assert seen - {"magnitude", "angle", "input", "rest"} == set()


def by_group(model, x):
    """‖∂s_T/∂θ‖² over the units, group to ``(batch,)``."""
    found = {}
    for key, tangent in by_autograd(model, x).items():
        for group, rows in model.memory_groups[key]:
            part = tangent[:, :, rows] if tangent.dim() > 2 else tangent
            found[group] = found.get(group, 0.0) + (part**2).flatten(1).sum(1) / tangent.shape[1]
    return found


@pytest.mark.parametrize(("name", "options"), DIALS, ids=str)
def test_the_mean_over_probes_is_the_exact_power(name, options):
    probes = 1500
    model, x = dialled(name, options), inputs(LENGTH, batch=1)
    mine = gradscope.memory_sensitivity(model, x.expand(probes, -1, -1), probes=1).dh_domega_power
    for group, exact in by_group(model, x).items():
        if group not in mine:
            assert not exact.any()
            continue
        error = float(mine[group].std()) / math.sqrt(probes)
        assert abs(float(mine[group].mean() - exact)) <= ERRORS * error, group
        assert error <= 0.06 * float(exact), group


REPETITIONS, SAMPLES, STEPS, LAMBDAS = 300, 256, 40, (0.5, 0.8, 0.95)
INSIDE = {1: 0.6827, 2: 0.9545}  # of a normal distribution, within so many standard deviations


def one_run(kind, seed):
    choice = InputChoice(kind, (("rho", 0.8),) if kind == "ar1" else ())
    cell = ScalarCell(
        name="scalar",
        width=1,
        input=InputDefinition(choice, input_size=1, batch=SAMPLES),
        seed=seed,
        dtype="float64",
        device="cpu",
        lambdas=LAMBDAS,
        lengths=(STEPS,) * len(LAMBDAS),
        seeds=(seed,),
        samples=SAMPLES,
        parametrizations=("exp-exp",),
        normalizations=("sqrt",),
        attached=False,
        second=False,
    )
    return cell.measure().tables


def covers(deviations):
    """Whether deviations, in claimed standard errors, are as often below one and two as they should be."""
    count = len(deviations)
    return all(
        abs(np.mean(np.abs(deviations) < width) - share) < ERRORS * math.sqrt(share * (1 - share) / count)
        for width, share in INSIDE.items()
    )


@pytest.fixture(scope="module", params=["white", "ar1"])
def runs(request):
    return [one_run(request.param, seed) for seed in range(REPETITIONS)]


@pytest.mark.parametrize("quantity", ["state_power", "dh_domega_power"])
def test_standard_errors_cover_theory_as_often_as_they_say(runs, quantity):
    for value in LAMBDAS:
        deviations = []
        for tables in runs:
            rows = tables["sensitivity"].query("quantity == @quantity and lambda_modulus == @value")
            deviations += list((rows["measured"] - rows["theory_finite"]) / rows["standard_error"])
        assert len(set(deviations)) == REPETITIONS
        assert covers(np.array(deviations)), (value, np.std(deviations))


@pytest.mark.parametrize("quantity", ["state_power", "dh_domega_power"])
def test_standard_errors_of_exponents_cover_the_slope_of_theory(runs, quantity):
    deviations = []
    for tables in runs:
        rows, fits = tables["sensitivity"], tables["exponents"]
        mine = rows[rows["quantity"] == quantity]
        finite, infinite = (mine[f"theory_{name}"].to_numpy() for name in ("finite", "infinite"))
        used = (
            np.abs(finite - infinite) <= FROM_THE_LIMIT * infinite
        )  # what the fit leaves out, unless too little stays
        used = used if used.sum() > 1 else np.ones_like(used)
        expected = fit_exponent(1 - np.array(LAMBDAS)[used], finite[used, None]).exponent
        fit = fits.set_index("quantity").loc[quantity]
        deviations.append((fit["exponent"] - expected) / fit["standard_error"])
    assert covers(np.array(deviations)), np.std(deviations)


def test_a_normal_matrix_has_the_sensitivity_of_its_eigenvalues():
    """E‖∂h/∂A‖² = Σ Re[(1 + λ̄_k λ_l)/(1 − λ̄_k λ_l)] / ((1 − |λ_k|²)(1 − |λ_l|²)) at white input."""
    size, modulus, length, sequences = 4, 0.9, 120, 1500
    model = small("linear-rnn", input_size=size, hidden_size=size, init="orthogonal")
    model.set_memory(modulus)
    with torch.no_grad():
        model.B.copy_(torch.eye(size))
    x = inputs(length, batch=sequences, input_size=size)
    power = gradscope.memory_sensitivity(model, x, probes=1).dh_domega_power["magnitude"]
    eigenvalues = torch.linalg.eigvals(model.A.detach())
    products = torch.outer(eigenvalues.conj(), eigenvalues)
    left = 1 / (1 - eigenvalues.abs() ** 2)
    expected = float((torch.outer(left, left) * ((1 + products) / (1 - products)).real).sum()) / size
    error = float(power.std()) / math.sqrt(sequences)
    assert abs(float(power.mean()) - expected) < ERRORS * error
    assert error < 0.1 * expected


def test_a_state_that_has_forgotten_its_start_is_as_large_halfway():
    for name, options in DIALS[:4]:
        model = dialled(name, options)
        x = inputs(9, batch=3)
        halfway = gradscope.memory_sensitivity(model, x).state_power_halfway
        assert torch.allclose(halfway, gradscope.memory_sensitivity(model, x[:, :5]).state_power, rtol=1e-12)
