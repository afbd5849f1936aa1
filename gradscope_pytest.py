"""pytest's plug-in: the fixture ``gradient_baseline`` and its options.

A module of its own beside the package: pytest loads it in every session of an environment that has gradscope, so it
imports nothing that is not there already; torch and gradscope come when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gradscope.commands.check.in_tests import GradientBaseline

WRITTEN = "gradscope_written"  # a test's property that names the file it has changed


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options, which are also what ``git diff`` will show."""
    group = parser.getgroup("gradscope", "baselines of gradients")
    group.addoption(
        "--gradscope-update",
        action="store_true",
        help="Write the gradients of the tests that run into their baselines, where they differ.",
    )
    group.addoption(
        "--gradscope-update-missing",
        action="store_true",
        help="Write those that no baseline has yet; check the others.",
    )


@pytest.fixture
def gradient_baseline(request: pytest.FixtureRequest) -> Iterator[GradientBaseline]:
    """``gradient_baseline.check(model_or_factory, lengths=…, seeds=…)`` fails the test where gradients have changed."""
    from gradscope.commands.check.in_tests import GradientBaseline

    option = request.config.getoption
    baseline = GradientBaseline(
        test_file=request.path,
        test=request.node.nodeid.partition("::")[2],
        update=bool(option("--gradscope-update")),
        update_missing=bool(option("--gradscope-update-missing")),
        fail=lambda sentence: pytest.fail(sentence, pytrace=False),
    )
    yield baseline
    properties = [("gradscope_verdict", verdict) for verdict in baseline.verdicts]
    properties += [(WRITTEN, str(baseline.path))] if baseline.has_written else []
    request.node.user_properties += properties


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the baselines that were written."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    written = sorted({str(value) for name, value in properties if name == WRITTEN})
    if written:
        terminalreporter.section("gradscope")
        for path in written:
            terminalreporter.line(f"Wrote {path}; look at it with git diff, and commit it.")
