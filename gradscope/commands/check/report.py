"""Verdicts in the format that was asked for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import typer

from gradscope.commands.check.report_tables import verdict_markdown, verdict_sentences, verdict_table
from gradscope.commands.check.verdict import (
    OUTCOMES,
    CaseVerdict,
    Outcome,
    StatisticVerdict,
    exit_code,
    worst_first,
)
from gradscope.running.console import Messages, print_wide
from gradscope.running.plain import json_text, plain

JSON_SCHEMA = 1
_ELEMENTS: dict[Outcome, str] = {
    "changed": "failure",
    "incomparable": "error",
    "missing": "error",
    "failed": "error",
    "noisy": "skipped",
}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_ANNOTATIONS = 10  # GitHub shows no more of one step
SUMMARY_BYTES = 1024 * 1024  # a longer summary is not shown at all


def print_verdicts(
    verdicts: Sequence[CaseVerdict], format_: str, base_name: str, case_file: Path | None, messages: Messages
) -> None:
    """The report, on stdout alone; for GitHub also the job's summary."""
    if format_ == "json":
        typer.echo(verdict_json(verdicts, base_name))
    elif format_ == "junit":
        typer.echo(verdict_junit(verdicts))
    elif format_ == "markdown":
        typer.echo(verdict_markdown(verdicts, base_name))
    else:
        if format_ == "github":
            _tell_github(verdicts, base_name, case_file, messages)
        print_wide(verdict_table(verdicts))
        typer.echo(verdict_sentences(verdicts, base_name))


def verdict_json(verdicts: Sequence[CaseVerdict], base_name: str) -> str:
    """One object a case; numbers that JSON lacks are the words ``"inf"``, ``"-inf"`` and ``"nan"``."""
    document = {
        "schema": JSON_SCHEMA,
        "against": base_name,
        "exit_code": exit_code(verdicts),
        "counts": {outcome: sum(v.outcome == outcome for v in verdicts) for outcome in OUTCOMES},
        "cases": [_case_document(verdict) for verdict in verdicts],
    }
    return json_text(document)


def verdict_junit(verdicts: Sequence[CaseVerdict]) -> str:
    """One testcase a case: a failure where it changed, an error where it could not be compared, skipped where noisy.

    The numbers stand as JSON in ``system-out``.
    """
    elements = [_ELEMENTS.get(verdict.outcome, "") for verdict in verdicts]
    suite = ElementTree.Element(
        "testsuite",
        name="gradscope check",
        tests=str(len(verdicts)),
        failures=str(elements.count("failure")),
        errors=str(elements.count("error")),
        skipped=str(elements.count("skipped")),
    )
    for verdict, element in zip(verdicts, elements, strict=True):
        case = ElementTree.SubElement(suite, "testcase", classname="gradscope", name=_xml_text(verdict.name))
        if element:
            found = ElementTree.SubElement(case, element, message=_xml_text(verdict.sentence), type=verdict.outcome)
            found.text = _xml_text(verdict.sentence)
        numbers = json.dumps(plain(_case_document(verdict)), ensure_ascii=False, allow_nan=False)
        ElementTree.SubElement(case, "system-out").text = _xml_text(numbers)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode")


def error_commands(verdicts: Sequence[CaseVerdict], case_file: Path | None) -> list[str]:
    """At most ten ``::error`` commands, the worst news first; the last one counts what is left out."""
    told = [verdict for verdict in worst_first(verdicts) if verdict.outcome not in ("ok", "noisy")]
    shown = told if len(told) <= MOST_ANNOTATIONS else told[: MOST_ANNOTATIONS - 1]
    lines = [_error(f"gradscope: {verdict.name} {verdict.outcome}", verdict.sentence, case_file) for verdict in shown]
    if len(shown) < len(told):
        rest = len(told) - len(shown)
        lines.append(_error("gradscope", f"{rest} more cases are not ok; see the job's summary.", case_file))
    return lines


def append_summary(verdicts: Sequence[CaseVerdict], base_name: str, summary: Path) -> bool:
    """Appends the Markdown table to a job's summary, as far as GitHub takes it.

    Returns:
        Whether there was room for it.
    """
    used = summary.stat().st_size if summary.exists() else 0
    room = SUMMARY_BYTES - used - 2
    if room < 2000:
        return False
    with summary.open("a", encoding="utf-8", newline="\n") as file:
        file.write(verdict_markdown(verdicts, base_name, limit_bytes=room) + "\n\n")
    return True


def _case_document(verdict: CaseVerdict) -> dict[str, Any]:
    """One verdict; the keys are the format's own."""
    return {
        "name": verdict.name,
        "outcome": verdict.outcome,
        "sentence": verdict.sentence,
        "kind": verdict.kind,
        "cause": verdict.cause,
        "decisive": None if verdict.decisive is None else _statistic_document(verdict.decisive),
        "statistics": [_statistic_document(statistic) for statistic in verdict.statistics],
        "environment": list(verdict.environment),
        "note": verdict.note,
    }


def _statistic_document(statistic: StatisticVerdict) -> dict[str, Any]:
    return {
        "name": str(statistic.name),
        "outcome": statistic.outcome,
        "tier": statistic.tier,
        "shift_decades": statistic.shift_decades,
        "median_decades": statistic.median_decades,
        "seed": statistic.seed,
        "step": statistic.step,
        "from_step": statistic.from_step,
        "to_step": statistic.to_step,
        "is_contiguous": statistic.is_contiguous,
        "seeds_beyond": statistic.seeds_beyond,
        "is_mixed": statistic.is_mixed,
        "seeds": statistic.seeds,
        "travel_decades": statistic.way_back_decades,
        "tolerance_decades": statistic.tolerance_decades,
        "noise_decades": statistic.noise_decades,
    }


def _xml_text(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return _NOT_XML.sub("�", text)


def _tell_github(verdicts: Sequence[CaseVerdict], base_name: str, case_file: Path | None, messages: Messages) -> None:
    for line in error_commands(verdicts, case_file):
        typer.echo(line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            written = append_summary(verdicts, base_name, Path(summary))
        except OSError as error:
            messages.say(f"The job's summary {summary} could not be written: {error.strerror or error}.")
        else:
            if not written:
                messages.say(f"The job's summary {summary} is full.")


def _error(title: str, message: str, case_file: Path | None) -> str:
    place = f"file={_property(_relative(case_file))}," if case_file is not None else ""
    return f"::error {place}title={_property(title)}::{_data(message)}"


def _relative(path: Path) -> str:
    """From the root of the repository, where GitHub looks for files."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    return Path(os.path.relpath(path.resolve(), root)).as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
