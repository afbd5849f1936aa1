"""The checked configuration of one comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradscope.errors import UnknownName
from gradscope.running.configuration import RunConfiguration, read_settings
from gradscope.running.settings import COMPARE


@dataclass(frozen=True, kw_only=True)
class CompareConfiguration(RunConfiguration):
    """Every option of ``gradscope compare`` with its value."""

    command = "compare"
    lengths: tuple[int, ...]
    relative_to: str | None
    loss: str
    component: str | None
    clip_norm: float | None

    @property
    def longest(self) -> int:
        """The longest sequence."""
        return self.lengths[-1]

    def check_together(self, prefix: str) -> None:
        """Raises :class:`UsageError` for two options that do not fit together."""
        labels = [choice.label for choice in self.arch]
        if self.relative_to is not None and self.relative_to not in labels:
            raise UnknownName(f"row for {prefix}relative-to in this comparison", self.relative_to, labels)
        super().check_together(prefix)


def compare_configuration(given: Mapping[str, Any], *, folder: Path, prefix: str = "--") -> CompareConfiguration:
    """The configuration that options stand for; see :func:`~gradscope.running.configuration.read_settings`."""
    configuration = CompareConfiguration(**read_settings(COMPARE, given, folder, prefix))
    configuration.check_together(prefix)
    return configuration
