"""What the fixture ``gradient_baseline`` does: measure a model of a test, compare it with the baseline of its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from gradscope.errors import GradscopeError
from gradscope.regression.accept import accept
from gradscope.regression.baseline import Baseline, candidate_of
from gradscope.regression.baseline_file import MissingBaseline, read_baseline
from gradscope.regression.compare import compare_cases
from gradscope.regression.environment import environment_stamp
from gradscope.regression.measure import measure_model
from gradscope.regression.numbers import CaseNumbers

FOLDER = "gradscope-baselines"
UPDATE = "write it with pytest --gradscope-update"
WRITTEN, VERDICT = "gradscope_written", "gradscope_verdict"


class GradientBaseline:
    """Baselines of one test.

    They lie in ``gradscope-baselines/NAME_OF_THE_TEST_FILE.json`` beside it, under the names of its tests.

    Args:
        test_file: Where the test stands.
        test: Its name in the file, with its parameters.
        update: Write what differs instead of failing.
        update_missing: Write what there is no baseline of instead of failing.
        fail: Fails the test with a sentence.
        tell: Takes a property of the test, for JUnit files and the summary.
    """

    def __init__(
        self,
        *,
        test_file: Path,
        test: str,
        update: bool,
        update_missing: bool,
        fail: Callable[[str], object],
        tell: Callable[[str, str], None],
    ) -> None:
        self.path = test_file.parent / FOLDER / f"{test_file.stem}.json"
        self._test, self._update, self._update_missing = test, update, update_missing
        self._fail, self._tell = fail, tell
        self._checked: set[str] = set()

    def check(
        self,
        model: nn.Module | Callable[[int], nn.Module],
        *,
        name: str = "",
        tolerance: float | None = None,
        lengths: str | Sequence[int] = "10,50,200",
        seeds: int | Sequence[int] = 5,
        gate: str | Sequence[str] = "gradients,slope,weights",
        input_size: int | None = None,
        input: str = "white",  # noqa: A002 - the name of the option
        batch: int = 8,
        loss: str = "last",
    ) -> None:
        """Fails the test where the gradients of a model are not those of the baseline.

        Args:
            model: A module, or a function from a seed to one, which torch's seeded generator may draw.
            name: Tells several checks of one test apart.
            tolerance: In decades; never below 0.01, nor below ten times the measured rounding noise.
            lengths: Sequence lengths, ascending.
            seeds: How many, from 0 on, or which.
            gate: Which quantities: gradients, slope, weights, exponent, radius, sensitivity.
            input_size: Features of the input; what the module says by default.
            input: Kind of the input.
            batch: Sequences of each seed.
            loss: The loss.

        Cost:
            Two measurements for each seed, the second one for the noise; 0.1 to 1 s for small models.
        """
        case = f"{self._test} {name}".strip()
        if case in self._checked:
            self._fail(f"{case} was checked already in this test; tell the checks apart with name=….")
        self._checked.add(case)
        try:
            numbers = measure_model(
                model,
                name=case,
                lengths=lengths,
                seeds=seeds,
                gate=gate,
                input_size=input_size,
                input=input,
                batch=batch,
                loss=loss,
            )
            problem = self._problem(numbers, tolerance)
        except GradscopeError as error:
            problem = str(error).replace("gradscope baseline record", "pytest --gradscope-update")
        if problem:
            self._fail(problem)

    def _problem(self, numbers: CaseNumbers, tolerance: float | None) -> str:
        """Why the test fails; empty where it does not."""
        base = self._baseline()
        if self._update or (self._update_missing and numbers.name not in base.cases):
            return self._write(numbers)
        if numbers.name not in base.cases:
            return f"{numbers.name}: {self.path} does not have it; write it with pytest --gradscope-update-missing."
        (verdict,) = compare_cases(
            base.cases,
            [numbers],
            environment=environment_stamp(),
            tolerances={numbers.name: tolerance},
            base_name=str(self.path),
            advice=UPDATE,
        )
        self._tell(VERDICT, verdict.sentence)
        if verdict.outcome == "ok" or (verdict.outcome == "noisy" and verdict.was_compared):
            return ""
        meant = " If that is meant: pytest --gradscope-update." if verdict.outcome == "changed" else ""
        return verdict.sentence + meant

    def _baseline(self) -> Baseline:
        try:
            return read_baseline(self.path)
        except MissingBaseline:
            return Baseline()

    def _write(self, numbers: CaseNumbers) -> str:
        candidate = candidate_of((numbers,), environment_stamp())
        taken = accept(self.path, candidate, None, reason="pytest --gradscope-update", force=True)
        if taken.change is not None:
            self._tell(WRITTEN, str(self.path))
        return ""
