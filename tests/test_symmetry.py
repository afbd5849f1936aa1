"""Hidden units in another order: the same outputs and the same gradient norms, for every architecture."""

import doctest
import math

import pytest
import torch
from torch import nn

import gradscope
from gradscope.commands.check.rounding_probes import permute_units
from gradscope.contract import symmetry as module
from gradscope.contract.symmetry import Symmetry
from tests.models import ALL, inputs, small

LENGTH = 20
RELATIVE = 1e-12  # of a norm, times the growth of the gradient
SEEDS = (0, 1, 2)
SIZES = [(4, 3, 1), (5, 6, 1), (6, 6, 1), (4, 3, 2), (5, 6, 3)]  # input, hidden, layers
EVERY = [(name, options, sizes) for name, options in ALL for sizes in SIZES if len(options) < 2 or sizes[1] == 6]


def built(name, options, sizes, seed=0):
    input_size, hidden_size, num_layers = sizes
    model = small(name, num_layers, input_size=input_size, hidden_size=hidden_size, seed=seed, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # no entry equals another one, as zeros and ones do at first
            parameter += 0.01 * torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


def tensors(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize(("name", "options", "sizes"), EVERY)
def test_outputs_are_the_same_up_to_their_order(name, options, sizes):
    model = built(name, options, sizes)
    permuted = permute_units(model, seed=0)
    x = inputs(length=LENGTH, input_size=sizes[0])
    with torch.no_grad():
        expected, found = model(x)[..., permuted.outputs], permuted.model(x[..., permuted.inputs])
    assert torch.allclose(found, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "options", "sizes"), EVERY)
def test_every_axis_moves_by_a_permutation_and_the_original_stays(name, options, sizes):
    model = built(name, options, sizes)
    before = {key: value.clone() for key, value in tensors(model).items()}
    permuted = permute_units(model, seed=0)
    after, declared = tensors(permuted.model), model.symmetry
    assert list(after) == list(before)
    for key, value in tensors(model).items():
        assert torch.equal(value, before[key])
        assert after[key].data_ptr() != value.data_ptr()
        assert after[key].requires_grad == value.requires_grad
        assert torch.equal(after[key].flatten().sort().values, value.flatten().sort().values)
        axes = declared.parameters.get(key, "").replace("(", " ").replace(")", " ").split()
        moves = any(declared.sizes.get(axis, 1) > 1 and axis not in declared.fixed for axis in axes)
        assert torch.equal(after[key], value) != moves
    for index in (permuted.inputs, permuted.outputs):
        assert sorted(index.tolist()) == list(range(len(index)))
    assert (permuted.inputs != torch.arange(sizes[0])).all()
    assert (permuted.outputs != torch.arange(sizes[1])).all() == (declared.outputs not in declared.fixed)


def squares(targets):
    def loss(y):
        return 0.5 * ((y - targets[:, : y.shape[1]]) ** 2).sum((1, 2)) / y.shape[1]

    return loss


def norms(model, x, targets):
    found = gradscope.gradient_norms(model, x, [7, LENGTH], loss=squares(targets))
    return {**found.log10_norm, **found.log10_weight_gradient_norm}


def backward_growth(log10_norm):
    """Largest norm of any step over the one at the last step, at least 1."""
    last = float(log10_norm[:, -1].max())
    return max(1.0, 10 ** (float(log10_norm.max()) - last)) if math.isfinite(last) else 1.0


def largest_difference(model, permuted, seed, size):
    """In relative terms, over the growth of the gradient on its way back."""
    x = inputs(length=LENGTH, input_size=size, seed=seed)
    targets = inputs(length=LENGTH, input_size=model.output_size, seed=seed + 100)
    old = norms(model, x, targets)
    new = norms(permuted.model, x[..., permuted.inputs], targets[..., permuted.outputs])
    growth = backward_growth(old[model.primary_component][-1])
    assert set(new) == set(old)
    worst = 0.0
    for key, value in old.items():
        assert torch.equal(value.isfinite(), new[key].isfinite())
        assert torch.equal(value.isneginf(), new[key].isneginf())
        if value.isfinite().any():
            worst = max(worst, float((value - new[key])[value.isfinite()].abs().max()) * math.log(10) / growth)
    return worst


@pytest.mark.parametrize(("name", "options", "sizes"), EVERY)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_norms_are_the_same(name, options, sizes, seed):
    model = built(name, options, sizes, seed)
    assert largest_difference(model, permute_units(model, seed), seed, sizes[0]) <= RELATIVE


def test_seeds_give_other_orders_and_the_same_seed_the_same():
    model = small("lstm", input_size=9, hidden_size=8)
    first, again, other = (permute_units(model, seed) for seed in (0, 0, 1))
    assert torch.equal(first.outputs, again.outputs)
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.outputs, other.outputs)


def test_a_stack_carries_the_order_of_a_layers_outputs_to_the_next():
    axes = small("gru", num_layers=2).symmetry.parameters
    assert axes["weight_ih_l0"] == "(gate_l0 hidden_l0) input"
    assert axes["weight_ih_l1"] == "(gate_l1 hidden_l1) hidden_l0"


def test_branches_share_the_order_of_their_outputs_alone():
    axes = small("hrl").symmetry.parameters
    assert axes["branches.lstm.weight_hh_l0"] == "(gate_0 output) output"
    assert axes["branches.rrn.weight_hh_1"] == "inner_1_1 output"


def test_a_branch_that_adds_its_input_ties_the_outputs_of_all():
    branches = {"lru": small("lru", input_size=5, hidden_size=5), "gru": small("gru", input_size=5, hidden_size=5)}
    model = gradscope.Parallel(branches)
    permuted = permute_units(gradscope.Stack([model, small("lstm", input_size=5)]), seed=3)
    assert torch.equal(permute_units(model, seed=3).outputs, permute_units(model, seed=3).inputs)
    assert largest_difference(gradscope.Stack([model, small("lstm", input_size=5)]), permuted, 3, 5) <= RELATIVE


def test_a_layer_whose_outputs_stay_fixes_the_inputs_of_the_next():
    class Ordered(Own):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.symmetry = Symmetry(
                self.symmetry.parameters, self.symmetry.sizes, fixed=frozenset({"hidden"}), outputs="hidden"
            )

    model = gradscope.Stack([Ordered(4, 5), small("lstm", input_size=5)]).double()
    permuted = permute_units(model, seed=0)
    assert torch.equal(permuted.model.layers[0].U, model.layers[0].U)
    assert largest_difference(model, permuted, 0, 4) <= RELATIVE


class Own(gradscope.Recurrence):
    """h_t = tanh(V [h_{t−1}, x_t] ⊙ scale), with a buffer and two entries that are not units."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.state_spec = (gradscope.Block("h", (hidden_size,)),)
        draw = torch.Generator().manual_seed(1)
        self.V = nn.Parameter(torch.randn(hidden_size, hidden_size + input_size, generator=draw))
        self.U = nn.Parameter(torch.randn(hidden_size, hidden_size, generator=draw))
        self.mix = nn.Parameter(torch.randn(2, generator=draw))
        self.register_buffer("scale", torch.rand(hidden_size, generator=draw))
        self.symmetry = Symmetry(
            {"V": "hidden (hidden + input)", "U": "hidden hidden", "mix": "kind", "scale": "hidden"},
            {"input": input_size, "hidden": hidden_size},
        )

    def step(self, s, u, t):
        joint = torch.cat([s["h"], u["x"]], dim=-1) @ self.V.T
        return {"h": torch.tanh(self.scale * (self.mix[0] * joint + self.mix[1] * (s["h"] @ self.U.T)))}


def test_a_class_of_ones_own_with_a_declaration():
    model = Own(4, 5).double()
    permuted = permute_units(model, seed=0)
    for key in ("V", "U", "scale"):
        assert not torch.equal(getattr(permuted.model, key), getattr(model, key))
    assert torch.equal(permuted.model.mix, model.mix)
    assert largest_difference(model, permuted, 0, 4) <= RELATIVE


def test_a_class_of_ones_own_without_a_declaration_has_no_symmetry():
    own = gradscope.build("sample_configs/own_contract.py:LeakyRNN", input_size=4, hidden_size=3, dtype=torch.float64)
    assert own.symmetry is None
    assert permute_units(own, seed=0) is None
    assert permute_units(gradscope.Stack([small("lstm"), small("gru", input_size=3), own]), seed=0) is None
    assert permute_units(gradscope.Parallel({"lstm": small("lstm"), "own": own}), seed=0) is None
    assert permute_units(gradscope.build("torch.nn:LSTM", input_size=4, hidden_size=3), seed=0) is None


BROKEN = [
    ({"V": None}, "without 'V', which has the shape"),
    ({"scale": None}, "without 'scale', which has the shape"),
    ({"W": "hidden"}, "no parameter or buffer of Own called 'W'"),
    ({"U": "hidden"}, "declares 'U' as 'hidden' with hidden=5, which does not fit its shape"),
    ({"U": "hidden input"}, "does not fit its shape"),
    ({"U": "hidden (gate other)"}, "does not fit its shape"),
    ({"V": "hidden hidden + input"}, "does not fit its shape"),
    ({"V": "hidden (hidden + gate)"}, "does not fit its shape"),
    ({"U": "hidden (hidden"}, "does not fit its shape"),
    ({"mix": "(input kind)"}, "does not fit its shape"),
    ({"scale": "kind"}, "does not have"),  # a buffer that is forgotten
    ({"U": "hidden kind"}, "does not have"),
    ({"V": "hidden (input + hidden)"}, "does not have"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_wrong_declaration_is_refused(change, message):
    model = Own(4, 5).double()
    axes = {key: value for key, value in {**model.symmetry.parameters, **change}.items() if value}
    model.symmetry = Symmetry(axes, model.symmetry.sizes)
    with pytest.raises(gradscope.UsageError, match=message):
        permute_units(model, seed=0)


def test_gates_that_are_not_kept_apart_are_refused():
    model = small("lstm")
    axes = {key: value.replace("(gate hidden)", "(hidden gate)") for key, value in model.symmetry.parameters.items()}
    model.symmetry = Symmetry(axes, model.symmetry.sizes)
    with pytest.raises(gradscope.UsageError, match="LSTM declares a symmetry of its units that it does not have"):
        permute_units(model, seed=0)


def test_sizes_of_inputs_and_outputs_are_the_models():
    model = Own(4, 5)
    model.symmetry = Symmetry(model.symmetry.parameters, {"hidden": 5})
    with pytest.raises(gradscope.UsageError, match="input=None, but the model has 4 of them"):
        permute_units(model, seed=0)


def test_dropout_is_refused_before_its_noise_is_taken_for_a_wrong_declaration():
    model = Own(4, 5)
    model.drop = nn.Dropout(0.5)
    with pytest.raises(gradscope.Unmeasurable, match="dropout in training mode"):
        permute_units(model, seed=0)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 3, 1), (4, 1, 2)])
@pytest.mark.parametrize(("name", "options"), [(name, options) for name, options in ALL if "heads" not in options])
def test_a_single_unit_or_input_stays(name, options, sizes):
    model = built(name, options, sizes)
    permuted = permute_units(model, seed=0)
    x = inputs(input_size=sizes[0])
    with torch.no_grad():
        expected, found = model(x)[..., permuted.outputs], permuted.model(x[..., permuted.inputs])
    assert torch.allclose(found, expected, rtol=0, atol=1e-13)


def test_single_precision():
    model = small("gru", num_layers=2, dtype=torch.float32)
    permuted = permute_units(model, seed=0)
    x = inputs(dtype=torch.float32)
    assert torch.allclose(permuted.model(x[..., permuted.inputs]), model(x)[..., permuted.outputs], atol=1e-6)


def test_examples():
    assert doctest.testmod(module).failed == 0
