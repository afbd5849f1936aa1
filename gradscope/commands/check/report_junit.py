"""Verdicts as JUnit XML, which every CI reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from gradscope.commands.check.report_json import case_document
from gradscope.commands.check.verdict import CaseVerdict, Outcome

_ELEMENTS: dict[Outcome, str] = {
    "changed": "failure",
    "incomparable": "error",
    "missing": "error",
    "failed": "error",
    "noisy": "skipped",
}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
        case = ElementTree.SubElement(suite, "testcase", classname="gradscope", name=_text(verdict.name))
        if element:
            found = ElementTree.SubElement(case, element, message=_text(verdict.sentence), type=verdict.outcome)
            found.text = _text(verdict.sentence)
        numbers = json.dumps(case_document(verdict), ensure_ascii=False, allow_nan=False)
        ElementTree.SubElement(case, "system-out").text = _text(numbers)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode")


def _text(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return _NOT_XML.sub("�", text)
