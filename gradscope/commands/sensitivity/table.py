"""Sensitivities as a Rich table, as Markdown and in sentences."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich.table import Table

from gradscope.commands.sensitivity.columns import SCALAR
from gradscope.measurements.stability import FAR, NO_DIAL, OK, TOO_SHORT
from gradscope.numerics.averages import NOTHING
from gradscope.running.grammar import listed, verb
from gradscope.running.layout import markdown_table, rich_table

STYLES = {"cursed": "red", "softened": "yellow", "mitigated": "green", "unknown": "yellow"}
DEVIATION = 0.5  # of exponents, worth a word
LEGEND = (
    "Exponents p of E ∝ (1−|λ|)^p, fitted where sequences are long enough; in brackets theory's limit, an "
    "architecture's with constant gates.\nCursed: p of E|dh/dω|² at most −2.5; mitigated: at least −0.5; softened: "
    "between."
)


def sensitivity_rows(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headers and one list of texts for each row of ``summary.csv``."""
    swept = summary[summary["status"] != NO_DIAL]
    first, last = swept["lambda_first"].min(), swept["lambda_last"].max()
    headers = ["architecture", "λ(ω)", "γ", "group", f"E h² at {first:g}", f"at {last:g}", "p"]
    headers += [f"E|dh/dω|² at {first:g}", f"at {last:g}", "÷ theory", "p", "verdict"]
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
        _exponent(row["state_exponent"], row["state_exponent_standard_error"], row["state_exponent_theory"]),
        _power(row["dh_domega_power_first"]),
        _power(row["dh_domega_power_last"]),
        _power(row["dh_domega_power_ratio_last"]),
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
    """What is cursed, and what mitigates it, of what the sweep can tell; then what it cannot, and why."""
    rows = summary.to_dict(orient="records")

    def named(status: str, verdict: str | None = None) -> list[str]:
        kept = (row for row in rows if row["status"] == status and verdict in (None, row["verdict"]))
        return list(dict.fromkeys(_name(row) for row in kept))

    sentences = [
        f"{listed(found)} {verb(found, one, many)} {rest}."
        for found, one, many, rest in (
            (named(OK, "cursed"), "is cursed: it grows", "are cursed: they grow", "as fast as for λ itself"),
            (named(OK, "mitigated"), "mitigates", "mitigate", "it"),
            (named(TOO_SHORT), "cannot be told, with a sequence", "cannot be told, with sequences", "too short for it"),
            (named(FAR), "is far from its limit", "are far from their limits", "at these λ, and so is theory"),
        )
        if found
    ]
    sentences += [_own_gates(row) for row in rows if row["status"] == OK and _has_own_gates(row)]
    sentences += [_without_dial(row) for row in rows if row["status"] == NO_DIAL]
    return sentences or ["Nothing was measured over two or more values of λ, so no exponent could be fitted."]


def _has_own_gates(row: dict[Any, Any]) -> bool:
    return bool(row["arch"] != SCALAR and abs(row["exponent"] - row["exponent_theory"]) > DEVIATION)


def _own_gates(row: dict[Any, Any]) -> str:
    return (
        f"{_name(row)} deviates from its law with constant gates: p = {row['exponent']:+.2f} "
        f"where that has {row['exponent_theory']:+g}."
    )


def _without_dial(row: dict[Any, Any]) -> str:
    modulus = f"{row['lambda_last']:.3g}"
    return f"{row['arch']} has no memory dial: measured at initialisation, where its median |λ| is {modulus}."


def _name(row: dict[Any, Any]) -> str:
    if row["arch"] != SCALAR:
        return f"{row['arch']} ({row['group']})"
    return f"{row['parametrization']} with γ={row['normalization']}"
