"""Every architecture against its equation in ``tests/equations.py``, and against the initial values of its paper.

Outputs, states, the gradients of outputs and the number of parameters, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor

from gradscope.architectures.build import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.contract.combinators import Parallel
from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.sequence import SequenceModel
from gradscope.contract.state import State
from gradscope.errors import UsageError
from tests.equations import EQUATIONS, Options, Weights

BATCH, LENGTH, INPUT, HIDDEN = 2, 7, 5, 3
EXACT = {"rtol": 1e-12, "atol": 1e-13}

CASES = [(name, options) for name, equation in EQUATIONS.items() for options in ({}, *equation.variants)]


def by(cases: list[tuple[str, Options]]) -> pytest.MarkDecorator:
    ids = [" ".join([name, *(f"{k}={v}" for k, v in options.items())]) for name, options in cases]
    return pytest.mark.parametrize(("name", "options"), cases, ids=ids)


def make(name: str, input_size: int = INPUT, hidden_size: int = HIDDEN, **more: object) -> Model:
    return build(name, input_size=input_size, hidden_size=hidden_size, seed=3, dtype=torch.float64, **more)


def inputs(input_size: int = INPUT) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(BATCH, LENGTH, input_size, dtype=torch.float64, generator=generator)


def weights(model: Model) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def recurrences(model: Model) -> dict[str, Recurrence]:
    """The model's recurrences by what stands before the names of their blocks; none of a model without a state."""
    if isinstance(model, Parallel):
        return {f"{name}.": branch for name, branch in model.branches.items()}
    return {"": model} if isinstance(model, Recurrence) else {}


def zeros(model: Model) -> State:
    """s_0."""
    kinds = {True: torch.complex128, False: torch.float64}
    return {
        prefix + block.name: torch.zeros(BATCH, *block.shape, dtype=kinds[block.is_complex])
        for prefix, recurrence in recurrences(model).items()
        for block in recurrence.state_spec
    }


def expected(name: str, options: Options, model: Model, x: Tensor, w: Weights | None = None) -> dict[str, Tensor]:
    """What the equation has for inputs ``(batch, time, input)``, time first."""
    return EQUATIONS[name].unrolled(weights(model) if w is None else w, x.transpose(0, 1), zeros(model), **options)


def states_of_steps(model: Recurrence, x: Tensor) -> State:
    """States of a plain loop over ``step``, ``(time, batch, *)``."""
    u, s, history = model.prepare(x), model.initial_state(len(x)), []
    for index in range(x.shape[1]):
        s = model.step(s, {n: v[:, index] for n, v in u.items()}, torch.tensor(index + 1))
        history.append(s)
    return {block.name: torch.stack([s[block.name] for s in history]) for block in model.state_spec}


@by(CASES)
def test_moduli_of_the_memory_dial(name: str, options: Options) -> None:
    model, x, moduli = make(name, **options), inputs(), EQUATIONS[name].moduli
    assert model.has_memory_dial == (moduli is not None)
    if moduli is None:
        return
    model.set_memory(0.7)
    after = expected(name, options, model, x)
    before = {key: torch.cat([s_0[None], after[key][:-1]]) for key, s_0 in zeros(model).items()}
    found = moduli(weights(model), x.transpose(0, 1), before).flatten()
    torch.testing.assert_close(model.memory_moduli(x).sort().values, found.sort().values, rtol=1e-10, atol=0.0)


def test_every_architecture_has_its_equation() -> None:
    """Finds the forgotten line: an entry of the catalogue without one in ``tests/equations.py``."""
    assert [name for name in ARCHITECTURES if name not in EQUATIONS] == []
    assert [name for name in EQUATIONS if name not in ARCHITECTURES] == []


@by(CASES)
def test_outputs_follow_the_equations(name: str, options: Options) -> None:
    model, x = make(name, **options), inputs()
    torch.testing.assert_close(model(x).transpose(0, 1), expected(name, options, model, x)["y"], **EXACT)


@by(CASES)
def test_states_and_nodes_follow_the_equations(name: str, options: Options) -> None:
    model, x = make(name, **options), inputs()
    theirs, found = expected(name, options, model, x), {}
    for prefix, recurrence in recurrences(model).items():
        found |= {prefix + block: value for block, value in states_of_steps(recurrence, x).items()}
    if isinstance(model, SequenceModel):
        found = {node: value.transpose(0, 1) for node, value in model.forward_with_nodes(x)[1].items()}
    assert {*found, "y"} == set(theirs)
    for block, value in found.items():
        torch.testing.assert_close(value, theirs[block], **EXACT)


@by(CASES)
def test_run_goes_on_from_any_state_as_the_steps_do(name: str, options: Options) -> None:
    model, x, start = make(name, **options), inputs(), 2
    theirs = expected(name, options, model, x)
    rest = x[:, start:].transpose(0, 1).contiguous()
    for prefix, recurrence in recurrences(model).items():
        before = {block.name: theirs[prefix + block.name][start - 1] for block in recurrence.state_spec}
        with torch.no_grad():
            found = recurrence.run(rest, recurrence.prepare(rest), before, start)
        for block, value in found.items():
            torch.testing.assert_close(value, theirs[prefix + block][start:], **EXACT)


@by(CASES)
def test_gradients_of_the_outputs_follow_the_equations(name: str, options: Options) -> None:
    model, x = make(name, **options), inputs().requires_grad_()
    leaves = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}
    target = inputs(model.output_size)
    ours = torch.autograd.grad(((model(x) - target) ** 2).sum(), [x, *model.parameters()])
    y = expected(name, options, model, x, leaves)["y"].transpose(0, 1)
    theirs = torch.autograd.grad(((y - target) ** 2).sum(), [x, *leaves.values()])
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)


class Read(Mapping[str, Tensor]):
    """Parameters that remember which of them were read."""

    def __init__(self, values: Weights) -> None:
        self.values_, self.read = values, set[str]()

    def __getitem__(self, name: str) -> Tensor:
        value = self.values_[name]
        self.read.add(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


@by(CASES)
@pytest.mark.parametrize(("input_size", "hidden_size"), [(5, 3), (4, 6), (3, 3)])
def test_parameters_are_those_that_the_equation_reads(
    name: str, options: Options, input_size: int, hidden_size: int
) -> None:
    """Their shapes are held by its products; a second bias of an affine map is stored and does not count."""
    model = make(name, input_size, hidden_size, **options)
    w = Read(weights(model))
    expected(name, options, model, inputs(input_size), w)
    assert w.read == set(w)
    second = sum(w[bias].numel() for bias in EQUATIONS[name].second_biases)
    assert model.parameters_stored == sum(value.numel() for value in w.values())
    assert model.parameters_counted == model.parameters_stored - second


def test_sc_lstm_differs_from_an_lstm_from_the_second_anchor_on() -> None:
    with_shortcut, without, x = make("sc-lstm-i", L=3), make("sc-lstm-i", L=3, alpha=0.0), inputs()
    differs = (with_shortcut(x) != without(x)).any(dim=-1).all(dim=0)
    assert differs.tolist() == [False] * 3 + [True] * 4


def test_sc_lstm_p_learns_alpha_and_sc_lstm_i_keeps_it_out_of_a_checkpoint() -> None:
    learned, fixed = make("sc-lstm-p"), make("sc-lstm-i")
    assert learned.get_parameter("alpha").item() == 1.0
    assert set(learned.state_dict()) - set(fixed.state_dict()) == {"alpha"}


def test_lru_adds_the_input_where_widths_agree() -> None:
    model, x = make("lru", input_size=HIDDEN), inputs(HIDDEN)
    assert "D" in weights(model)
    torch.testing.assert_close(model(x).transpose(0, 1), expected("lru", {}, model, x)["y"], **EXACT)


def test_lru_starts_uniform_on_the_area_of_its_ring() -> None:
    w = weights(make("lru", hidden_size=2000, r_min=0.6, r_max=0.9, max_phase=math.pi / 2))
    squared, phase = torch.exp(-2 * torch.exp(w["nu_log"])), torch.exp(w["theta_log"])
    for value, low, high in ((squared, 0.36, 0.81), (phase, 0.0, math.pi / 2)):
        assert low <= value.min() <= value.max() <= high
        assert value.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert value.var().item() == pytest.approx((high - low) ** 2 / 12, rel=0.1)


def test_chrono_spreads_memories_over_one_to_its_longest() -> None:
    hidden, longest = 1000, 50
    w = weights(make("lstm", hidden_size=hidden, chrono=longest))
    memory = torch.exp((w["bias_ih_l0"] + w["bias_hh_l0"])[hidden : 2 * hidden])  # uniform in 1 … longest − 1
    assert 1 <= memory.min() < 1.5
    assert longest - 1.5 < memory.max() <= longest - 1
    assert memory.mean().item() == pytest.approx(longest / 2, rel=0.05)


def test_chrono_refuses_a_memory_of_one_step() -> None:
    with pytest.raises(UsageError, match=r"lstm: chrono=1 should be the longest memory in steps, at least 2, or 0"):
        make("lstm", chrono=1)


@pytest.mark.parametrize("radius", [0.9, 1.0, 1.1])
def test_orthogonal_linear_rnn_has_every_singular_value_at_its_radius(radius: float) -> None:
    A = weights(make("linear-rnn", init="orthogonal", radius=radius))["A"]
    torch.testing.assert_close(A @ A.T, radius**2 * torch.eye(HIDDEN, dtype=torch.float64), **EXACT)


def test_ginibre_linear_rnn_fills_the_disk_of_its_radius() -> None:
    moduli = torch.linalg.eigvals(weights(make("linear-rnn", hidden_size=200, radius=0.8))["A"]).abs()
    assert moduli.max().item() == pytest.approx(0.8, rel=0.1)
    assert moduli.square().mean().item() == pytest.approx(0.32, rel=0.1)  # half the squared radius, over a disk


@pytest.mark.parametrize("name", ["min-gru", "deltanet"])
def test_maps_of_the_input_start_as_torchs_linear_does(name: str) -> None:
    for value in weights(make(name, input_size=100, hidden_size=60)).values():
        assert value.abs().max() <= 0.1
        assert value.numel() < 50 or value.abs().max() > 0.09


def test_b_of_the_linear_rnn_keeps_the_variance_of_white_inputs() -> None:
    B = weights(make("linear-rnn", input_size=100, hidden_size=60))["B"]
    assert B.square().sum(dim=1).mean().item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(("hidden_size", "layers", "given", "heads"), [(6, 2, 2, 2), (6, 1, 0, 3), (7, 2, 0, 1)])
def test_transformer_follows_the_equations(hidden_size: int, layers: int, given: int, heads: int) -> None:
    model, x = make("transformer", hidden_size=hidden_size, num_layers=layers, heads=given), inputs()
    assert isinstance(model, SequenceModel)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # away from GPT-2's small weights, at which attention is nearly uniform
        for p in model.parameters():
            p.copy_(0.5 * torch.randn(p.shape, dtype=p.dtype, generator=generator))
    y, nodes = model.forward_with_nodes(x)
    theirs = expected("transformer", {"heads": heads}, model, x)
    torch.testing.assert_close(y.transpose(0, 1), theirs.pop("y"), **EXACT)
    assert tuple(nodes) == model.components == tuple(theirs)
    for found, stream in zip(nodes.values(), theirs.values(), strict=True):
        torch.testing.assert_close(found.transpose(0, 1), stream, **EXACT)


def test_transformer_starts_as_gpt_2_does() -> None:
    layers = 3
    w = weights(make("transformer", hidden_size=120, num_layers=layers))
    for key in (f"layers.{index}" for index in range(layers)):
        for name, std in (("qkv", 0.02), ("1", 0.02), ("o", 0.02 / math.sqrt(6)), ("2", 0.02 / math.sqrt(6))):
            assert w[f"{key}.weight_{name}"].std().item() == pytest.approx(std, rel=0.03)
            assert not w[f"{key}.bias_{name}"].any()


def test_transformer_foresees_memory_that_grows_with_the_square_of_the_length() -> None:
    model = make("transformer", hidden_size=4)
    assert isinstance(model, SequenceModel)
    one_copy_of_the_scores = 8 * 4 * BATCH * 1000**2
    assert model.working_bytes(BATCH, 1000) > 3 * one_copy_of_the_scores
    assert model.working_bytes(BATCH, 20_000) / model.working_bytes(BATCH, 10_000) == pytest.approx(4, rel=0.05)
