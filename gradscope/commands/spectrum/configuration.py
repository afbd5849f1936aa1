"""The checked configuration of one run of ``gradscope spectrum``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradscope.commands.spectrum.steps import StepChoice
from gradscope.running.configuration import RunConfiguration, read_settings
from gradscope.running.settings import SPECTRUM


@dataclass(frozen=True, kw_only=True)
class SpectrumConfiguration(RunConfiguration):
    """Every option of ``gradscope spectrum`` with its value.

    Attributes:
        lyapunov: How many leading exponents of each layer; 0 for all.
        leading: How many leading eigenvalues; None for all that a dense solver can give.
    """

    command = "spectrum"
    length: int
    steps: StepChoice
    lyapunov: int
    warm_up: int
    temporal: bool
    no_products: bool
    leading: int | None

    @property
    def longest(self) -> int:
        """The one sequence."""
        return self.length

    def check_together(self, prefix: str) -> None:
        """Raises :class:`UsageError` for two options that do not fit together."""
        self.steps.of_length(self.length)
        super().check_together(prefix)


def spectrum_configuration(given: Mapping[str, Any], *, folder: Path, prefix: str = "--") -> SpectrumConfiguration:
    """The configuration that options stand for; see :func:`~gradscope.running.configuration.read_settings`."""
    configuration = SpectrumConfiguration(**read_settings(SPECTRUM, given, folder, prefix))
    configuration.check_together(prefix)
    return configuration
