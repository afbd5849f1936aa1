"""The fixture ``gradient_baseline``, as a project that uses it would meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gradscope.commands.check import in_tests

pytest_plugins = ("pytester",)

TEST = """
    import torch

    def cell(seed):
        model = torch.nn.LSTM(4, 6)
        with torch.no_grad():
            model.bias_ih_l0[6:12] = FORGET_BIAS
        return model

    def test_my_cell(gradient_baseline):
        gradient_baseline.check(cell, lengths=[5, 20], seeds=2)
"""
BASELINE = Path("gradscope-baselines/test_it.json")
QUIET = ("-p", "no:cacheprovider", "-W", "error", "-W", "ignore:`torch.jit.script`")


@pytest.fixture(scope="module", autouse=True)
def _everything_is_loaded() -> None:
    """By this process, from which the sessions below take it: torch does not bear to be loaded twice."""
    in_tests.measure_model(torch.nn.LSTM(2, 2), name="first", lengths=[3], seeds=1)


def written(pytester: pytest.Pytester, forget_bias: float, text: str = TEST) -> None:
    pytester.makepyfile(test_it=text.replace("FORGET_BIAS", str(forget_bias)))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*QUIET, *arguments)


def test_missing_then_recorded_then_changed_then_accepted(pytester: pytest.Pytester) -> None:
    written(pytester, 1.0)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*test_my_cell: * does not have it; write it with pytest --gradscope-update-missing.*"]
    )
    assert not (pytester.path / BASELINE).exists()
    result = run(pytester, "--gradscope-update-missing")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"Wrote {pytester.path / BASELINE}; look at it with git diff, and commit it."])
    before = (pytester.path / BASELINE).read_bytes()
    run(pytester).assert_outcomes(passed=1)
    run(pytester, "--gradscope-update").assert_outcomes(passed=1)
    assert (pytester.path / BASELINE).read_bytes() == before  # what agrees stays as it is
    written(pytester, 0.9)
    for option in ((), ("--gradscope-update-missing",)):
        result = run(pytester, *option)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            ["*test_my_cell: gradients vanish more: *T=20 fell by *the initial weights differ.*--gradscope-update."]
        )
        assert (pytester.path / BASELINE).read_bytes() == before
    run(pytester, "--gradscope-update").assert_outcomes(passed=1)
    run(pytester).assert_outcomes(passed=1)
    history = json.loads((pytester.path / BASELINE).read_text())["history"]
    assert [change["cases"] for change in history] == [["test_my_cell"]] * 2
    assert history[1]["max_shift_decades"] > 0.01


def test_names_parameters_and_classes(pytester: pytest.Pytester) -> None:
    written(
        pytester,
        1.0,
        TEST
        + """
    import pytest

    class TestMore:
        @pytest.mark.parametrize("length", [5, 7])
        def test_lengths(self, gradient_baseline, length):
            gradient_baseline.check(cell, lengths=[length], seeds=1, name="one")
            gradient_baseline.check(cell, lengths=[length], seeds=1, name="two", tolerance=0.1)

    def test_without_a_seed(gradient_baseline):
        gradient_baseline.check(lambda: cell(0), lengths=[5], seeds=1)

    def test_twice(gradient_baseline):
        gradient_baseline.check(cell, lengths=[5], seeds=1)
        gradient_baseline.check(cell, lengths=[5], seeds=1)
""",
    )
    result = run(pytester, "--gradscope-update-missing")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*test_twice was checked already in this test; tell the checks apart with name=…."])
    names = json.loads((pytester.path / BASELINE).read_text())["profiles"]["cpu-f64"]["cases"]
    more = {f"TestMore::test_lengths[[]{n}] {name}".replace("[[]", "[") for n in (5, 7) for name in ("one", "two")}
    assert set(names) == {"test_my_cell", "test_twice", "test_without_a_seed"} | more


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("gradient_baseline.check(lambda seed: 3)", "*it returned int."),
        ("gradient_baseline.check(cell, gate='gradient')", "*Did you mean 'gradients'?*"),
        ("gradient_baseline.check(torch.nn.Linear(2, 2))", "*input_size*"),
    ],
)
def test_a_mistake_is_a_sentence(pytester: pytest.Pytester, body: str, message: str) -> None:
    written(pytester, 1.0, TEST + f"\n    def test_wrong(gradient_baseline):\n        {body}\n")
    result = run(pytester, "-k", "wrong")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_nan_a_damaged_file_and_another_definition(pytester: pytest.Pytester) -> None:
    written(pytester, 1.0)
    run(pytester, "--gradscope-update").assert_outcomes(passed=1)
    written(pytester, 1.0, TEST.replace("seeds=2", "seeds=3"))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*another definition stands under this name: seeds was*pytest --gradscope-update.*"])
    written(pytester, float("nan"), "    nan = float('nan')\n" + TEST)
    result = run(pytester, "--gradscope-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NaN*"])
    (pytester.path / BASELINE).write_text("{")
    written(pytester, 1.0)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*is not valid JSON*"])


def test_under_xdist_every_test_is_written_once(pytester: pytest.Pytester) -> None:
    tests = "".join(
        f"\n    def test_{index}(gradient_baseline):\n        gradient_baseline.check(cell, lengths=[5], seeds=1)\n"
        for index in range(8)
    )
    written(pytester, 1.0, TEST + tests)
    pytester.runpytest_subprocess(*QUIET, "-n", "2", "--gradscope-update").assert_outcomes(passed=9)
    run(pytester).assert_outcomes(passed=9)
    names = json.loads((pytester.path / BASELINE).read_text())["profiles"]["cpu-f64"]["cases"]
    assert set(names) == {"test_my_cell", *(f"test_{index}" for index in range(8))}


def test_the_verdict_is_in_the_junit_file(pytester: pytest.Pytester) -> None:
    written(pytester, 1.0)
    run(pytester, "--gradscope-update").assert_outcomes(passed=1)
    run(pytester, "--junitxml=found.xml").assert_outcomes(passed=1)
    assert "statistics agree" in (pytester.path / "found.xml").read_text()


def test_a_session_that_does_not_use_it_imports_neither_torch_nor_gradscope(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            assert "gradscope_pytest" in sys.modules
            assert not {"torch", "gradscope", "numpy"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess(*QUIET).assert_outcomes(passed=1)


def test_the_plug_in_alone_imports_nothing_new() -> None:
    code = "import pytest, sys; before = set(sys.modules); import gradscope_pytest; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'gradscope_pytest'}"
