"""The checked configuration of one run of ``gradscope sensitivity``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradscope.errors import UsageError
from gradscope.running.configuration import RunConfiguration, read_settings
from gradscope.running.settings import SENSITIVITY

LONGEST_SCALAR, LONGEST_MODEL = 100_000, 10_000
TIME_CONSTANTS = 10  # steps that auto takes, in units of 1/(1 − λ)
DEPTH_STEPS = 512  # that auto takes for deep networks; the paper's


@dataclass(frozen=True, kw_only=True)
class SensitivityConfiguration(RunConfiguration):
    """Every option of ``gradscope sensitivity`` with its value.

    Attributes:
        lambda_: Moduli, ascending.
        length: 0 for auto.
        second: Whether E|d²h/dω²|² is measured.
        landscape: Whether the loss surface around ``teacher`` is drawn.
        hessian: Whether the curvature around ``teacher`` is measured.
        depth: Blocks of the deep networks; None for no deep network.
        most_steps: That there are; a plan sets it where the data have fewer than auto would take.
    """

    command = "sensitivity"
    match: str = "hidden"
    checkpoint: Path | None = None
    max_memory: float = math.inf
    every_step: bool = False
    lambda_: tuple[float, ...]
    length: int
    samples: int
    parametrization: tuple[str, ...]
    normalization: tuple[str, ...]
    gamma: str
    second: bool
    landscape: bool
    hessian: bool
    teacher: float
    depth: int | None
    block: str
    most_steps: int = LONGEST_SCALAR

    @property
    def longest(self) -> int:
        """The longest sequence that a model reads."""
        return max(self.lengths(LONGEST_MODEL))

    def lengths(self, longest: int) -> tuple[int, ...]:
        """Steps for each λ: as given, or ten time constants up to a limit."""
        if self.length:
            return (self.length,) * len(self.lambda_)
        longest = min(longest, self.most_steps)
        return tuple(min(longest, math.ceil(TIME_CONSTANTS / (1 - modulus) - 1e-6)) for modulus in self.lambda_)


def sensitivity_configuration(
    given: Mapping[str, Any], *, folder: Path, prefix: str = "--"
) -> SensitivityConfiguration:
    """The configuration that options stand for; see :func:`~gradscope.running.configuration.read_settings`."""
    configuration = SensitivityConfiguration(**read_settings(SENSITIVITY, given, folder, prefix))
    configuration.check_together(prefix)
    if configuration.second and configuration.gamma == "attached":
        raise UsageError(f"{prefix}second is E|d²h/dω²|² with γ detached; leave {prefix}gamma attached out.")
    return configuration
