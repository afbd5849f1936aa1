"""What the fixture ``gradient_baseline`` does: measure a model of a test, compare it with the baseline of its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from torch import nn

from gradscope.commands.check.baseline import Baseline, candidate_of, environment_stamp
from gradscope.commands.check.baseline_changes import accept
from gradscope.commands.check.baseline_file import MissingBaseline, read_baseline
from gradscope.commands.check.compare_case import compare_cases
from gradscope.commands.check.measure import MeasureOptions, measure_model
from gradscope.commands.check.measured_case import MeasuredCase
from gradscope.errors import GradscopeError

FOLDER = "gradscope-baselines"
UPDATE = "write it with pytest --gradscope-update"


class GradientBaseline:
    """Baselines of one test.

    They lie in ``gradscope-baselines/NAME_OF_THE_TEST_FILE.json`` beside it, under the names of its tests.

    Args:
        test_file: Where the test stands.
        test: Its name in the file, with its parameters.
        update: Write what differs instead of failing.
        update_missing: Write what there is no baseline of instead of failing.
        fail: Fails the test with a sentence.

    Attributes:
        path: The file of the baselines.
        has_written: Whether it was changed.
        verdicts: Sentences, one for each check.
    """

    def __init__(
        self,
        *,
        test_file: Path,
        test: str,
        update: bool,
        update_missing: bool,
        fail: Callable[[str], object],
    ) -> None:
        self.path = test_file.parent / FOLDER / f"{test_file.stem}.json"
        self._test, self._update, self._update_missing = test, update, update_missing
        self._fail = fail
        self.has_written = False
        self.verdicts: list[str] = []
        self._checked: set[str] = set()

    def check(
        self,
        model: nn.Module | Callable[[int], nn.Module],
        *,
        name: str = "",
        tolerance: float | None = None,
        **options: Unpack[MeasureOptions],
    ) -> None:
        """Fails the test where the gradients of a model are not those of the baseline.

        Args:
            model: A module, or a function from a seed to one, which torch's seeded generator may draw.
            name: Tells several checks of one test apart.
            tolerance: In decades; never below 0.01, nor below ten times the measured rounding noise.
            options: ``lengths``, ``seeds``, ``gate``, ``input_size``, ``input``, ``batch`` and ``loss`` as of
                :func:`~gradscope.commands.check.measure.measure_model`.

        Cost:
            Two measurements for each seed, the second one for the noise; 0.1 to 1 s for small models.
        """
        case = f"{self._test} {name}".strip()
        if case in self._checked:
            self._fail(f"{case} was checked already in this test; tell the checks apart with name=….")
        self._checked.add(case)
        try:
            measured = measure_model(model, name=case, **options)
            problem = self._problem(measured, tolerance)
        except GradscopeError as error:
            problem = str(error).replace("gradscope baseline record", "pytest --gradscope-update")
        if problem:
            self._fail(problem)

    def _problem(self, measured: MeasuredCase, tolerance: float | None) -> str:
        """Why the test fails; empty where it does not."""
        base = self._baseline()
        if self._update or (self._update_missing and measured.name not in base.cases):
            return self._write(measured)
        if measured.name not in base.cases:
            return f"{measured.name}: {self.path} does not have it; write it with pytest --gradscope-update-missing."
        (verdict,) = compare_cases(
            base.cases,
            [measured],
            environment=environment_stamp(),
            tolerances={measured.name: tolerance},
            base_name=str(self.path),
            advice=lambda name: UPDATE,
        )
        self.verdicts.append(verdict.sentence)
        if verdict.outcome == "ok" or (verdict.outcome == "noisy" and verdict.was_compared):
            return ""
        meant = " If that is meant: pytest --gradscope-update." if verdict.outcome == "changed" else ""
        return verdict.sentence + meant

    def _baseline(self) -> Baseline:
        try:
            return read_baseline(self.path)
        except MissingBaseline:
            return Baseline()

    def _write(self, measured: MeasuredCase) -> str:
        candidate = candidate_of((measured,), environment_stamp())
        taken = accept(self.path, candidate, None, reason="pytest --gradscope-update", force=True)
        self.has_written |= taken.change is not None
        return ""
