"""What can be written for lengths, architectures, inputs and single values, and what is refused with which words."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.commands.check.case_file import STARTER
from gradscope.commands.compare.command import COMMAND
from gradscope.commands.compare.options import OPTIONS, CompareConfiguration
from gradscope.commands.files.command import read_toml
from gradscope.commands.sensitivity.options import OPTIONS as OF_SENSITIVITY
from gradscope.errors import UnknownName, UsageError
from gradscope.inputs.catalogue import INPUTS
from gradscope.inputs.make import make_inputs
from gradscope.running.architecture_choice import FAMILIES, parse_architectures
from gradscope.running.input_choice import parse_input
from gradscope.running.lengths import parse_lengths
from gradscope.running.options import DTYPES

HERE = Path()


def configure(**given: Any) -> CompareConfiguration:
    return COMMAND.configure(given, folder=HERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10,100,1000", (10, 100, 1000)),
        ("10..1000", (10, 20, 50, 100, 200, 500, 1000)),
        ("30..700", (30, 50, 100, 200, 500, 700)),
        ("2..5", (2, 5)),
        ("10..1000:3", (10, 100, 1000)),
        ("2..5:4", (2, 3, 4, 5)),
        ("4, 10..50 ,1_000", (4, 10, 20, 50, 1000)),
        ("100000", (100000,)),
    ],
)
def test_lengths_expand(text: str, expected: tuple[int, ...]) -> None:
    assert parse_lengths("--lengths", text) == expected


@pytest.mark.parametrize("text", ["10..1000:12", "2..20:12", "2..13:12", "10..100000:12"])
def test_log_spaced_lengths_are_different_whole_numbers_with_both_ends(text: str) -> None:
    lengths = parse_lengths("--lengths", text)
    first, last = (int(end) for end in text.removesuffix(":12").split(".."))
    assert len(set(lengths)) == 12
    assert list(lengths) == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (first, last)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"--lengths cannot be read from '': write 10,100,1000 or a range"),
        ("ten", r"cannot be read from 'ten'"),
        ("10,,20", r"cannot be read from '10,,20'"),
        ("10.5", r"cannot be read from '10\.5'"),
        ("-10", r"cannot be read from '-10'"),
        ("10...20", r"cannot be read"),
        ("10..", r"cannot be read"),
        ("0", r"at least 2 steps, but 0 was given"),
        ("1,10", r"at least 2 steps, but 1 was given"),
        ("1..10", r"at least 2 steps, but 1 was given"),
        ("100..10", r"should ascend, but the range 100\.\.10 goes from 100 to 10"),
        ("10..10", r"should ascend"),
        ("100,10", r"should ascend, but 10 comes after 100"),
        ("10,10", r"each length once, but 10 is repeated"),
        ("10..100,100", r"each length once, but 100 is repeated"),
        ("10..12:9", r"cannot hold 9 different whole numbers"),
        ("10..100:1", r"at least 2 lengths in a range"),
        ("999999999999", r"at most 100000000 steps"),
    ],
)
def test_lengths_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_lengths("--lengths", text)


def labels(text: str) -> list[str]:
    return [choice.label for choice in parse_architectures(text, HERE)]


def test_an_architecture_carries_its_options_in_its_label() -> None:
    (choice,) = parse_architectures("lstm:forget_bias=1.0", HERE)
    assert (choice.name, dict(choice.options), choice.label) == ("lstm", {"forget_bias": 1.0}, "lstm:forget_bias=1")


def test_sweeps_of_options_multiply() -> None:
    assert labels("lru:r_min=0|0.5:r_max=0.9|0.99") == [
        "lru:r_min=0:r_max=0.9",
        "lru:r_min=0:r_max=0.99",
        "lru:r_min=0.5:r_max=0.9",
        "lru:r_min=0.5:r_max=0.99",
    ]


def test_a_label_replaces_all_but_what_is_swept() -> None:
    assert labels("lstm:forget_bias=1:label=open") == ["open"]
    assert labels("sc-lstm-p:L=10|20:label=skip") == ["skip:L=10", "skip:L=20"]


def test_groups_stand_for_their_members() -> None:
    assert labels("all") == list(ARCHITECTURES)
    for family in FAMILIES:
        assert labels(family) == [name for name, spec in ARCHITECTURES.items() if spec.family == family]


def test_a_class_of_ones_own_is_found_from_the_folder_and_shown_short() -> None:
    (choice,) = parse_architectures("cells/mine.py:Cell:gain=2", Path("/project"))
    assert choice.name == "/project/cells/mine.py:Cell"
    assert choice.label == "mine.py:Cell:gain=2"
    assert dict(choice.options) == {"gain": "2"}  # typed later, by the class's own signature
    assert labels("torch.nn:LSTM") == ["torch.nn:LSTM"]
    assert dict(parse_architectures("torch.nn:LSTM:at=encoder.layers.0", HERE)[0].options) == {"at": "encoder.layers.0"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("lstn", UnknownName, r"no architecture called 'lstn'\. Did you mean 'lstm'\?"),
        ("lstm:forget_bais=1", UnknownName, r"option of lstm called 'forget_bais'\. Did you mean 'forget_bias'\?"),
        ("lstm:forget_bias=big", UsageError, r"option forget_bias=big should be a number"),
        ("rnn:nonlinearity=tan", UsageError, r"nonlinearity=tan should be tanh or relu"),
        ("lstm:forget_bias", UsageError, r"lstm: 'forget_bias' should be an option with a value, option=value"),
        ("lstm:=1", UsageError, r"'=1' should be an option with a value"),
        ("lstm:chrono=2:chrono=4", UsageError, r"chrono is given twice; a sweep is written chrono=A\|B"),
        ("lstm,lstm", UsageError, r"'lstm' names two rows"),
        ("lstm:label=rnn,rnn", UsageError, r"'rnn' names two rows"),
        ("lstm,,rnn", UsageError, r"An architecture is missing in 'lstm,,rnn'"),
        ("", UsageError, r"An architecture is missing"),
        ("dense:alpha=1", UsageError, r"group 'dense' takes no options"),
        ("mine.py", UsageError, r"'mine\.py' needs the name of a class after it: mine\.py:ClassName"),
        ("mine.py:gain=2", UsageError, r"'mine\.py' needs the name of a class"),
        ("lstm:label=a|b", UsageError, r"label takes one name"),
    ],
)
def test_architectures_that_cannot_be(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_architectures(text, HERE)


def test_inputs_and_their_options() -> None:
    assert parse_input("white").options == ()
    assert parse_input("ar1:rho=0.5").label == "ar1:rho=0.5"


@pytest.mark.parametrize("text", [OPTIONS["input"].help, OF_SENSITIVITY["input"].help, STARTER, make_inputs.__doc__])
@pytest.mark.parametrize("kind", INPUTS)
def test_texts_about_inputs_name_every_kind(text: str, kind: str) -> None:
    assert re.search(rf"(?<![\w-]){kind}(?![\w-])", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("whit", r"no input kind called 'whit'\. Did you mean 'white'\?"),
        ("ar1:rh=1", r"option of ar1 called 'rh'\. Did you mean 'rho'\?"),
        ("ar1:rho", r"'rho' should be an option with a value"),
        ("ar1:rho=5", r"option rho=5 should be at most 1"),
        ("white:rho=1", r"white has no options, but rho=1 was given"),
        ("ar1:rho=0.1:rho=0.2", r"rho is given twice"),
    ],
)
def test_inputs_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_input(text)


def test_the_configuration_has_every_setting_and_no_other() -> None:
    assert {field.name for field in fields(CompareConfiguration)} == set(OPTIONS)


def test_dtypes_are_those_that_can_be_measured() -> None:
    assert all(getattr(torch, name).is_floating_point for name in DTYPES)


def test_defaults() -> None:
    configuration = configure()
    assert [choice.label for choice in configuration.arch] == ["rnn", "lstm", "lru"]
    assert configuration.lengths == (10, 20, 50, 100, 200, 500, 1000)
    assert (configuration.hidden_size, configuration.batch, configuration.num_layers) == (64, 16, 1)
    assert configuration.seed_numbers == (0, 1, 2)
    assert configuration.chosen_input.kind == "white"
    assert configuration.out is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_size": "-3"}, r"--hidden-size should be at least 1, but -3 was given"),
        ({"hidden_size": "0"}, r"--hidden-size should be at least 1"),
        ({"hidden_size": "many"}, r"--hidden-size should be a whole number, but 'many' was given"),
        ({"batch": "1.5"}, r"--batch should be a whole number, but '1\.5'"),
        ({"batch": "1e999"}, r"--batch should be a whole number"),
        ({"input_size": "0"}, r"--input-size should be at least 1"),
        ({"num_layers": "0"}, r"--num-layers should be at least 1"),
        ({"seeds": "0"}, r"--seeds should be at least 1"),
        ({"seed": "-1"}, r"--seed should be at least 0"),
        ({"seed": "4294967296"}, r"--seed should be at most 4294967295"),
        ({"seed": "4294967295", "seeds": "2"}, r"go beyond the largest seed"),
        ({"threads": "0"}, r"--threads should be at least 1"),
        ({"clip_norm": "0"}, r"--clip-norm should be a number above 0"),
        ({"max_memory": "nan"}, r"--max-memory should be a number above 0"),
        ({"loss": "lst"}, r"no loss called 'lst'\. Did you mean 'last'\?"),
        ({"device": "cuda0"}, r"no device called 'cuda0'\. Did you mean 'cuda'\?"),
        ({"dtype": "float46"}, r"no dtype called 'float46'\. Did you mean 'float64'\?"),
        ({"format": "jsn"}, r"no format called 'jsn'\. Did you mean 'json'\?"),
        ({"match": "parameter"}, r"no match called 'parameter'\. Did you mean 'parameters'\?"),
        ({"relative_to": "rn"}, r"--relative-to in this comparison called 'rn'\. Did you mean 'rnn'\?"),
        ({"input": "white", "data": "x.csv"}, r"--input and --data were both given"),
        ({"checkpoint": "w.pt"}, r"weights of one model, but 3 architectures were given"),
        ({"resume": True}, r"say which with --out DIR"),
        ({"quiet": "yes"}, r"--quiet should be true or false"),
        ({"out": ""}, r"--out should be a name"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configure(**given)


def test_a_path_object_is_a_path_too() -> None:
    assert COMMAND.configure({"out": Path("results")}, folder=Path("/project")).out == Path("/project/results")


def written(folder: Path, text: str) -> Path:
    file = folder / "compare.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_toml_file_has_every_setting_as_a_key(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        'command = "compare"\narch = ["lstm:chrono=50", "own.py:Cell"]\nlengths = [10, "20..100"]\nhidden-size = 8\n'
        'num_layers = 2\nevery-step = true\nclip-norm = 0.5\ndata = "series.csv"\nout = "results"\n',
    )
    command, given = read_toml(file)
    configuration = COMMAND.configure(given, folder=tmp_path, prefix="")
    assert command is COMMAND
    assert configuration.lengths == (10, 20, 50, 100)
    assert configuration.arch[1].name == f"{tmp_path / 'own.py'}:Cell"
    assert (configuration.hidden_size, configuration.num_layers, configuration.clip_norm) == (8, 2, 0.5)
    assert (configuration.data, configuration.out) == (tmp_path / "series.csv", tmp_path / "results")
    assert configuration.every_step


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('command = "comapre"', r"no command in .*compare\.toml called 'comapre'\. Did you mean 'compare'\?"),
        ("command = 3", r"no command in .* called '3'"),
        ("hiden-size = 3", r"no key in .*called 'hiden-size'\. Did you mean 'hidden-size'\?"),
        ("hidden-size = 3\nhidden_size = 4", r"given twice"),
        ("arch = ", r"not valid TOML"),
    ],
)
def test_toml_files_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_toml(written(tmp_path, text))


def test_toml_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*missing\.toml"):
        read_toml(tmp_path / "missing.toml")
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        read_toml(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'arch = "\xe9"')
    with pytest.raises(UsageError, match=r"no text in UTF-8"):
        read_toml(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_size": True}, r"^hidden-size should be a whole number, but 'True' was given"),
        ({"arch": []}, r"^arch should be a text or an array"),
        ({"arch": [1.5]}, r"^arch should be a text or an array"),
        ({"lengths": [100, 10]}, r"^lengths should ascend"),
        ({"loss": 3}, r"^loss should be last or mean or last-probe, but '3' was given"),
        ({"quiet": 1}, r"^quiet should be true or false"),
    ],
)
def test_toml_values_of_another_kind(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        COMMAND.configure(given, folder=HERE, prefix="")


def test_the_plain_form_of_a_configuration_has_expanded_lengths_and_no_paths() -> None:
    plain = configure(out="results", lengths="10..50", input="ar1:rho=0.5", arch="rnn").as_plain()
    assert plain["lengths"] == [10, 20, 50]
    assert plain["input"] == "ar1:rho=0.5"
    assert plain["arch"] == [{"name": "rnn", "options": {}, "label": "rnn"}]
    assert plain["out"] == "results"
