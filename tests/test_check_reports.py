"""Reports of a check: valid in their format whatever a case is called, and cut where their place ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gradscope.commands.check.compare_case import compare_cases
from gradscope.commands.check.measured_case import FailedCase
from gradscope.commands.check.report import (
    MOST_ANNOTATIONS,
    SUMMARY_BYTES,
    append_summary,
    error_commands,
    print_verdicts,
    verdict_json,
    verdict_junit,
)
from gradscope.commands.check.report_tables import (
    COMMENT_BYTES,
    MARKER,
    VERDICT_COLUMNS,
    cut,
    verdict_markdown,
    verdict_rows,
    verdict_sentences,
)
from gradscope.commands.check.verdict import CaseVerdict
from gradscope.running.console import Messages
from tests.synthetic_cases import ENVIRONMENT, PROFILE, SLOPE, STEPS, case, entry, moved

BACK = np.array([-0.2 if step < 190 else 0.0 for step in STEPS])
Captured = pytest.CaptureFixture[str]


def one_of_each() -> tuple[CaseVerdict, ...]:
    """ok, changed, noisy, failed, missing, incomparable."""
    noisy = case("noisy", noise=2.0)
    base = {"ok": entry(case("ok")), "changed": entry(case("changed")), "noisy": entry(noisy)}
    base["other"] = entry(case("other", stream_hash="x"))
    new = [
        case("ok"),
        moved(case("changed"), {PROFILE: BACK}, weights_hash="others"),
        noisy,
        FailedCase("failed", "50 % of it\nwent wrong."),
        case("missing"),
        case("other"),
    ]
    return compare_cases(base, new, environment=ENVIRONMENT)


def many(count: int, name: str = "case") -> tuple[CaseVerdict, ...]:
    """Changed cases."""
    names = [f"{name}{i}" for i in range(count)]
    base = {n: entry(case(n, seeds=1)) for n in names}
    new = [moved(case(n, seeds=1), {PROFILE: BACK}) for n in names]
    return compare_cases(base, new, environment=ENVIRONMENT)


class TestRows:
    def test_a_row_says_all_of_a_change(self) -> None:
        row = next(row for row in verdict_rows(one_of_each()) if row[0] == "changed")
        assert dict(zip(VERDICT_COLUMNS, row, strict=True)) == {
            "case": "changed",
            "verdict": "changed",
            "change": "vanishing more",
            "decades": "-0.2",
            "where": "log10‖∂L/∂h_1‖ at T=200",
            "from step": "188",
            "seeds": "5 of 5",
            "tolerance": "0.01",
            "noise": "3e-15",
            "cause": "initialisation",
        }

    def test_the_worst_news_first(self) -> None:
        assert [row[0] for row in verdict_rows(one_of_each())] == [
            "failed",
            "changed",
            "other",
            "missing",
            "noisy",
            "ok",
        ]

    def test_sentences(self) -> None:
        lines = verdict_sentences(one_of_each(), "b.json").splitlines()
        assert lines[-1] == "6 cases against b.json: 1 failed, 1 changed, 1 incomparable, 1 missing, 1 noisy, 1 ok."
        assert not any(line.startswith("ok:") for line in lines)


class TestJson:
    def test_strict_with_everything_and_the_exit_code(self) -> None:
        zero = moved(case("zero"), {SLOPE: -np.inf})
        verdicts = (*one_of_each(), *compare_cases({"zero": entry(case("zero"))}, [zero], environment=ENVIRONMENT))
        text = verdict_json(verdicts, "b.json")
        found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        assert (found["exit_code"], found["against"], found["counts"]["ok"]) == (4, "b.json", 1)
        by_name = {one["name"]: one for one in found["cases"]}
        assert by_name["zero"]["decisive"]["shift_decades"] == "-inf"
        assert len(by_name["changed"]["statistics"]) == 3
        assert by_name["changed"]["cause"] == "initialisation"
        assert by_name["missing"]["decisive"] is None

    def test_its_keys_are_a_format(self) -> None:
        (verdict,) = json.loads(verdict_json(many(1), "b.json"))["cases"]
        assert list(verdict) == [
            "name",
            "outcome",
            "sentence",
            "kind",
            "cause",
            "decisive",
            "statistics",
            "environment",
            "note",
        ]
        (found,) = (one for one in verdict["statistics"] if one["outcome"] == "changed")
        assert found == verdict["decisive"]
        assert found == {
            "name": "T=200 log10_norm h",
            "outcome": "changed",
            "tier": "tight",
            "shift_decades": pytest.approx(-0.2),
            "median_decades": pytest.approx(-0.2),
            "seed": 0,
            "step": 1,
            "from_step": 188,
            "to_step": 1,
            "is_contiguous": True,
            "seeds_beyond": 1,
            "is_mixed": False,
            "seeds": 1,
            "travel_decades": pytest.approx(-0.2),
            "tolerance_decades": 0.01,
            "noise_decades": 3e-15,
        }


class TestJunit:
    def test_one_testcase_a_case(self) -> None:
        (suite,) = ElementTree.fromstring(verdict_junit(one_of_each()))
        assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": "6",
            "failures": "1",
            "errors": "3",
            "skipped": "1",
        }
        kinds = {test.get("name"): [child.tag for child in test] for test in suite}
        assert kinds["ok"] == ["system-out"]
        assert kinds["changed"] == ["failure", "system-out"]
        assert kinds["noisy"] == ["skipped", "system-out"]
        assert kinds["failed"] == kinds["missing"] == kinds["other"] == ["error", "system-out"]
        out = suite.find("testcase[@name='changed']/system-out")
        assert out is not None
        assert json.loads(out.text or "")["decisive"]["shift_decades"] == pytest.approx(-0.2)

    def test_what_xml_does_not_allow(self) -> None:
        odd = 'a<b>&"\x00\x1b\ufffe'
        (suite,) = ElementTree.fromstring(verdict_junit((CaseVerdict(odd, "failed", f"{odd}: no"),)))
        assert suite[0].get("name") == 'a<b>&"���'


class TestMarkdown:
    def test_a_marker_a_table_and_the_sentences(self) -> None:
        lines = verdict_markdown(one_of_each(), "b.json").splitlines()
        assert lines[0] == MARKER
        assert lines[1].startswith("### gradscope check against b.json: 1 failed, 1 changed")
        rows = [line for line in lines if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(VERDICT_COLUMNS) + 1}
        assert len(rows) == 2 + 5
        assert lines[-1] == "ok: ok"

    def test_names_are_no_markup(self) -> None:
        odd = CaseVerdict("a|b`c`<!--*x*\n[y](z)", "failed", "a|b\nno")
        row = next(line for line in verdict_markdown((odd,), "b").splitlines() if line.startswith("| a"))
        assert row.startswith(r"| a\|b\`c\`&lt;!--\*x\*<br>\[y\](z) | failed |")

    def test_it_fits_a_comment(self) -> None:
        text = verdict_markdown(many(400, "fäll"), "b.json")
        assert len(text.encode()) <= COMMENT_BYTES
        assert len(text) < 65536
        assert "Cut here" in text.splitlines()[-1]
        assert text.startswith(MARKER)

    @pytest.mark.parametrize("limit", range(110, 140))
    def test_it_is_cut_at_the_end_of_a_line_in_bytes(self, limit: int) -> None:
        text = "\n".join(["ä" * 9] * 40)
        found = cut(text, limit)
        assert len(found.encode()) <= limit
        kept = found.split("\n\n_Cut here")[0]
        assert set(kept.split("\n")) <= {"ä" * 9, ""}
        assert cut("short", limit) == "short"


class TestGithub:
    def test_annotations(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
        lines = error_commands(one_of_each(), tmp_path / "a,b" / "gradscope.toml")
        assert len(lines) == 4  # neither what is ok nor what is noisy
        assert lines[0] == (
            "::error file=a%2Cb/gradscope.toml,title=gradscope%3A failed failed::failed: it could not be measured: "
            "50 %25 of it%0Awent wrong."
        )
        assert lines[1].startswith(
            "::error file=a%2Cb/gradscope.toml,title=gradscope%3A changed changed::changed: grad"
        )
        assert error_commands(one_of_each(), None)[0].startswith("::error title=")

    @pytest.mark.parametrize("count", [0, 1, 10, 11, 200])
    def test_at_most_ten(self, count: int) -> None:
        lines = error_commands(many(count), None)
        assert len(lines) == min(count, MOST_ANNOTATIONS)
        assert all(line.startswith("::error ") and "\n" not in line for line in lines)
        if count > MOST_ANNOTATIONS:
            assert f"{count - 9} more cases are not ok" in lines[-1]

    def test_the_summary_is_appended_and_stays_below_its_limit(self, tmp_path: Path) -> None:
        summary = tmp_path / "summary.md"
        summary.write_text("before\n", encoding="utf-8")
        assert append_summary(one_of_each(), "b.json", summary)
        text = summary.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{MARKER}")
        assert "| changed | changed |" in text
        verdicts = many(30, "ä" * 20_000)
        assert append_summary(verdicts, "b.json", summary)
        assert 0.9 * SUMMARY_BYTES < summary.stat().st_size <= SUMMARY_BYTES
        assert sum(append_summary(verdicts, "b.json", summary) for _ in range(50)) < 50
        assert summary.stat().st_size <= SUMMARY_BYTES
        assert "Cut here" in summary.read_text(encoding="utf-8")

    def test_on_stdout_and_in_the_summary(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
    ) -> None:
        self.printed(monkeypatch, str(tmp_path / "summary.md"))
        out = capsys.readouterr().out
        assert out.startswith("::error ")
        assert "vanishing more" in out
        assert (tmp_path / "summary.md").is_file()

    def test_without_a_summary_or_with_one_that_cannot_be_written(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
    ) -> None:
        self.printed(monkeypatch, "")
        assert capsys.readouterr().err == ""
        self.printed(monkeypatch, str(tmp_path))
        said = capsys.readouterr()
        assert "could not be written" in said.err
        assert said.out.startswith("::error ")

    @staticmethod
    def printed(monkeypatch: pytest.MonkeyPatch, summary: str) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", summary)
        print_verdicts(one_of_each(), "github", "b.json", None, Messages(quiet=False))


@pytest.mark.parametrize("format_", ["table", "markdown", "github", "junit", "json"])
@pytest.mark.parametrize("verdicts", [(), one_of_each()], ids=["none", "one of each"])
def test_every_format_takes_everything(
    format_: str, verdicts: Any, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    print_verdicts(verdicts, format_, "b.json", None, Messages(quiet=False))
    assert capsys.readouterr().out
