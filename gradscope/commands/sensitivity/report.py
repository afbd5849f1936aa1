"""How a run of ``gradscope sensitivity`` is shown: the curse of memory, depth and curvature, each where measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gradscope.commands.sensitivity.depth_table import depth_findings, depth_markdown, depth_table
from gradscope.commands.sensitivity.hessian_table import hessian_findings, hessian_markdown, hessian_table
from gradscope.commands.sensitivity.options import SensitivityConfiguration
from gradscope.commands.sensitivity.table import findings, sensitivity_markdown, sensitivity_table
from gradscope.running.command import Report


def report_of(configuration: SensitivityConfiguration) -> Report:
    """Tables, Markdown and sentences of everything that was measured."""
    parts: dict[str, tuple[Any, Any, Any]] = {
        "summary": (sensitivity_table, sensitivity_markdown, findings),
        "depth": (depth_table, depth_markdown, depth_findings),
        "students": (hessian_table, hessian_markdown, hessian_findings),
    }

    def each(kind: int, tables: Mapping[str, pd.DataFrame]) -> list[Any]:
        return [functions[kind](tables[name]) for name, functions in parts.items() if len(tables[name])]

    return Report(
        tables=lambda tables, deviations: each(0, tables),
        markdown=lambda tables: "\n\n".join(each(1, tables)),
        findings=lambda tables: [sentence for sentences in each(2, tables) for sentence in sentences],
        shown=tuple(parts),
    )
