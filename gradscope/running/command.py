"""What a command that measures consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradscope.homes import load
from gradscope.running.configuration import RunConfiguration
from gradscope.running.setting import Setting, read_settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.table import Table

    from gradscope.running.plan import Plan

    Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Report:
    """How the tables of a run are shown to people; every function takes all of them.

    Attributes:
        tables: Rich tables, with or without deviations over seeds.
        markdown: The same as Markdown.
        findings: What they say, in sentences.
        shown: Names of the tables behind them.
    """

    tables: Callable[[Frames, bool], list[Table]]
    markdown: Callable[[Frames], str]
    findings: Callable[[Frames], list[str]]
    shown: tuple[str, ...] = ("summary",)


@dataclass(frozen=True, kw_only=True)
class MeasuringCommand:
    """A command that measures architectures; what needs torch or pandas is named, and loaded when it is used.

    Attributes:
        name: As it is typed.
        help: What ``--help`` says, before the options.
        epilog: What it says after them.
        options: In the order of the help.
        configuration: What the options stand for.
        columns: Table to its columns, for the files and for who reads them.
        required: Tables without which a run cannot be read.
        later_columns: Table to the columns that files of an earlier version lack; they read nan.
        plan: Home of the function from a configuration to its cells.
        report: Home of the function from a configuration to its :class:`Report`.
        pictures: Home of the function from the tables to figures by name.
    """

    name: str
    help: str
    epilog: str
    options: Mapping[str, Setting]
    configuration: type[RunConfiguration]
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    plan: str
    report: str
    pictures: str = field(repr=False)
    later_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def configure(self, given: Mapping[str, Any], *, folder: Path, prefix: str = "--") -> RunConfiguration:
        """The configuration that options stand for; see :func:`~gradscope.running.setting.read_settings`."""
        configuration = self.configuration(**read_settings(self.options, given, folder, prefix))
        configuration.check_together(prefix)
        return configuration

    def plan_of(self, configuration: RunConfiguration) -> Plan:
        """The cells of a run."""
        plan: Plan = load(self.plan)(configuration)
        return plan

    def report_of(self, configuration: RunConfiguration) -> Report:
        """How its tables are shown."""
        report: Report = load(self.report)(configuration)
        return report

    def pictures_of(self, tables: Frames) -> dict[str, Figure]:
        """Figures by name."""
        pictures: dict[str, Figure] = load(self.pictures)(tables)
        return pictures
