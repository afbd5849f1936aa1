"""What a case is measured to be: quiet where nothing changed, sensitive where something did."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gradscope
from benchmarks.lstm_cell import LSTMCell
from gradscope.commands.check import fingerprints
from gradscope.commands.check.case_file import read_cases
from gradscope.commands.check.cases import cases_of
from gradscope.commands.check.gate import gradient_statistics, knots, mean_of_samples
from gradscope.commands.check.measure import measure_case, measure_model
from gradscope.commands.check.measured_case import FailedCase, plain_case, read_case
from gradscope.commands.check.own_model import own_model
from gradscope.commands.check.rounding_probes import jitter, largest_difference, permute_units
from gradscope.commands.check.statistic import StatisticName
from gradscope.errors import Unmeasurable, UsageError
from gradscope.measurements.losses import ReorderedLoss, output_cotangents
from gradscope.numerics.random_streams import random_stream

TOLERANCE = 0.01
SMALL = 'lengths = "5,12"\nhidden-size = 6\ninput-size = 4\nbatch = 3\nseeds = 2\n'


def cases_from(tmp_path, text):
    (tmp_path / "gradscope.toml").write_text(text, encoding="utf-8")
    return read_cases(tmp_path).cases


def small_case(tmp_path, text):
    return measure_case(cases_from(tmp_path, f"{SMALL}[[case]]\n{text}\n")[0])


def lstm(**changes):
    """A function from a seed to the catalogue's LSTM with a forget bias of 1, and small changes of it."""

    def make(seed):
        bias = changes.get("forget_bias", 1.0)
        model = gradscope.build("lstm", input_size=16, hidden_size=32, seed=seed, dtype=torch.float64, forget_bias=bias)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.startswith("weight"):
                    parameter *= changes.get("gain", 1.0)
            if "flipped_gate" in changes:
                rows = slice(32 * changes["flipped_gate"], 32 * (changes["flipped_gate"] + 1))
                model.bias_ih_l0[rows] *= -1
                model.bias_hh_l0[rows] *= -1
        return model

    return make


@pytest.fixture(scope="module")
def base():
    return measure_model(lstm(), name="lstm", lengths=[50, 200])


@pytest.mark.parametrize("length", [50, 200])
@pytest.mark.parametrize(
    "change",
    [{"forget_bias": 0.99}, {"gain": 1.01}, *({"flipped_gate": gate} for gate in (0, 2, 3))],
    ids=["forget bias 0.99", "gain 1.01", "sign of i", "sign of g", "sign of o"],
)
def test_a_small_change_shifts_a_statistic_by_more_than_the_tolerance(base, change, length):
    changed = measure_model(lstm(**change), name="lstm", lengths=[50, 200])
    assert largest_shift(base, changed, length) > 1.4 * TOLERANCE
    assert changed.stream_hash == base.stream_hash
    assert changed.weights_hash != base.weights_hash


@pytest.mark.parametrize("length", [50, 200])
def test_a_cell_output_that_shrinks_by_a_thousandth_is_seen(length):
    first, second = (
        measure_model(lambda seed, s=scale: LSTMCell(output_scale=s), name="own", lengths=[length], seeds=2, batch=2)
        for scale in (1.0, 0.999)
    )
    assert largest_shift(first, second, length) > 1.4 * TOLERANCE
    assert first.weights_hash == second.weights_hash


def largest_shift(first, second, length):
    """Over seeds and steps of every statistic of a length; noise far below the tolerance on both sides."""
    names = [name for name in first.statistics if name.length == length]
    assert names
    assert (
        max(numbers.statistics[name].noise_decades for numbers in (first, second) for name in names) < 1e-4
    )  # ten times that is far within the smallest tolerance
    return max(largest_difference(first.statistics[name].values, second.statistics[name].values) for name in names)


def test_a_case_is_the_same_on_any_number_of_threads_and_leaves_the_process_as_it_was(tmp_path):
    (case,) = cases_from(tmp_path, '[[case]]\narch = "gru"\nseeds = 2\nhidden-size = 48\n')
    first = measure_case(case)
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            second = measure_case(case)
        assert torch.get_num_threads() == 2
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(torch.float32)
    assert torch.equal(state, torch.random.get_rng_state())
    assert_equal(first, second)


def assert_equal(first, second):
    hashes = ("definition_hash", "stream_hash", "weights_hash", "noise_probe", "seeds", "is_own", "name")
    assert [getattr(first, key) for key in hashes] == [getattr(second, key) for key in hashes]
    assert list(first.statistics) == list(second.statistics)
    for name, statistic in first.statistics.items():
        np.testing.assert_array_equal(statistic.values, second.statistics[name].values)
        assert statistic.noise_decades == second.statistics[name].noise_decades


@pytest.mark.parametrize("arch", ["lstm", "lru", "transformer"])
def test_the_order_of_samples_does_not_matter(arch):
    model = gradscope.build(arch, input_size=5, hidden_size=8, dtype=torch.float64)
    x = gradscope.make_inputs("white", batch=6, length=40, input_size=5, dtype=torch.float64)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    target = torch.from_numpy(random_stream("targets", 0).standard_normal((6, 8)))

    def loss(y):
        return (y[:, -1] - target[order]).square().sum(-1) / 2

    gate = ("gradients", "slope", "weights")
    plain = gradient_statistics(model, x, (10, 40), 40, gate, "last", 0)
    shuffled = gradient_statistics(model, x[order], (10, 40), 40, gate, loss, 0)
    for name, numbers in plain.items():
        assert largest_difference(numbers.values, shuffled[name].values) < 1e-12


def test_scalar_kernels_give_the_same_numbers(tmp_path):
    code = (
        "import json, sys, pathlib, torch; from gradscope.commands.check.case_file import read_cases; "
        "from gradscope.commands.check.measure import measure_case; "
        "from gradscope.commands.check.measured_case import plain_case; "
        "cases = read_cases(pathlib.Path(sys.argv[1])).cases; "
        "print(json.dumps([torch.backends.cpu.get_cpu_capability(), *(plain_case(measure_case(c)) for c in cases)]))"
    )
    cases = cases_from(tmp_path, 'seeds = 1\n[[case]]\narch = "lstm,lru,transformer"\n')
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    capability, *scalar = json.loads(done.stdout)
    assert "DEFAULT" in capability.upper()
    for case, plain in zip(cases, scalar, strict=True):
        here, there = measure_case(case), read_case(case.name, plain, "there")
        assert (here.weights_hash, here.stream_hash) == (there.weights_hash, there.stream_hash)
        for name, statistic in here.statistics.items():
            limit = 100 * max(statistic.noise_decades, 1e-13)
            assert largest_difference(statistic.values, there.statistics[name].values) < limit


def chaotic(seed):
    model = gradscope.build("rnn", input_size=4, hidden_size=64, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        gaussian = random_stream("weights", seed).standard_normal((64, 64))
        model.weight_hh_l0.copy_(3 * torch.from_numpy(gaussian) / 8)
    return model


def test_the_noise_of_a_chaotic_network_is_measured_to_be_large():
    numbers = measure_model(chaotic, name="chaotic", lengths="20,200", seeds=3, batch=4)
    assert numbers.statistics[StatisticName.read("T=20 log10_norm h")].noise_decades < 1e-9
    assert numbers.statistics[StatisticName.read("T=200 log10_norm h")].noise_decades > 0.05


def test_noise_without_a_declared_symmetry_is_that_of_one_ulp():
    def without_symmetry(seed):
        model = chaotic(seed)
        model.symmetry = None
        return model

    numbers = measure_model(without_symmetry, name="chaotic", lengths="20,200", seeds=2, batch=4)
    assert numbers.noise_probe == "jitter"
    assert 1e-16 < numbers.statistics[StatisticName.read("T=20 log10_norm h")].noise_decades < 1e-9
    assert numbers.statistics[StatisticName.read("T=200 log10_norm h")].noise_decades > 0.05


def test_a_symmetry_that_does_not_hold_is_refused():
    def wrong(seed):
        model = gradscope.build("rnn", input_size=4, hidden_size=6, seed=seed, dtype=torch.float64)
        axes = dict(model.symmetry.parameters) | {"bias_hh_l0": "still"}
        sizes = dict(model.symmetry.sizes) | {"still": 6}
        model.symmetry = dataclasses.replace(
            model.symmetry, parameters=axes, sizes=sizes, fixed=model.symmetry.fixed | {"still"}
        )
        return model

    with pytest.raises(UsageError, match="RNN declares a symmetry of its units that it does not have"):
        measure_model(wrong, name="wrong", lengths="5", seeds=1)


@pytest.mark.parametrize("loss", ["last", "mean", "last-probe", lambda y: y[:, -1, 0] * y[:, 0, 1]])
def test_targets_follow_permuted_outputs(loss):
    model = gradscope.build("lstm", input_size=3, hidden_size=5, dtype=torch.float64)
    x = gradscope.make_inputs("white", batch=2, length=7, input_size=3, dtype=torch.float64)
    found = permute_units(model, seed=1)
    y = model(x).transpose(0, 1).detach()
    plain = output_cotangents(loss, y, [4, 7], seed=0)
    again = output_cotangents(ReorderedLoss(loss, found.outputs), y[..., found.outputs], [4, 7], seed=0)
    for length, value in plain.items():
        torch.testing.assert_close(again[length], value[..., found.outputs], rtol=0, atol=0)


def test_one_ulp_moves_every_weight_by_one_neighbour():
    model = gradscope.build("lru", input_size=3, hidden_size=5, dtype=torch.float64)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    jitter(model, seed=0)
    for name, value in model.named_parameters():
        spacing = np.spacing(np.abs(before[name].numpy()))
        shift = np.abs(value.detach().numpy() - before[name].numpy())
        assert (shift > 0).all()
        assert (shift <= spacing).all()


def test_what_torch_drew_in_single_precision_moves_to_a_neighbour_there():
    torch.manual_seed(0)
    model = own_model(torch.nn.LSTM(3, 4), 0, None)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    jitter(model, seed=0)
    for name, value in model.named_parameters():
        assert value.dtype == torch.float64
        spacing = np.spacing(np.abs(before[name].float().numpy())).astype(float)
        shift = np.abs(value.detach().numpy() - before[name].numpy())
        assert (shift >= spacing / 2).all()
        assert (shift <= spacing).all()


def test_statistics_are_those_of_gradient_norms(tmp_path):
    (case,) = cases_from(tmp_path, f'{SMALL}[[case]]\narch = "lstm:forget_bias=1"\n')
    numbers = measure_case(case)
    model = gradscope.build("lstm", input_size=4, hidden_size=6, seed=1, dtype=torch.float64, forget_bias=1)
    x = gradscope.make_inputs("white", batch=3, length=12, input_size=4, seed=1, dtype=torch.float64)
    norms = gradscope.gradient_norms(model, x, [12], seed=1)
    h = norms.log10_norm["h"][0].numpy().mean(axis=0)
    found = numbers.statistics[StatisticName.read("T=12 log10_norm h")]
    assert found.steps == knots(12)
    np.testing.assert_allclose(found.values[1], h[np.array(found.steps) - 1], rtol=1e-12)
    rate = np.polyfit(np.arange(1, 12), h[::-1][1:], 1)[0]
    np.testing.assert_allclose(numbers.statistics[StatisticName.read("T=12 slope h")].values[1], [rate * 12], rtol=1e-9)
    weights = norms.log10_weight_gradient_norm["bias_hh_l0"][0].mean()
    name = "T=12 log10_weight_gradient_norm bias_hh_l0"
    np.testing.assert_allclose(numbers.statistics[StatisticName.read(name)].values[1], [float(weights)], rtol=1e-12)
    lengths_of_weights = {name.length for name in numbers.statistics if name.is_of_parameter}
    assert lengths_of_weights == {12}
    assert StatisticName.read("T=5 log10_norm c") in numbers.statistics
    assert (numbers.seeds, numbers.noise_probe, numbers.is_own) == ((0, 1), "symmetry", False)


def test_exponent_radius_and_sensitivity(tmp_path):
    text = 'arch = "linear-rnn:init=orthogonal:radius=0.5"\ngate = "exponent,radius,sensitivity"\n'
    numbers = small_case(tmp_path, text)
    expected = 12 * np.log10(0.5)
    for name in ("T=12 lyapunov_exponent", "T=12 spectral_radius"):
        np.testing.assert_allclose(numbers.statistics[StatisticName.read(name)].values, expected, rtol=1e-9)
    assert all(statistic.values.shape == (2, 1) for statistic in numbers.statistics.values())
    assert StatisticName("sensitivity_exponent", of="magnitude") in numbers.statistics
    assert max(statistic.noise_decades for statistic in numbers.statistics.values()) < 1e-9


def test_a_zero_norm_is_minus_infinity_and_no_noise(tmp_path):
    (case,) = cases_of(
        {"case": [{"arch": "linear-rnn:radius=0", "lengths": "5", "hidden-size": 3, "seeds": 2}]}, Path("x"), tmp_path
    )
    numbers = measure_case(case)
    found = numbers.statistics[StatisticName.read("T=5 log10_norm h")]
    assert np.isneginf(found.values[:, :-1]).all()
    assert np.isfinite(found.values[:, -1]).all()
    assert np.isneginf(numbers.statistics[StatisticName.read("T=5 slope h")].values).all()
    assert found.noise_decades < 1e-12
    assert largest_difference(np.array([-np.inf]), np.array([1.0])) == np.inf


def test_the_mean_of_samples_moves_with_each_of_them():
    norms = np.array([[0.0, -np.inf], [-9.0, -np.inf], [-np.inf, -np.inf]])
    np.testing.assert_array_equal(mean_of_samples(norms), [-4.5, -np.inf])
    assert np.isnan(mean_of_samples(np.array([[np.nan], [1.0]]))).all()
    small_sample_moved = np.array([[0.0], [-9.5]])
    assert abs(mean_of_samples(small_sample_moved)[0] + 4.75) < 1e-15


@pytest.mark.parametrize("length", [2, 3, 7, 10, 50, 200, 100_000])
def test_knots_hold_the_first_and_the_last_step(length):
    steps = knots(length)
    assert (steps[0], steps[-1]) == (1, length)
    assert list(steps) == sorted(set(steps))
    assert len(steps) <= 16
    assert length < 50 or len(steps) > 10


def test_an_input_without_stable_prefixes_is_run_once_for_every_length(tmp_path):
    numbers = small_case(tmp_path, 'arch = "rnn"\ninput = "adding"\ninput-size = 2')
    model = gradscope.build("rnn", input_size=2, hidden_size=6, dtype=torch.float64)
    x = gradscope.make_inputs("adding", batch=3, length=5, input_size=2, dtype=torch.float64)
    norms = gradscope.gradient_norms(model, x, [5]).log10_norm["h"][0].numpy().mean(axis=0)
    found = numbers.statistics[StatisticName.read("T=5 log10_norm h")]
    np.testing.assert_allclose(found.values[0], norms[np.array(found.steps) - 1], rtol=1e-12)
    assert [name for name in numbers.statistics if name.is_of_parameter and name.length == 5] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('arch = "rrn"\ngate = "sensitivity"', "RRN has no memory dial, so no sensitivity over λ; take that out"),
        (
            'arch = "transformer"\ngate = "exponent,radius"',
            "no recurrent state, so no exponent and no radius;",
        ),
        ('arch = "lru"\nlengths = "2"\nbatch = 1\ngate = "slope"', ""),
    ],
)
def test_what_cannot_be_measured_is_a_failed_case_with_a_reason(tmp_path, text, reason):
    found = small_case(tmp_path, text)
    if reason:
        assert isinstance(found, FailedCase)
        assert reason in found.reason
    else:
        assert found.statistics == {}


def test_a_class_that_raises_is_a_failed_case(tmp_path):
    (tmp_path / "cell.py").write_text(
        "from torch import nn\nclass Cell(nn.Module):\n    def __init__(self, input_size, hidden_size):\n"
        "        raise RuntimeError('no such\\nthing')\n"
    )
    found = small_case(tmp_path, 'arch = "cell.py:Cell"')
    assert isinstance(found, FailedCase)
    assert "RuntimeError: no such thing" in found.reason


OWN = """
import torch
from torch import nn

class Cell(nn.Module):
    def __init__(self, input_size, hidden_size, leak=0.5):
        super().__init__()
        self.leak, self.inner = leak, nn.RNNCell(input_size, hidden_size)

    def forward(self, x, h):
        return self.leak * h + (1 - self.leak) * self.inner(x, h)
"""


def test_the_definition_of_ones_own_class_is_its_settings_and_not_its_code_or_place(tmp_path):
    found = []
    for folder, code in (("a", OWN), ("b", OWN.replace("1 - self.leak", "1.01 - self.leak"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cell.py").write_text(code)
        found.append(small_case(tmp_path / folder, 'arch = "cell.py:Cell:leak=0.25"'))
    first, second = found
    assert first.is_own
    assert first.definition["architecture"] == "cell.py:Cell"
    assert (first.definition_hash, first.stream_hash) == (second.definition_hash, second.stream_hash)
    assert first.weights_hash == second.weights_hash
    norm = StatisticName.read("T=12 log10_norm h")
    assert largest_difference(*(measured.statistics[norm].values for measured in found)) > TOLERANCE


def test_the_definition_tells_settings_apart(tmp_path):
    texts = ['arch = "rnn"', 'arch = "rnn:nonlinearity=relu"', 'arch = "rnn"\nbatch = 2', 'arch = "rnn"\nseed = 1']
    texts += ['arch = "rnn"\nloss = "mean"', 'arch = "rnn"\ngate = "slope"', 'arch = "rnn"\nlengths = "5,11"']
    found = [small_case(tmp_path, text) for text in texts]
    assert len({numbers.definition_hash for numbers in found}) == len(texts)
    json.dumps(found[0].definition)
    again = small_case(tmp_path, 'arch = "rnn"\ntolerance = 1\nname = "other"')
    assert again.definition_hash == found[0].definition_hash


def test_another_version_of_the_probe_is_another_definition(tmp_path, monkeypatch):
    first = small_case(tmp_path, 'arch = "rnn"\ngate = "slope"')
    monkeypatch.setattr("gradscope.commands.check.subject.PROBE_VERSION", fingerprints.PROBE_VERSION + 1)
    assert small_case(tmp_path, 'arch = "rnn"\ngate = "slope"').definition_hash != first.definition_hash


def test_the_stream_is_frozen():
    expected = "sha256:ce5bbca012e1d6dc5f6a3a9a5642fe95fa7d1249122573329d70ef8cde68d612"
    assert fingerprints.stream_hash([0, 1], is_own=False) == expected
    assert fingerprints.stream_hash([0, 1], is_own=True) != expected
    assert fingerprints.stream_hash([0, 2], is_own=False) != expected


def test_weights_are_hashed_in_single_precision_by_name_and_shape():
    model = gradscope.build("lstm", input_size=3, hidden_size=4, dtype=torch.float64)
    first = fingerprints.weight_bytes(model)
    jitter(model, seed=0)
    assert fingerprints.weight_bytes(model) == first
    with torch.no_grad():
        model.bias_hh_l0[0] += 1e-6
    assert fingerprints.weight_bytes(model) != first


def test_numbers_survive_json(tmp_path):
    numbers = small_case(tmp_path, 'arch = "skip-rnn"')
    assert_equal(read_case(numbers.name, json.loads(json.dumps(plain_case(numbers))), "there"), numbers)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_torchs_own_modules_are_measured_at_their_states(kind):
    def make(seed):
        return kind(4, 6, num_layers=2)

    numbers = measure_model(make, name="torch", lengths="9", seeds=2, batch=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = make(1).double()
    x = gradscope.make_inputs("white", batch=3, length=9, input_size=4, seed=1, dtype=torch.float64)
    target = torch.from_numpy(random_stream("targets", 1).standard_normal((3, 6)))
    norms = []
    for sample in range(3):  # time first, as the module has it
        module.zero_grad()
        loss = (module(x[sample].unsqueeze(1))[0][-1, 0] - target[sample]).square().sum() / 2
        loss.backward()
        norms.append(float(module.weight_hh_l1.grad.norm().log10()))
    found = numbers.statistics[StatisticName.read("T=9 log10_weight_gradient_norm weight_hh_l1")].values[1]
    np.testing.assert_allclose(found, np.mean(norms), rtol=1e-9)
    assert StatisticName.read("T=9 log10_norm h_l0") in numbers.statistics
    assert numbers.is_own
    assert numbers.noise_probe == "symmetry"


def test_a_module_is_copied_and_seeds_vary_its_inputs_alone():
    torch.manual_seed(0)
    module = nn.GRU(4, 6, num_layers=2, bias=False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    numbers = measure_model(module, name="gru", lengths=[5, 9], seeds=[3, 8], batch=2)
    assert numbers.seeds == (3, 8)
    assert numbers.noise_probe == "symmetry"
    values = numbers.statistics[StatisticName.read("T=9 log10_norm h_l0")].values
    assert largest_difference(values[0], values[1]) > 1e-3
    assert not module.batch_first
    for name, value in module.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    batch_first = nn.GRU(4, 6, num_layers=2, bias=False, batch_first=True)
    batch_first.load_state_dict(module.state_dict())
    assert_equal(measure_model(batch_first, name="gru", lengths=[5, 9], seeds=[3, 8], batch=2), numbers)


def test_a_function_is_called_with_a_seeded_generator_that_is_put_back():
    state = torch.random.get_rng_state()
    first, second = (measure_model(lambda seed: nn.RNN(3, 4), name="rnn", lengths="4", seeds=2) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert_equal(first, second)


def test_a_model_that_cannot_be_measured_is_refused_with_a_sentence():
    with pytest.raises(UsageError, match=r"Sequential has no attribute input_size; say input_size=…"):
        measure_model(nn.Sequential(nn.Linear(3, 4)), name="x")
    with pytest.raises(UsageError, match=r"from a seed to a torch\.nn\.Module should be given, but it returned int"):
        measure_model(lambda seed: seed, name="x")
    with pytest.raises(UsageError, match="lengths should ascend"):
        measure_model(nn.RNN(3, 4), name="x", lengths=[9, 3])
    with pytest.raises(UsageError, match="seeds should be at least 1, but 0 was given"):
        measure_model(nn.RNN(3, 4), name="x", seeds=[])
    with pytest.raises(UsageError, match="'adding' has 2 features, but input size 3 was given"):
        measure_model(nn.RNN(3, 4), name="x", input="adding")
    with pytest.raises(Unmeasurable, match="dropout in training mode"):
        measure_model(nn.LSTM(3, 4, num_layers=2, dropout=0.5), name="x", lengths="4", seeds=1)
    open_file = nn.RNN(3, 4)
    open_file.log = (number for number in range(3))
    with pytest.raises(UsageError, match=r"RNN cannot be copied .*give a function from a seed to a new one"):
        measure_model(open_file, name="x")
