"""Sensitivities as a Rich table, as Markdown and in sentences."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich.table import Table

from gradscope.commands.sensitivity.columns import SCALAR
from gradscope.measurements.stability import (
    EXPLODING,
    FAR,
    NO_DIAL,
    NO_POWER_LAW,
    OK,
    ONE_DRAW,
    SIGNIFICANT,
    TOO_SHORT,
    UNDECIDED,
)
from gradscope.numerics.averages import NOTHING
from gradscope.running.grammar import listed, verb
from gradscope.running.layout import markdown_table, rich_table

STYLES = {
    "cursed": "red",
    "softened": "yellow",
    "mitigated": "green",
    "unknown": "yellow",
    NO_POWER_LAW: "yellow",
    EXPLODING: "red",
}
SHORTER = 2  # times as far from 1 as the dial says, a memory is worth a word
SHORT = "*"  # behind a power of a sequence that is too short
DEVIATION = 0.5  # of exponents, worth a word
LEGEND = (
    "Exponents p of E ∝ (1−|λ|)^p, fitted where sequences are long enough (* are not); in brackets theory's limit, an "
    "architecture's with constant gates.\nCursed: p of E|dh/dω|² at most −2.5; mitigated: at least −0.5; softened: "
    "between.\nUnknown within its error: a border lies within 2 standard errors (±; an architecture's over draws of "
    "weights). No power law: local slopes, in brackets, disagree beyond their errors."
)


def sensitivity_rows(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headers and one list of texts for each row of ``summary.csv``."""
    swept = summary[summary["status"] != NO_DIAL]
    first, last = swept["lambda_first"].min(), swept["lambda_last"].max()
    headers = ["architecture", "λ(ω)", "γ", "group", f"E h² at {first:g}", f"at {last:g}", "p"]
    headers += [f"E|dh/dω|² at {first:g}", f"at {last:g}", "÷ theory", "p", "verdict"]
    return headers, [_cells(row) for row in summary.to_dict(orient="records")]


def _cells(row: dict[Any, Any]) -> list[str]:
    return [
        row["arch"],
        row["parametrization"],
        row["normalization"],
        row["group"],
        _power(row["state_power_first"]),
        _power(row["state_power_last"], row["state_long_enough_last"]),
        _exponent(row["state_exponent"], row["state_exponent_standard_error"], row["state_exponent_theory"]),
        _power(row["dh_domega_power_first"]),
        _power(row["dh_domega_power_last"], row["long_enough_last"]),
        _power(row["dh_domega_power_ratio_last"]),
        _exponent(row["exponent"], row["exponent_standard_error"], row["exponent_theory"]),
        _verdict(row),
    ]


def _verdict(row: dict[Any, Any]) -> str:
    if row["status"] == NO_POWER_LAW:
        return f"{row['verdict']} ({_slopes(row)})"
    return row["verdict"] if row["status"] == OK else f"{row['verdict']} ({row['status']})"


def _slopes(row: dict[Any, Any]) -> str:
    """Local slopes with one decimal, from small memory to large."""
    return ", ".join(f"{float(slope):+.1f}" for slope in str(row["local_slopes"]).split())


def _power(value: float, long_enough: Any = True) -> str:
    """A mean square, marked where its sequence is known to be too short."""
    return NOTHING if math.isnan(value) else f"{value:.3g}{SHORT if long_enough == False else ''}"  # noqa: E712


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
            (
                named(ONE_DRAW),
                "was measured with one draw of weights: without an error",
                "were measured with one draw of weights: without an error",
                "an exponent supports no verdict; --seeds draws more",
            ),
        )
        if found
    ]
    sentences += [_bent(row) for row in rows if row["status"] == NO_POWER_LAW]
    sentences += [_exploding(row) for row in rows if row["verdict"] == EXPLODING]
    sentences += [_undecided(row) for row in rows if row["status"] == UNDECIDED]
    sentences += [_own_gates(row) for row in rows if row["status"] in (OK, UNDECIDED) and _has_own_gates(row)]
    sentences += dict.fromkeys(_shorter_memory(row) for row in rows if _has_shorter_memory(row))
    sentences += [_without_dial(row) for row in rows if row["status"] == NO_DIAL]
    return sentences or ["Nothing was measured over two or more values of λ, so no exponent could be fitted."]


def _bent(row: dict[Any, Any]) -> str:
    return (
        f"{_name(row)} follows no power law here: from small memory to large its local slopes are {_slopes(row)}, "
        "apart beyond their errors."
    )


def _exploding(row: dict[Any, Any]) -> str:
    _, _, what = row["status"].rpartition("non-finite: ")
    return f"Of {_name(row)} the {what}: there is no exponent, and no verdict on its memory."


def _undecided(row: dict[Any, Any]) -> str:
    more = "samples (--samples)" if row["arch"] == SCALAR else "draws of weights (--seeds, --batch)"
    slopes = _slopes(row)
    local = f", with local slopes {slopes}" if "," in slopes else ""
    return (
        f"{_name(row)} cannot be told: a border of the verdicts lies within two errors of "
        f"p = {row['exponent']:+.2f} ± {row['exponent_standard_error']:.2f}{local}; more {more} would tell."
    )


def _has_own_gates(row: dict[Any, Any]) -> bool:
    error = 0.0 if math.isnan(row["exponent_standard_error"]) else row["exponent_standard_error"]
    apart = abs(row["exponent"] - row["exponent_theory"])
    return bool(row["arch"] != SCALAR and apart > max(DEVIATION, SIGNIFICANT * error))


def _own_gates(row: dict[Any, Any]) -> str:
    return (
        f"{_name(row)} deviates from its law with constant gates: p = {row['exponent']:+.2f} "
        f"where that has {row['exponent_theory']:+g}."
    )


def _has_shorter_memory(row: dict[Any, Any]) -> bool:
    lost = 1 - row["state_jacobian_radius_last"]  # NaN where the dial is no matrix's
    return bool(row["verdict"] != EXPLODING and lost > SHORTER * (1 - row["lambda_last"]))


def _shorter_memory(row: dict[Any, Any]) -> str:
    return (
        f"{row['arch']}: the dial sets the spectral radius of its recurrent matrix; that of the state Jacobian is "
        f"{row['state_jacobian_radius_last']:.2f} at λ = {row['lambda_last']:.6g}, so its memory stays shorter."
    )


def _without_dial(row: dict[Any, Any]) -> str:
    modulus = f"{row['lambda_last']:.3g}"
    return f"{row['arch']} has no memory dial: measured at initialisation, where its median |λ| is {modulus}."


def _name(row: dict[Any, Any]) -> str:
    if row["arch"] != SCALAR:
        return f"{row['arch']} ({row['group']})"
    return f"{row['parametrization']} with γ={row['normalization']}"
