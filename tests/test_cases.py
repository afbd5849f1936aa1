"""Cases from gradscope.toml and pyproject.toml: what is read, and what is said of a mistake."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.commands.check.case_file import STARTER, read_cases
from gradscope.commands.check.cases import cases_of
from gradscope.commands.files.command import read_toml
from gradscope.errors import UsageError

SAMPLES = Path(__file__).parent.parent / "sample_configs"


def read(folder, text, name="gradscope.toml"):
    (folder / name).write_text(text, encoding="utf-8")
    return read_cases(folder).cases


def test_a_bare_case_is_small_and_gates_gradients_slope_and_weights(tmp_path):
    (case,) = read(tmp_path, '[[case]]\narch = "lstm"\n')
    assert (case.name, case.lengths, case.gate) == ("lstm", (10, 50, 200), ("gradients", "slope", "weights"))
    assert (case.model.hidden_size, case.input.input_size, case.input.batch, case.seed_numbers) == (
        32,
        16,
        8,
        (0, 1, 2, 3, 4),
    )
    assert case.tolerance is None
    assert case.input.choice.label == "white"
    assert not case.architecture.is_own


def test_what_stands_above_the_cases_holds_for_all_of_them_unless_a_case_says_otherwise(tmp_path):
    first, second = read(
        tmp_path,
        'lengths = [5, 7]\nhidden_size = 3\ntolerance = 0.5\n[[case]]\narch = "rnn"\n'
        '[[case]]\narch = "gru"\nhidden-size = 4\nlengths = "20"\ntolerance = 0.02\nname = "wide"\n',
    )
    assert (first.lengths, first.model.hidden_size, first.tolerance) == ((5, 7), 3, 0.5)
    assert (second.name, second.lengths, second.model.hidden_size, second.tolerance) == ("wide", (20,), 4, 0.02)


def test_several_architectures_are_one_case_each(tmp_path):
    cases = read(tmp_path, '[[case]]\narch = ["lstm:forget_bias=1", "sc-lstm-p:L=5|9"]\n')
    assert [case.name for case in cases] == ["lstm:forget_bias=1", "sc-lstm-p:L=5", "sc-lstm-p:L=9"]
    assert dict(cases[2].architecture.options) == {"L": 9}
    named = read(tmp_path, '[[case]]\nname = "mine"\narch = "lstm,gru"\n')
    assert [case.name for case in named] == ["mine/lstm", "mine/gru"]
    assert [case.name for case in read(tmp_path, '[[case]]\narch = "all"\n')] == list(ARCHITECTURES)


def test_namesakes_are_told_apart_by_the_settings_in_which_they_differ(tmp_path):
    text = '[[case]]\narch = "lstm,rnn"\n[[case]]\narch = "lstm"\nhidden-size = 64\nlengths = "100"\n'
    assert [case.name for case in read(tmp_path, text)] == ["lstm/h32/T10,50,200", "rnn", "lstm/h64/T100"]


def test_the_gate_keeps_one_order(tmp_path):
    (case,) = read(tmp_path, '[[case]]\narch = "lru"\ngate = ["radius", "gradients", "exponent"]\n')
    assert case.gate == ("gradients", "exponent", "radius")


def test_the_input_size_is_what_the_input_fixes(tmp_path):
    (case,) = read(tmp_path, '[[case]]\narch = "rnn"\ninput = "adding"\n')
    assert case.input.input_size == 2


def test_cases_can_stand_in_the_project_file(tmp_path):
    text = '[project]\nname = "x"\n[tool.gradscope]\nseeds = 2\n[[tool.gradscope.case]]\narch = "gru"\n'
    (case,) = read(tmp_path, text, "pyproject.toml")
    assert (case.name, case.seeds) == ("gru", 2)
    (chosen,) = read_cases(tmp_path, Path("pyproject.toml")).cases
    assert chosen == case


def test_a_file_of_its_own_comes_before_the_project_file(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[[tool.gradscope.case]]\narch = "gru"\n')
    (case,) = read(tmp_path, '[[case]]\narch = "rnn"\n')
    assert case.name == "rnn"


def test_a_class_of_ones_own_is_found_from_the_files_folder(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine.py").write_text("")
    (case,) = read(tmp_path, '[[case]]\narch = "cells/mine.py:Cell:bias=1"\n')
    assert case.architecture.is_own
    assert case.architecture.own_file == tmp_path / "cells" / "mine.py"
    assert (case.name, case.reference) == ("mine.py:Cell:bias=1", "cells/mine.py:Cell")


def test_a_table_of_a_case_gives_the_case_again(tmp_path):
    (tmp_path / "mine.py").write_text("")
    text = (
        '[[case]]\narch = "lstm:forget_bias=0.25, linear-rnn:init=orthogonal, mine.py:Cell:gain=1.50"\n'
        'lengths = "3,9"\ngate = "radius"\nhidden-size = 5\nnum-layers = 2\ninput = "ar1:rho=0.5"\nbatch = 3\n'
        'loss = "mean"\nseeds = 2\nseed = 7\n'
    )
    for case in read(tmp_path, text):
        (again,) = cases_of({"case": [case.as_table()]}, tmp_path / "gradscope.toml", tmp_path)
        for key in ("name", "lengths", "gate", "input", "loss", "seeds", "seed"):
            assert getattr(again, key) == getattr(case, key)
        assert (again.reference, again.architecture.options) == (case.reference, case.architecture.options)
        assert replace(again.model, architecture=case.architecture) == case.model


def test_the_starter_file_says_the_defaults(tmp_path):
    above = STARTER.partition("\n[[case]]")[0]
    assert len(tomllib.loads(above)) > 5
    bare, spoken = (read(tmp_path, f"{table}\n[[case]]\narch = 'gru'\n") for table in ("", above))
    assert bare == spoken


def test_the_starter_file_runs_as_it_is(tmp_path):
    assert [case.name for case in read(tmp_path, STARTER)] == ["lstm:forget_bias=1", "gru", "lru"]
    (tmp_path / "my_cell.py").write_text("")
    every_line = STARTER.replace("# [[case]]", "[[case]]").replace("# name", "name").replace("# arch", "arch")
    every_line = every_line.replace("# gate", "gate").replace("# tolerance", "tolerance").replace("# num-", "num-")
    assert [case.name for case in read(tmp_path, every_line)] == ["lstm:forget_bias=1", "gru", "lru", "my cell"]


def test_the_sample_file_can_be_read():
    names = [case.name for case in read_cases(SAMPLES).cases]
    assert names == ["lstm:forget_bias=1", "gru", "lru", "my cell", "two layers, correlated input"]


def test_cases_are_read_without_torch(tmp_path):
    (tmp_path / "gradscope.toml").write_text(STARTER)
    code = (
        "import sys, pathlib; from gradscope.commands.check.case_file import read_cases; "
        "read_cases(pathlib.Path.cwd()); "
    )
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"gradscope\.toml has no case; write \[\[case\]\] and below it arch = \"lstm\"\."),
        ("seeds = 3", "has no case"),
        ('case = "lstm"', r"case should be a list of tables, each below a heading \[\[case\]\]"),
        ('[case]\narch = "rnn"', "case should be a list of tables"),
        ('hiden-size = 3\n[[case]]\narch = "rnn"', r"no key in .*gradscope\.toml called 'hiden-size'.*'hidden-size'"),
        ('[[case]]\narch = "rnn"\ntolerence = 1', r"case 1: There is no key of a case called 'tolerence'.*'tolerance'"),
        ('[[case]]\nname = "a"', r"case 1: arch is missing; write arch = \"lstm\""),
        ('[[case]]\narch = "rnn"\n[[case]]\narch = "lsmt"', r"case 2: .*architecture called 'lsmt'.*'lstm'"),
        ('[[case]]\narch = "rnn"\nhidden-size = 0', "case 1: hidden-size should be at least 1"),
        ('hidden-size = 0\n[[case]]\narch = "rnn"', "case 1: hidden-size should be at least 1"),
        ('[[case]]\narch = "rnn"\nhidden-size = 3\nhidden_size = 3', "hidden_size is given twice"),
        ('[[case]]\narch = "rnn"\ngate = "slop"', r"no quantity to gate called 'slop'. Did you mean 'slope'"),
        ('[[case]]\narch = "rnn"\ntolerance = 0', "tolerance should be a number above 0"),
        ('[[case]]\narch = "rnn"\nlengths = "9,5"', "lengths should ascend"),
        ('[[case]]\narch = "rnn"\nname = ""', "name should be a text on one line, but '' was given"),
        ('[[case]]\narch = "rnn"\nname = "a\\nb"', "name should be a text on one line"),
        ('[[case]]\narch = "rnn"\nname = 3', "name should be a text on one line, but 3 was given"),
        ('name = "a"\n[[case]]\narch = "rnn"', r"name is a case's own; write it below \[\[case\]\], not above"),
        ('[[case]]\narch = "rnn"\ninput = "adding"\ninput-size = 5', "'adding' has 2 features, but input size 5"),
        ('[[case]]\narch = "rnn"\nseed = 4294967295', "go beyond the largest seed"),
        ('[[case]]\narch = "nowhere.py:Cell"', r"case 1: There is no file .*nowhere\.py; paths start from "),
        ('[[case]]\narch = "rnn"\n[[case]]\narch = "rnn"', r'2 cases are called "rnn"; give each a name = "…"'),
        ('[[case]]\narch="rnn"\nname="a"\n[[case]]\narch="gru"\nname="a"', '2 cases are called "a"'),
        ("[[case]", "is not valid TOML"),
    ],
)
def test_a_mistake_is_told_with_its_case_and_what_to_do(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path) in str(caught.value)


def test_without_a_file_one_is_offered(tmp_path):
    with pytest.raises(UsageError, match=r"no gradscope\.toml in .*gradscope check --init writes a file to start from"):
        read_cases(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    with pytest.raises(UsageError, match=r"no gradscope\.toml in "):
        read_cases(tmp_path)
    with pytest.raises(UsageError, match=r"pyproject\.toml has no table \[tool\.gradscope\]"):
        read_cases(tmp_path, Path("pyproject.toml"))
    with pytest.raises(UsageError, match=r"There is no file .*other\.toml"):
        read_cases(tmp_path, Path("other.toml"))


def test_gradscope_run_names_the_command_for_cases():
    with pytest.raises(UsageError, match=r"holds cases of a regression check; .* gradscope check --cases"):
        read_toml(SAMPLES / "gradscope.toml")
