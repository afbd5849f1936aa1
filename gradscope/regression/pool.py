"""Measures many cases, in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from gradscope.config.cases import Case
from gradscope.regression.measure import measure_case
from gradscope.regression.numbers import CaseNumbers, FailedCase

Measured = CaseNumbers | FailedCase


def measure_cases(
    cases: Sequence[Case], workers: int = 1, *, finished: Callable[[str], None] = lambda name: None
) -> tuple[Measured, ...]:
    """The numbers of cases, in their order, whoever measured them.

    Args:
        cases: What to measure.
        workers: Processes, each of which measures on one thread; 1 measures in this one. Starting a process takes about
            as long as measuring twenty small cases.
        finished: Called with the name of every case when it is measured.
    """
    if min(workers, len(cases)) <= 1:
        return tuple(_reported(case, finished) for case in cases)
    found: dict[int, Measured] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(cases)), mp_context=context) as pool:
        try:
            waiting = {pool.submit(measure_case, case): index for index, case in enumerate(cases)}
            for future in as_completed(waiting):
                name = cases[waiting[future]].name
                try:
                    found[waiting[future]] = future.result()
                except BrokenProcessPool:
                    reason = "A process that measured ended before it was done; it may have run out of memory."
                    found[waiting[future]] = FailedCase(name, reason)
                finished(name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(found[index] for index in range(len(cases)))


def _reported(case: Case, finished: Callable[[str], None]) -> Measured:
    numbers = measure_case(case)
    finished(case.name)
    return numbers
