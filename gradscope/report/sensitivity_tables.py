"""Sensitivities as a Rich table, as Markdown and in sentences."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich.table import Table

from gradscope.report.layout import markdown_table, rich_table
from gradscope.report.rows import NOTHING
from gradscope.report.sentences import listed, verb

STYLES = {"cursed": "red", "softened": "yellow", "mitigated": "green", "unknown": "yellow"}
NO_DIAL = "no memory dial"
LEGEND = (
    "Exponents p of E ∝ (1−|λ|)^p, fitted over the sweep; theory's limit in brackets. Cursed: p of E|dh/dω|² at most "
    "−2.5; mitigated: at least −0.5; softened: between."
)


def sensitivity_rows(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headers and one list of texts for each row of ``summary.csv``."""
    first, last = summary["lambda_first"].min(), summary["lambda_last"].max()
    headers = ["architecture", "λ(ω)", "γ", "group", f"E h² at {first:g}", f"at {last:g}", "p"]
    headers += [f"E|dh/dω|² at {first:g}", f"at {last:g}", "p", "verdict"]
    return headers, [_cells(row) for row in summary.to_dict(orient="records")]


def _cells(row: dict[Any, Any]) -> list[str]:
    verdict = row["verdict"] if row["status"] == "ok" else f"{row['verdict']} ({row['status']})"
    return [
        row["arch"],
        row["parametrization"],
        row["normalization"],
        row["group"],
        _power(row["state_power_first"]),
        _power(row["state_power_last"]),
        _exponent(row["state_exponent"], math.nan, row["state_exponent_theory"]),
        _power(row["dh_domega_power_first"]),
        _power(row["dh_domega_power_last"]),
        _exponent(row["exponent"], row["exponent_standard_error"], row["exponent_theory"]),
        verdict,
    ]


def _power(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.3g}"


def _exponent(value: float, error: float, theory: float) -> str:
    if math.isnan(value):
        return NOTHING
    text = f"{value:+.2f}" if math.isnan(error) else f"{value:+.2f} ± {error:.2f}"
    return text if math.isnan(theory) else f"{text} [{theory:+g}]"


def sensitivity_table(summary: pd.DataFrame) -> Table:
    """One row a parametrisation and normalisation of the scalar law, and one a group of an architecture."""
    headers, rows = sensitivity_rows(summary)
    last = len(headers) - 1
    verdicts = [STYLES.get(str(verdict), "") for verdict in summary["verdict"]]
    return rich_table(
        "The curse of memory: powers as |λ| approaches 1",
        headers,
        rows,
        caption=LEGEND,
        texts=(0, 1, 2, 3, last),
        style=lambda row, column: verdicts[row] if column == last else "",
    )


def sensitivity_markdown(summary: pd.DataFrame) -> str:
    """The same table as GitHub Markdown."""
    return f"{markdown_table(*sensitivity_rows(summary))}\n\n{LEGEND}"


def findings(summary: pd.DataFrame) -> list[str]:
    """What is cursed, and what mitigates it."""
    names = [_name(row) for row in summary.to_dict(orient="records")]
    by_verdict: dict[str, list[str]] = {}
    for name, verdict in zip(names, summary["verdict"], strict=True):
        by_verdict.setdefault(str(verdict), []).append(name)
    sentences = []
    for verdict, one, many in (
        ("cursed", "is cursed: its sensitivity grows", "are cursed: their sensitivities grow"),
        ("mitigated", "mitigates it", "mitigate it"),
    ):
        found = list(dict.fromkeys(by_verdict.get(verdict, [])))
        if found:
            tail = " as fast as for λ itself" if verdict == "cursed" else ""
            sentences.append(f"{listed(found)} {verb(found, one, many)}{tail}.")
    still = list(dict.fromkeys(summary["arch"][summary["status"] == NO_DIAL]))
    if still:
        sentences.append(f"{listed(still)} {verb(still, 'has', 'have')} no memory dial: measured at initialisation.")
    return sentences or ["Nothing was measured over two or more values of λ, so no exponent could be fitted."]


def _name(row: dict[Any, Any]) -> str:
    if row["arch"] != "scalar":
        return f"{row['arch']} ({row['group']})"
    return f"{row['parametrization']} with γ={row['normalization']}"
