"""Eigenvalues, singular values and products of every architecture against dense Jacobians from autograd."""

import math

import pytest
import torch
from torch.func import jacrev, vmap

import gradscope
from gradscope.contract.combinators import Parallel
from gradscope.contract.state import as_state, as_vector
from gradscope.dynamics.joint_jacobians import joint_jacobians
from gradscope.measurements.jacobian_products import products_of
from gradscope.measurements.jacobian_spectrum import spectrum_of
from gradscope.numerics.random_streams import random_stream
from tests.models import RECURRENT, Convolved, inputs, small
from tests.tolerances import DECADES, EIGENVALUE, RELATIVE

EVERY = [*RECURRENT, ("skip-rnn", {"k": 3, "alpha": 0.0})]
CASES = [(name, options, layers) for name, options in EVERY for layers in (1, 2)]
STEPS = (1, 2, 4, 7)
EXACT = RELATIVE[torch.float64]


def dense(model, x, step):
    """∂s_t/∂s_{t−1} over all layers and branches by ``vmap(jacrev)`` of one joint step, ``(batch, n, n)``."""
    trajectories = gradscope.linearize(model, x, accelerated=False).recurrences
    states = []
    for trajectory in trajectories:
        kept = trajectory.states(step - 1, step - 1)
        states.append(as_vector({b.name: kept[b.name] for b in trajectory.model.state_spec}, batch_dims=2))
    return joint_jacobians(model, tuple(states), x[:, step - 1].unsqueeze(0), torch.tensor([step]))[0]


def assert_same_multiset(mine, reference, tolerance):
    """Greedy matching, the closest pair first."""
    distances = (mine.unsqueeze(1) - reference.unsqueeze(0)).abs()
    for _ in range(len(mine)):
        row, column = divmod(int(distances.argmin()), len(mine))
        assert distances[row, column] <= tolerance
        distances[row, :] = distances[:, column] = math.inf


@pytest.mark.parametrize(("name", "options", "layers"), CASES, ids=str)
def test_eigenvalues_and_singular_values(name, options, layers):
    model, x = small(name, num_layers=layers, **options), inputs()
    spectrum = gradscope.jacobian_spectrum(model, x, steps=STEPS)
    for index, step in enumerate(STEPS):
        jacobian = dense(model, x, step)
        for sample in range(2):
            J, mine = jacobian[sample], spectrum.eigenvalues[sample, index]
            assert len(mine) == len(J) == spectrum.state_size
            assert_same_multiset(mine, mine.conj(), EIGENVALUE)  # complex ones come in pairs
            vectors = torch.linalg.eig(J).eigenvectors
            if torch.linalg.cond(vectors) < 1e6:
                assert_same_multiset(mine, torch.linalg.eigvals(J), EIGENVALUE)
            else:  # defective: anchors, relu, buffers
                for value in mine:
                    residual = torch.linalg.svdvals(J - value * torch.eye(len(J), dtype=value.dtype))[-1]
                    assert residual <= EXACT * torch.linalg.matrix_norm(J)
            expected = torch.linalg.svdvals(J)
            assert torch.allclose(spectrum.singular_values[sample, index], expected, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize(("name", "options", "layers"), CASES, ids=str)
def test_structure_agrees_with_the_dense_path(name, options, layers):
    model, x = small(name, num_layers=layers, **options), inputs()
    fast = spectrum_of(gradscope.linearize(model, x), STEPS)
    slow = spectrum_of(gradscope.linearize(model, x, accelerated=False), STEPS)
    assert torch.allclose(fast.spectral_radius, slow.spectral_radius, rtol=1e-8, atol=1e-6)
    assert torch.allclose(fast.singular_values, slow.singular_values, rtol=EXACT, atol=EXACT)
    mine, reference = (products_of(gradscope.linearize(model, x, accelerated=a), range(1, 8)) for a in (True, False))
    assert torch.allclose(
        mine.log10_largest_singular_value, reference.log10_largest_singular_value, rtol=0, atol=DECADES[torch.float64]
    )
    assert torch.allclose(mine.stable_rank, reference.stable_rank, rtol=EXACT)


@pytest.mark.parametrize(("name", "options", "layers"), CASES, ids=str)
def test_products_are_matrix_products(name, options, layers):
    model, x = small(name, num_layers=layers, **options), inputs()
    products = gradscope.jacobian_products(model, x)
    assert products.steps == tuple(range(6, -1, -1))
    product = torch.eye(model.state_size, dtype=torch.float64).expand(2, -1, -1)
    for index, step in enumerate(range(7, 0, -1)):
        product = product @ dense(model, x, step)
        values = torch.linalg.svdvals(product)
        mine = products.log10_largest_singular_value[:, index]
        assert torch.allclose(mine, values[:, 0].log10(), rtol=0, atol=DECADES[torch.float64])
        frobenius = torch.linalg.matrix_norm(product).log10()
        assert torch.allclose(products.log10_frobenius_norm[:, index], frobenius, rtol=0, atol=DECADES[torch.float64])
        smallest = products.log10_smallest_singular_value[:, index]
        for sample in range(2):
            if smallest[sample] == -math.inf:
                assert values[sample, -1] < 1e-14 * values[sample, 0]
            else:  # the product itself knows its smallest singular value to 1e-16 of its largest
                slack = 1e-15 * values[sample, 0] / values[sample, -1]
                assert abs(float(smallest[sample]) - math.log10(values[sample, -1])) < slack + 1e-9


def test_smallest_singular_value_far_below_rounding():
    model = small("lru", r_min=0.1, r_max=0.9)
    products = gradscope.jacobian_products(model, inputs(length=400))
    modulus = torch.exp(-torch.exp(model.nu_log)).log10().detach()
    assert math.isclose(products.log10_smallest_singular_value[0, -1], 400 * float(modulus.min()), rel_tol=1e-10)
    dense_twin = small("linear-rnn")
    with torch.no_grad():
        dense_twin.A.copy_(torch.diag(torch.tensor([0.9, 0.5, 0.01], dtype=torch.float64)))
    products = gradscope.jacobian_products(dense_twin, inputs(length=400))
    assert math.isclose(products.log10_smallest_singular_value[0, -1], -800.0, rel_tol=1e-10)
    assert math.isclose(products.log10_largest_singular_value[0, -1], 400 * math.log10(0.9), rel_tol=1e-10)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_the_adjoint_is_the_transposed_product(name, options):
    """‖(∂s_T/∂s_t)ᵀ g‖ is what compare measures for a loss that reads s_T alone."""
    model, x = small(name, **options), inputs()
    norms = gradscope.gradient_norms(model, x, [7], loss="last-probe", components=["<state>"]).log10_norm["<state>"][0]
    probe = _probe(model(x)[:, -1].shape)
    s_T = torch.cat([_last_state(t) for t in gradscope.linearize(model, x).recurrences], dim=-1)
    g = vmap(jacrev(lambda s, u, p: (_read(model, s, u) * p).sum()))(s_T, x[:, -1], probe)
    for step in range(7, 0, -1):
        if step < 7:
            g = (gradscope.state_jacobian(model, x, step + 1).mT @ g.unsqueeze(-1)).squeeze(-1)
        assert torch.allclose(norms[:, step - 1], g.norm(dim=-1).log10(), rtol=0, atol=DECADES[torch.float64])


def _probe(shape):
    probe = torch.from_numpy(random_stream("probes", 0).standard_normal(tuple(shape)))
    return probe / probe.norm(dim=-1, keepdim=True)


def _last_state(trajectory):
    kept = trajectory.states(trajectory.length, trajectory.length)
    return as_vector({b.name: kept[b.name][0] for b in trajectory.model.state_spec})


def _read(model, vector, x_t):
    """The output as a function of the state at the last step."""
    if isinstance(model, Parallel):
        branches = model.branches.values()
        parts = vector.split([branch.state_size for branch in branches])
        return torch.stack([_read(b, part, x_t) for b, part in zip(branches, parts, strict=True)]).mean(0)
    u = {name: value[:, 0] for name, value in model.prepare(x_t.reshape(1, 1, -1)).items()}
    return model.readout(as_state(vector.unsqueeze(0), model.state_spec), u)[0]


def test_stack_is_the_union_of_its_layers():
    model, x = small("gru", num_layers=2), inputs()
    lower, upper = model.layers
    joint = gradscope.jacobian_spectrum(model, x, steps=[3]).eigenvalues[0, 0]
    below = gradscope.jacobian_spectrum(lower, x, steps=[3]).eigenvalues[0, 0]
    above = gradscope.jacobian_spectrum(upper, lower(x).detach(), steps=[3]).eigenvalues[0, 0]
    assert_same_multiset(joint, torch.cat([below, above]), 1e-14)


@pytest.mark.parametrize("alpha", [1.0, 0.6, -0.3])
def test_skip_rnn_determinant_and_roots(alpha):
    model, x = small("skip-rnn", k=4, alpha=alpha), inputs()
    values = gradscope.jacobian_spectrum(model, x, steps=[5]).eigenvalues[0, 0]
    assert math.isclose(values.abs().prod(), abs(alpha) ** 3, rel_tol=1e-10)
    mu = torch.linalg.eigvals(gradscope.state_jacobian(model, x, 5)[0, :3, :3])
    assert float((values.unsqueeze(1) ** 4 - mu * values.unsqueeze(1) ** 3 - alpha).abs().min(1).values.max()) < 1e-13


def test_period_product_of_sc_lstm_tells_what_one_step_hides():
    model, x = small("sc-lstm-i", L=3, alpha=0.5, hidden_size=5), inputs(length=31)
    spectrum = gradscope.jacobian_spectrum(model, x, steps=[30, 31])
    assert spectrum.spectral_radius[0, 0] == 1  # between anchors
    product = torch.eye(15, dtype=torch.float64)
    for step in range(29, 32):
        product = gradscope.state_jacobian(model, x, step)[0] @ product
    period = spectrum.periods[0]
    expected = torch.linalg.eigvals(product).abs().sort(descending=True).values[:10]
    modulus = period.log_modulus_per_step[0, -1].exp().sort(descending=True).values
    assert period.period == 3
    assert torch.allclose(modulus[:10] ** 3, expected, rtol=1e-8, atol=1e-12)
    assert (modulus[10:] == 0).all()
    assert period.spectral_radius_per_step[0, -1] < 0.95


def test_period_product_of_skip_rnn_keeps_angles():
    model, x = small("skip-rnn", k=3), inputs(length=9)
    period = gradscope.jacobian_spectrum(model, x, steps=[9]).periods[0]
    product = torch.eye(9, dtype=torch.float64)
    for step in (7, 8, 9):
        product = gradscope.state_jacobian(model, x, step)[0] @ product
    mine = torch.polar((3 * period.log_modulus_per_step[0, 0]).exp(), period.angle_per_period[0, 0])
    assert_same_multiset(mine, torch.linalg.eigvals(product), EIGENVALUE)


def test_deltanet_closed_form_and_multiplicities():
    model, x = small("deltanet"), inputs()
    spectrum = gradscope.jacobian_spectrum(model, x, steps=[3])
    assert spectrum.layers[0].multiplicity.tolist() == [3, 3, 3]
    beta = float(model.prepare(x)["beta"][0, 2, 0].detach())
    expected = torch.tensor([1 - beta, 1, 1], dtype=torch.float64)
    assert torch.allclose(spectrum.layers[0].values[0, 0].real.sort().values, expected, rtol=1e-14)
    assert torch.equal(spectrum.layers[0].values.imag, torch.zeros(2, 1, 3, dtype=torch.float64))


def test_relu_units_that_are_off_give_exact_zeros():
    model = small("rnn", nonlinearity="relu", hidden_size=9)
    spectrum = gradscope.jacobian_spectrum(model, inputs(length=20), steps=[20])
    off = (gradscope.state_jacobian(model, inputs(length=20), 20)[0] == 0).all(-1).sum()
    assert off > 0
    assert int((spectrum.eigenvalues[0, 0] == 0).sum()) >= off


def test_derived_quantities_of_a_known_matrix():
    model = small("linear-rnn", hidden_size=2)
    with torch.no_grad():
        model.A.copy_(torch.tensor([[0.995, 3.0], [0.0, 0.95]], dtype=torch.float64))
    spectrum = gradscope.jacobian_spectrum(model, inputs(), steps=[4])
    assert math.isclose(spectrum.spectral_radius[0, 0], 0.995, rel_tol=1e-12)
    assert spectrum.near_unit_share[0, 0] == spectrum.memory_share[0, 0] == 0.5
    assert math.isclose(spectrum.longest_time_constant[0, 0], -1 / math.log(0.995), rel_tol=1e-9)
    assert math.isclose(spectrum.henrici_departure[0, 0], 3.0, rel_tol=1e-12)
    values = torch.linalg.svdvals(model.A.detach())
    assert math.isclose(spectrum.condition_number[0, 0], values[0] / values[1], rel_tol=1e-10)
    assert math.isclose(spectrum.median_singular_value[0, 0], values.mean(), rel_tol=1e-10)


def test_condition_numbers_of_singular_matrices_are_infinite():
    model = small("linear-rnn", hidden_size=2)
    for diagonal in ((0.5, 0.0), (0.0, 0.0)):
        with torch.no_grad():
            model.A.copy_(torch.diag(torch.tensor(diagonal, dtype=torch.float64)))
        assert gradscope.jacobian_spectrum(model, inputs(), steps=[4]).condition_number.tolist() == [[math.inf]] * 2
    with torch.no_grad():
        model.A.fill_(math.nan)
    assert gradscope.jacobian_spectrum(model, inputs(), steps=[4]).condition_number.isnan().all()


def test_a_jacobian_may_be_finite_where_states_are_not():
    model = small("rnn", nonlinearity="relu", dtype=torch.float32)
    with torch.no_grad():
        model.weight_hh_l0.abs_().mul_(1e6)
    spectrum = gradscope.jacobian_spectrum(model, inputs(30, torch.float32).abs(), steps=[29])
    assert spectrum.overflow_step is not None
    assert spectrum.overflow_step < 29
    assert spectrum.spectral_radius.isfinite().any()


def test_time_constants_at_the_ends():
    from gradscope.measurements.jacobian_spectrum import time_constants

    found = time_constants(torch.tensor([0.0, math.exp(-0.5), 1.0, 1.5], dtype=torch.float64))
    assert found.tolist() == [0.0, pytest.approx(2.0), math.inf, math.inf]


def test_a_cell_of_ones_own_goes_through_autograd():
    torch.manual_seed(0)
    model, x = Convolved(4, 3).double(), inputs()
    spectrum = gradscope.jacobian_spectrum(model, x, steps=[5])
    h = model(x)[0].detach()
    expected = (1 - h[4] ** 2) * model.decay.detach()
    assert torch.allclose(spectrum.eigenvalues[0, 0].real.sort().values, expected.sort().values)


def test_a_stack_whose_layers_reach_back_is_refused():
    torch.manual_seed(0)
    model = gradscope.Stack([Convolved(4, 3).double(), Convolved(3, 3).double()])
    with pytest.raises(gradscope.Unmeasurable, match=r"Convolved reads 2 earlier inputs in prepare"):
        gradscope.jacobian_products(model, inputs())


def test_state_jacobian_refuses_a_transformer():
    with pytest.raises(gradscope.NoRecurrentState, match=r"no recurrent state.*temporal Jacobian"):
        gradscope.state_jacobian(small("transformer"), inputs(), 3)


@pytest.mark.parametrize("steps", [[0], [8], [], [3, -1]])
def test_steps_outside_the_sequence(steps):
    with pytest.raises(gradscope.UsageError, match="Steps should lie from 1 to 7"):
        gradscope.jacobian_spectrum(small("rnn"), inputs(), steps=steps)


def test_lags_outside_the_sequence():
    with pytest.raises(gradscope.UsageError, match="Lags should lie from 1 to 7"):
        gradscope.jacobian_products(small("rnn"), inputs(), lags=[9])


def test_overflow_is_a_status_with_its_step():
    model, x = small("linear-rnn", init="orthogonal", radius=1e30), inputs(length=30)
    spectrum = gradscope.jacobian_spectrum(model, x, steps=[2, 30])
    exponents = gradscope.lyapunov_exponents(model, x, warm_up=5)
    products = gradscope.jacobian_products(model, x)
    steps = {spectrum.overflow_step, exponents.overflow_step, products.overflow_step}
    assert len(steps) == 1
    assert 9 <= steps.pop() <= 12
    assert exponents.exponents_nats_per_step.isnan().all()
    assert products.log10_largest_singular_value.isnan().all()


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_leading_values_of_large_states(name):
    model, x = small(name, hidden_size=20), inputs()
    whole = gradscope.jacobian_spectrum(model, x, steps=[7])
    leading = gradscope.jacobian_spectrum(model, x, steps=[7], leading=4)
    assert not leading.is_complete
    assert "ARPACK" in leading.notes[0]
    expected = whole.eigenvalues[0, 0].abs().sort(descending=True).values[:3]
    assert torch.allclose(leading.eigenvalues[0, 0].abs().sort(descending=True).values[:3], expected, rtol=1e-8)
    assert torch.allclose(leading.singular_values[0, 0], whole.singular_values[0, 0, :4], rtol=1e-8)
    assert leading.near_unit_share.isnan().all()


@pytest.mark.parametrize("layers", [1, 2])
def test_repeated_leading_values_are_all_found(layers):
    """A Krylov space from one vector finds a repeated eigenvalue once; half of this cell's state is kept as it is."""

    class Keep(gradscope.Recurrence):
        def __init__(self, input_size, hidden_size):
            super().__init__()
            self.input_size, self.output_size = input_size, hidden_size
            self.state_spec = (gradscope.Block("h", (hidden_size,)), gradscope.Block("c", (hidden_size,)))
            self.weight = torch.nn.Parameter(torch.randn(hidden_size, hidden_size) / hidden_size**0.5)

        def step(self, s, u, t):
            return {"h": torch.tanh(s["h"] @ self.weight.T), "c": 0.999 * s["c"] + u["x"].mean(-1, keepdim=True)}

    torch.manual_seed(0)
    cells = [Keep(4, 15).double(), Keep(15, 15).double()][:layers]
    model = cells[0] if layers == 1 else gradscope.Stack(cells)
    x = inputs()
    whole = gradscope.jacobian_spectrum(model, x, steps=[7])
    leading = gradscope.jacobian_spectrum(model, x, steps=[7], leading=5)
    assert torch.allclose(leading.layers[0].values.abs(), torch.tensor(0.999, dtype=torch.float64), rtol=1e-8)
    assert torch.allclose(leading.singular_values, whole.singular_values[..., :5], rtol=1e-8)


def test_many_eigenvalues_of_one_modulus():
    model, x = small("linear-rnn", hidden_size=40, init="orthogonal"), inputs(length=3)
    leading = gradscope.jacobian_spectrum(model, x, steps=[3], leading=6)
    assert torch.allclose(leading.eigenvalues.abs(), torch.ones(1, dtype=torch.float64), rtol=1e-8)


@pytest.mark.parametrize(("leading", "count"), [(39, 40), (40, 40), (100, 40)])
def test_more_leading_values_than_arpack_can_give(leading, count):
    model, x = small("rnn", hidden_size=40), inputs(length=3)
    found = gradscope.jacobian_spectrum(model, x, steps=3, leading=leading).eigenvalues
    assert found.shape[-1] == min(leading, count)
    with pytest.raises(gradscope.UsageError, match="ask for one or more"):
        gradscope.jacobian_spectrum(model, x, steps=3, leading=0)


def test_a_joint_state_that_is_too_large_leaves_its_layers_measured():
    model, x = small("deltanet", num_layers=2, hidden_size=24), inputs(length=4, batch=1)
    spectrum = gradscope.jacobian_spectrum(model, x, steps=[4])
    assert spectrum.has_all_eigenvalues
    assert spectrum.near_unit_share[0, 0] > 0.9
    assert spectrum.largest_singular_value.isnan().all()
    assert "1,152 numbers: its singular values and products are left out" in spectrum.notes[0]
    with pytest.raises(gradscope.Unmeasurable, match="1,152 numbers"):
        gradscope.jacobian_products(model, x)


def test_modules_that_are_no_models_are_told_how_to_become_one():
    with pytest.raises(gradscope.UsageError, match=r"A torch.nn.Module, or a model from gradscope.build, should be"):
        gradscope.linearize("lstm", inputs())
    with pytest.raises(gradscope.UsageError, match="at least one sample, step and feature"):
        gradscope.lyapunov_exponents(small("rnn"), torch.zeros(2, 0, 4))


def test_large_states_go_through_arpack_by_themselves():
    model, x = small("rnn", hidden_size=520), inputs(length=3, batch=1)
    spectrum = gradscope.jacobian_spectrum(model, x, steps=[3])
    expected = torch.linalg.eigvals(gradscope.state_jacobian(model, x, 3)[0]).abs().max()
    assert spectrum.eigenvalues.shape[-1] == 16
    assert math.isclose(spectrum.spectral_radius[0, 0], expected, rel_tol=1e-8)


def test_without_scipy_a_large_state_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy.sparse.linalg", None)
    with pytest.raises(gradscope.UsageError, match=r"pip install 'gradscope-cli\[large\]'"):
        gradscope.jacobian_spectrum(small("rnn"), inputs(), steps=[3], leading=1)
