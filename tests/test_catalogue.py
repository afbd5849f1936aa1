"""What must hold of every entry of the catalogue; a new entry is tested by being there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import Tensor

import gradscope.architectures
from gradscope.architectures.build import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.spec import Family
from gradscope.contract.combinators import Stack
from gradscope.contract.model import Model
from gradscope.contract.option import Option
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.sequence import SequenceModel
from gradscope.errors import UnknownName, UsageError

BATCH, LENGTH, INPUT, HIDDEN = 2, 7, 5, 3

every_name = pytest.mark.parametrize("name", ARCHITECTURES)
every_depth = pytest.mark.parametrize("num_layers", [1, 2])
OPTIONS = [(name, option) for name, spec in ARCHITECTURES.items() for option in spec.options]
every_option = pytest.mark.parametrize(("name", "option"), OPTIONS, ids=[f"{n}:{o.name}" for n, o in OPTIONS])


def make(name: str, hidden_size: int = HIDDEN, dtype: torch.dtype = torch.float64, **more: object) -> Model:
    return build(name, input_size=INPUT, hidden_size=hidden_size, dtype=dtype, **more)


def inputs(length: int = LENGTH) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, length, INPUT, dtype=torch.float64, generator=generator)


@every_name
@every_depth
def test_runs_and_differentiates_at_odd_sizes(name: str, num_layers: int) -> None:
    model, x = make(name, num_layers=num_layers), inputs().requires_grad_()
    y = model(x)
    assert y.shape == (BATCH, LENGTH, model.output_size)
    weighting = torch.arange(1.0, model.output_size + 1, dtype=y.dtype)  # a plain sum of LayerNorm's output is constant
    gradients = torch.autograd.grad((y * weighting).sum(), [x, *model.parameters()])
    assert all(torch.isfinite(g).all() for g in gradients)
    assert gradients[0].abs().amin(dim=-1).amax(dim=-1).all()
    assert model.input_size == INPUT


@every_name
@every_depth
def test_is_causal_and_a_prefix_of_the_input_gives_a_prefix_of_the_output(name: str, num_layers: int) -> None:
    model, x = make(name, num_layers=num_layers), inputs()
    y = model(x)
    torch.testing.assert_close(model(x[:, :4]), y[:, :4], rtol=1e-12, atol=1e-13)
    changed = x.clone()
    changed[:, 4] += 1
    after = model(changed)
    torch.testing.assert_close(after[:, :4], y[:, :4], rtol=1e-12, atol=1e-13)
    assert (after[:, 4:] != y[:, 4:]).flatten(1).any(dim=1).all()


@every_name
def test_samples_of_a_batch_do_not_see_each_other(name: str) -> None:
    model, x = make(name), inputs()
    torch.testing.assert_close(model(x[1:]), model(x)[1:], rtol=1e-12, atol=1e-13)


@every_name
def test_seed_alone_decides_the_weights(name: str) -> None:
    double, again, other = make(name), make(name), make(name, seed=1)
    single = make(name, dtype=torch.float32)
    for key, value in double.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
        assert torch.equal(value.float(), single.state_dict()[key])
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in double.state_dict().items())
    assert single(inputs().float()).dtype == torch.float32


@every_name
def test_building_leaves_global_random_numbers_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    make(name)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_name
@every_depth
def test_state_size_is_the_one_in_the_catalogue(name: str, num_layers: int) -> None:
    """Written as a number, an option's name or neither before H, and a power behind it."""
    spec = ARCHITECTURES[name]
    factor, units, power = re.fullmatch(r"(\d+|\w+(?=H)|)(H?)(²?)", spec.state_size).groups()
    defaults = {option.name: option.default for option in spec.options}
    size = defaults[factor] if factor in defaults else int(factor or 1)
    size *= (HIDDEN if units else 1) ** (2 if power else 1)
    model = make(name, num_layers=num_layers)
    assert model.state_size == num_layers * size
    assert bool(model.state_size) == (not isinstance(model, SequenceModel))


@every_name
@every_depth
def test_declarations_fit_the_model(name: str, num_layers: int) -> None:
    model = make(name, num_layers=num_layers)
    assert model.components
    assert len(set(model.components)) == len(model.components)
    assert model.primary_component == model.components[0]
    parameters = dict(model.named_parameters())
    if not isinstance(model, SequenceModel):
        recurrent = gradscope.linearize(model, inputs()).recurrent_parameters
        assert recurrent
        assert set(recurrent) <= set(parameters)
    assert model.reference_lag == isinstance(model, SequenceModel)


@every_name
def test_layers_stack_unless_the_entry_makes_the_whole_model(name: str) -> None:
    model = make(name, num_layers=2)
    assert isinstance(model, Stack) != ARCHITECTURES[name].whole
    if isinstance(model, Stack):
        x = inputs()
        torch.testing.assert_close(model(x), model.layers[1](model.layers[0](x)), rtol=0, atol=0)
        assert all(component.endswith(("_l0", "_l1")) for component in model.components)


@every_name
def test_recurrences_repeat_their_form_after_a_period(name: str) -> None:
    model = make(name)
    recurrences = [module for module in model.modules() if isinstance(module, Recurrence)]
    assert bool(recurrences) == (not isinstance(model, SequenceModel))
    for recurrence in recurrences:
        u = {key: value[:, 0] for key, value in recurrence.prepare(inputs()).items()}
        s = {key: value + 1 for key, value in recurrence.initial_state(BATCH).items()}
        for t in range(1, recurrence.period + 1):
            first, later = (recurrence.step(s, u, torch.tensor(t + shift)) for shift in (0, recurrence.period))
            assert all(torch.equal(first[key], later[key]) for key in first)


@every_name
def test_constructor_and_catalogue_agree_on_options(name: str) -> None:
    spec = ARCHITECTURES[name]
    parameters = inspect.signature(spec.load()).parameters
    given_by_build = {"input_size", "hidden_size", "initializer", "num_layers" if spec.whole else "layer"}
    given_by_build |= {"bias"}  # a module of torch's may lack it
    assert set(parameters) - given_by_build == {option.name for option in spec.options}
    for option in spec.options:
        assert parameters[option.name].default == option.default
        assert type(parameters[option.name].default) is type(option.default)


@every_option
def test_default_of_an_option_is_one_of_its_values(name: str, option: Option) -> None:
    assert option.parse(name, option.default) == option.default
    assert option.help


@every_option
def test_every_choice_of_an_option_makes_a_model_that_runs(name: str, option: Option) -> None:
    for choice in option.choices:
        assert torch.isfinite(make(name, **{option.name: choice})(inputs())).all()


@every_option
def test_option_refuses_what_it_cannot_take(name: str, option: Option) -> None:
    expected = "a number" if isinstance(option.default, float) else "a whole number"
    expected = " or ".join(option.choices) or expected
    with pytest.raises(UsageError, match=rf"^{name}: option {option.name}=many should be {expected}\.$"):
        make(name, **{option.name: "many"})
    if option.minimum is not None:
        below = option.minimum - 1
        with pytest.raises(UsageError, match=rf"option {option.name}=.* should be at least {option.minimum:g}\.$"):
            make(name, **{option.name: int(below)})
    if option.maximum is not None:
        with pytest.raises(UsageError, match=rf"option {option.name}=.* should be at most {option.maximum:g}\.$"):
            make(name, **{option.name: option.maximum + 1})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "2.5", ""])
def test_a_whole_number_is_finite_and_whole(value: str) -> None:
    with pytest.raises(UsageError, match=r"^rrn: option depth=.* should be a whole number\.$"):
        make("rrn", depth=value)


def test_a_flag_reads_yes_and_no() -> None:
    flag = Option("biased", False, "whether there is a bias")
    words = ("true", "1", "Yes", "false", "0", "no")
    assert [flag.parse("some", word) for word in words] == [True] * 3 + [False] * 3
    with pytest.raises(UsageError, match=r"^some: option biased=maybe should be true or false\.$"):
        flag.parse("some", "maybe")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"There is no architecture called 'lstn'\. Did you mean 'lstm'\?"):
        make("lstn")
    with pytest.raises(
        UnknownName, match=r"no option of rrn called 'dept'\. Did you mean 'depth'\? Known: depth, inner"
    ):
        make("rrn", dept=3)
    with pytest.raises(UsageError, match=r"^gru has no options, but depth=3 was given\.$"):
        make("gru", depth=3)


@pytest.mark.parametrize("size", ["input_size", "hidden_size", "num_layers"])
def test_sizes_below_one_are_refused(size: str) -> None:
    sizes = {"input_size": INPUT, "hidden_size": HIDDEN, "num_layers": 1, size: 0}
    with pytest.raises(UsageError, match=rf"^{size} should be at least 1, but 0 was given\.$"):
        build("rnn", **sizes)


@every_name
def test_entry_says_what_a_reader_needs(name: str) -> None:
    spec = ARCHITECTURES[name]
    assert spec.family in get_args(Family)
    assert spec.home.startswith(f"gradscope.architectures.{spec.family.replace('-', '_')}.")
    assert all((spec.equation, spec.paper, spec.gradient_path))
    assert "\n" not in spec.equation
    assert any(year in spec.paper for year in map(str, range(1990, 2031)))


def test_every_family_has_a_member() -> None:
    assert {spec.family for spec in ARCHITECTURES.values()} == set(get_args(Family))


@every_name
def test_entry_says_what_the_memory_dial_turns(name: str) -> None:
    assert bool(ARCHITECTURES[name].memory_dial) == make(name).has_memory_dial


def test_every_model_class_is_in_the_catalogue() -> None:
    """Finds the forgotten line: a class that is neither an entry nor the base of one."""
    classes: set[type[Model]] = set()
    for module in pkgutil.walk_packages(gradscope.architectures.__path__, "gradscope.architectures."):
        found = vars(importlib.import_module(module.name)).values()
        classes |= {c for c in found if inspect.isclass(c) and issubclass(c, Model) and c.__module__ == module.name}
    listed = {spec.load() for spec in ARCHITECTURES.values()}
    forgotten = {c for c in classes - listed if not any(issubclass(entry, c) for entry in listed)}
    assert not forgotten
    assert listed <= classes


def test_reading_the_catalogue_imports_no_torch() -> None:
    code = (
        "import sys, gradscope.architectures.catalogue as c;"
        "assert len(c.ARCHITECTURES) > 10;"
        "print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib', 'typer') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
