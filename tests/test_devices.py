"""The same numbers on every device, with any number of threads, alone or in company."""

import pytest
import torch

import gradscope
from tests.models import NAMES, RECURRENT_NAMES, inputs, small
from tests.tolerances import DECADES, SAME_DECADES


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_changes_nothing(name):
    threads = torch.get_num_threads()
    model, x = small(name, hidden_size=8), inputs(length=80)
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(gradscope.gradient_norms(model, x, [20, 80]).log10_norm)
    finally:
        torch.set_num_threads(threads)
    for key, value in results[0].items():
        assert torch.allclose(value, results[1][key], rtol=0, atol=SAME_DECADES, equal_nan=True), key


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_cpu_and_cuda_agree(name, num_layers):
    results = []
    for device in ("cpu", "cuda"):
        model, x = small(name, num_layers).to(device), inputs(length=100).to(device)
        results.append(gradscope.gradient_norms(model, x, [10, 100]))
    for group in ("log10_norm", "log10_weight_gradient_norm"):
        mine, reference = getattr(results[0], group), getattr(results[1], group)
        assert mine.keys() == reference.keys()
        for key, value in mine.items():
            assert torch.allclose(value, reference[key], rtol=0, atol=DECADES[torch.float64], equal_nan=True), key


@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_spectra_do_not_depend_on_the_number_of_threads(name):
    threads = torch.get_num_threads()
    model, x = small(name, hidden_size=8), inputs(length=80)
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(gradscope.lyapunov_exponents(model, x).exponents_nats_per_step)
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(*results, rtol=0, atol=1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_spectra_of_cpu_and_cuda_agree(name, num_layers):
    results = []
    for device in ("cpu", "cuda"):
        model, x = small(name, num_layers).to(device), inputs(length=60).to(device)
        results.append(
            (
                gradscope.jacobian_spectrum(model, x, steps=[30, 60]).singular_values,
                gradscope.lyapunov_exponents(model, x, warm_up=20).exponents_nats_per_step,
                gradscope.jacobian_products(model, x).log10_largest_singular_value,
            )
        )
    for mine, reference in zip(*results, strict=True):
        assert mine.device.type == "cpu"
        assert torch.allclose(mine, reference, rtol=0, atol=1e-8, equal_nan=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_sensitivities_of_cpu_and_cuda_agree(name):
    results = []
    for device in ("cpu", "cuda"):
        model, x = small(name).to(device), inputs(length=60).to(device)
        results.append(gradscope.memory_sensitivity(model, x))
    mine, reference = results
    assert torch.allclose(mine.state_power, reference.state_power, rtol=1e-8)
    for group, power in mine.dh_domega_power.items():
        assert torch.allclose(power, reference.dh_domega_power[group], rtol=1e-8)
        assert torch.allclose(mine.loss_gradient_power[group], reference.loss_gradient_power[group], rtol=1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("recurrence", ["cRNN", "lru", "gru"])
def test_signal_propagation_of_cpu_and_cuda_agrees(recurrence):
    x = inputs(length=60)
    mine, reference = (
        gradscope.signal_propagation(recurrence, 0.9, x.to(device), width=6) for device in ("cpu", "cuda")
    )
    assert torch.allclose(mine.state_power, reference.state_power, rtol=1e-8)
    for group, power in mine.gradient_power.items():
        assert torch.allclose(power, reference.gradient_power[group], rtol=1e-8)
