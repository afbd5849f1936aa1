"""The rows of ``gradscope spectrum``: one for each architecture, over its seeds, as texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradscope.measurements.stability import SIGNIFICANT, Stability, radius_stability, stability
from gradscope.measurements.verdict import counted_verdicts, verdict_of
from gradscope.numerics.averages import NOTHING, finite_mean, middle

SHORT = 30  # steps below which nothing is said about a long run
MISLEADING = 1.5  # times as fast as the radius says
Array = NDArray[np.float64]


@dataclass(frozen=True)
class SpectrumRows:
    """A table of texts.

    Attributes:
        headers: Names of the columns.
        rows: One list of cells a row.
        verdicts: The verdict of each row.
        remarks: Label and what misleads or failed there, one sentence without its full stop.
    """

    headers: list[str]
    rows: list[list[str]]
    verdicts: list[str]
    remarks: list[tuple[str, str]]


@dataclass(frozen=True)
class LargestExponent:
    """Λ_1 over the seeds.

    Attributes:
        nats_per_step: Mean over the seeds.
        standard_error: Of that mean, from the scatter of the seeds and the seeds' own errors, the larger of the two.
        verdict: That of the seeds; mixed where they differ.
        counts: How many seeds have which, where they differ.
    """

    nats_per_step: float
    standard_error: float
    verdict: Stability
    counts: str = ""


def largest_exponent(mine: pd.DataFrame) -> LargestExponent:
    """The largest Lyapunov exponent of one architecture."""
    values = _numbers(mine, "lyapunov_max_nats_per_step")
    errors = np.nan_to_num(_numbers(mine, "lyapunov_max_standard_error"))
    known = ~np.isnan(values)
    if not known.any():
        return LargestExponent(math.nan, math.nan, "unknown")
    values, errors = values[known], errors[known]
    mean = float(values.mean())
    own = float(np.sqrt((errors**2).sum()) / len(errors))
    scatter = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 and np.isfinite(mean) else 0.0
    error, length = max(own, scatter), int(mine["length"].iloc[0])
    verdicts = [stability(float(value), float(error), length) for value, error in zip(values, errors, strict=True)]
    if len(set(verdicts)) == 1:
        return LargestExponent(mean, error, verdicts[0])
    return LargestExponent(mean, error, "mixed", counted_verdicts(verdicts))


def misleading(mine: pd.DataFrame) -> str:
    """In which way the one-step spectral radius says something else than the long run; empty where it does not.

    It does where the verdict would be another, or where both contract and the radius promises a memory half as long
    again as the exponent gives, or longer.
    """
    radius, found = finite_mean(_numbers(mine, "spectral_radius")), largest_exponent(mine)
    if math.isnan(radius) or found.verdict in ("unknown", "mixed") or int(mine["length"].iloc[0]) < SHORT:
        return ""
    said = radius_stability(radius, int(mine["length"].iloc[0]))
    if said != found.verdict:
        growth = f"×{math.exp(found.nats_per_step):.4g} a step"
        return f"a one-step radius of {radius:.4g} says {said}, the long run says {found.verdict} ({growth})"
    if found.nats_per_step == -math.inf:
        return f"a one-step radius of {radius:.4g} promises a memory, the long run keeps nothing" if radius > 0 else ""
    if found.verdict == "contracting" and radius > 0 and found.nats_per_step < MISLEADING * math.log(radius):
        promised, kept = finite_mean(_numbers(mine, "longest_time_constant")), -1 / found.nats_per_step
        return (
            f"a one-step radius of {radius:.4g} promises a time constant of {promised:.3g} steps, there are {kept:.3g}"
        )
    return ""


def disagreement(mine: pd.DataFrame) -> str:
    """Why the gradient of the last output is another than Λ₁ makes it; empty where they agree.

    A perturbation along the slowest direction changes by Λ₁ a step; a gradient has to get there, and may grow on the
    way where J is not normal.
    """
    if "carried_decades" not in mine:
        return ""
    found, steps = largest_exponent(mine), int(mine["length"].iloc[0]) - 1
    carried = middle(_numbers(mine, "carried_decades"))
    if not math.isfinite(found.nats_per_step) or math.isnan(carried):
        return ""
    promised = found.nats_per_step * steps / math.log(10)
    if carried == -math.inf:
        seen = counted_verdicts(map(str, mine["gradient_verdict"]))
        return (
            f"Λ₁ alone makes {_decades(promised)} over {steps} steps, the gradient of the last output is zero ({seen})"
        )
    said, seen = verdict_of(promised), verdict_of(carried)
    if said == seen or abs(promised - carried) <= SIGNIFICANT * found.standard_error * steps / math.log(10):
        return ""
    beside = abs(carried - promised)
    way = (
        f"{beside:.1f} decades are lost before it lies in the slowest direction, in units and blocks that forget faster"
        if carried < promised
        else f"{beside:.1f} decades are gained in a transient: J is not normal, or the first steps differ"
    )
    return (
        f"Λ₁ alone makes {_decades(promised)} over {steps} steps ({said}), the gradient of the last output has "
        f"{_decades(carried)} ({seen}): {way}"
    )


def _decades(value: float) -> str:
    return f"{value:+.1f} decades".replace("-", "−")


def spectrum_rows(summary: pd.DataFrame) -> SpectrumRows:
    """The table's content from the columns of ``summary.csv``."""
    has_period = bool((summary["period"] > 1).any())
    headers = ["architecture", "state", "spectral radius", *(["per period"] if has_period else []), "σ max"]
    headers += ["exp Λ₁", "exp Λ median", "near |λ|=1", "time constant", "verdict"]
    table = SpectrumRows(headers, [], [], [])
    for label in summary["arch"].unique():
        _add_row(table, str(label), summary[summary["arch"] == label], has_period)
    return table


def _add_row(table: SpectrumRows, label: str, mine: pd.DataFrame, has_period: bool) -> None:
    cells = [label, f"{int(mine['state_size'].iloc[0]):,}", _mean(mine, "spectral_radius")]
    cells += [_mean(mine, "radius_per_period")] if has_period else []
    cells += [_mean(mine, name) for name in ("largest_singular_value", "exp_lyapunov_max", "exp_lyapunov_median")]
    cells += [_percent(mine), _steps(mine)]
    found = largest_exponent(mine)
    verdict = str(mine["verdict"].iloc[0]) if found.verdict == "unknown" else found.verdict
    troubles = sorted({str(status) for status in mine["status"]} - {"ok"})
    cells.append(_verdict_cell(found, verdict, troubles))
    table.rows.append(cells)
    table.verdicts.append(verdict)
    table.remarks.extend((label, remark) for remark in (misleading(mine), disagreement(mine)) if remark)


def _verdict_cell(found: LargestExponent, verdict: str, troubles: list[str]) -> str:
    if verdict in ("none", "unknown"):
        return ", ".join(troubles) or verdict
    exponent = f"{_signed(found.nats_per_step)} ± {found.standard_error:.2g}"
    counts = f"{found.counts}; " if found.counts else ""
    cell = f"{verdict} ({counts}Λ₁ {exponent if math.isfinite(found.nats_per_step) else '−∞'})"
    return f"{cell}, {', '.join(troubles)}" if troubles else cell


def _signed(value: float) -> str:
    return f"{value:+.4f}" if math.isfinite(value) and (abs(value) >= 1e-4 or value == 0) else f"{value:+.1e}"


def _numbers(mine: pd.DataFrame, column: str) -> Array:
    return mine[column].to_numpy(dtype=float)


def _mean(mine: pd.DataFrame, column: str) -> str:
    values = _numbers(mine, column)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return NOTHING
    text = f"{values.mean():.4g}"
    return f"{text} ± {values.std(ddof=1):.1g}" if len(values) > 1 and np.isfinite(values).all() else text


def _percent(mine: pd.DataFrame) -> str:
    share = finite_mean(_numbers(mine, "near_unit_share"))
    return NOTHING if math.isnan(share) else f"{100 * share:.3g} %"


def _steps(mine: pd.DataFrame) -> str:
    values = _numbers(mine, "longest_time_constant")
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return NOTHING
    return "∞" if np.isinf(values).any() else f"{values.mean():.3g}"
