"""The baseline's file: the same numbers come back, nothing is ever half written, and every damage has its sentence."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.commands.check.baseline import Baseline, candidate_of, checked_profile
from gradscope.commands.check.baseline_changes import accept, checked_reason, prune, record
from gradscope.commands.check.baseline_file import (
    MissingBaseline,
    baseline_text,
    parse_baseline,
    read_baseline,
    update_baseline,
    write_baseline,
)
from gradscope.commands.check.cases import chosen
from gradscope.commands.check.compare_case import compare_baselines
from gradscope.commands.check.measured_case import FailedCase, MeasuredCase
from gradscope.commands.check.statistic import Statistic, StatisticName
from gradscope.errors import UnknownName, UsageError
from gradscope.running import atomic_file
from gradscope.running.atomic_file import locked, write_whole
from tests.synthetic_cases import ENVIRONMENT, PROFILE, SLOPE, STEPS, baseline, case, entry, moved

ROOT = Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gradscope-baseline.json"


def document(*cases: MeasuredCase) -> dict[str, Any]:
    """The file as plain data."""
    plain: dict[str, Any] = json.loads(baseline_text(baseline(*cases)))
    return plain


def refusal(plain: Any) -> str:
    """Why a file with this content cannot be read."""
    text = plain if isinstance(plain, str) else json.dumps(plain)
    with pytest.raises(UsageError) as caught:
        parse_baseline(text, "b.json")
    sentence = str(caught.value)
    assert sentence.startswith("b.json")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert caught.value.exit_code == 2
    return sentence


class TestContent:
    def test_every_number_comes_back(self, path: Path) -> None:
        values = np.array([[-216.123456789012345, 0.1 + 0.2], [-math.inf, math.nan]])
        numbers = case(
            seeds=2,
            statistics={StatisticName("p"): Statistic(values, (1, 9), 3e-15), SLOPE: case(seeds=2).statistics[SLOPE]},
        )
        write_baseline(path, baseline(numbers))
        back = read_baseline(path).cases["lstm"]
        assert not back.is_edited
        assert back.environment == ENVIRONMENT
        assert vars(back.measured) | {"statistics": {}} == vars(numbers) | {"statistics": {}}
        for name, statistic in numbers.statistics.items():
            found = back.measured.statistics[name]
            assert found.values.tobytes() == statistic.values.tobytes()
            assert (found.steps, found.noise_decades) == (statistic.steps, statistic.noise_decades)

    def test_a_file_that_is_read_and_written_is_the_same(self, path: Path) -> None:
        write_baseline(path, baseline(case("a"), case("b")))
        text = path.read_text(encoding="utf-8")
        write_baseline(path, read_baseline(path))
        assert path.read_text(encoding="utf-8") == text

    def test_it_is_readable_in_a_diff(self) -> None:
        text = baseline_text(baseline(case("b"), case("a")))
        plain = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        assert text.index('"a": {') < text.index('"b": {')
        for keys in (plain, plain["profiles"]["cpu-f64"]["cases"]["a"]):
            assert list(keys) == sorted(keys)
        lines = [line.strip() for line in text.splitlines()]
        rows = [line for line in lines if line.startswith("[-")]
        assert len(rows) == 2 * 5  # one seed of one profile a line
        assert text.endswith("}\n")

    def test_one_changed_seed_changes_one_line_of_numbers(self) -> None:
        shift = np.zeros((5, len(STEPS)))
        shift[3, 0] = 0.5
        before = baseline_text(baseline(case())).splitlines()
        after = baseline_text(baseline(moved(case(), {PROFILE: shift}))).splitlines()
        different = [line for line, other in zip(before, after, strict=True) if line != other]
        assert len([line for line in different if "created" not in line]) == 2  # the row and the sha256

    def test_failed_cases_of_a_candidate_are_kept(self, path: Path) -> None:
        write_baseline(path, candidate_of((case(), FailedCase("gru", "no memory")), ENVIRONMENT))
        assert read_baseline(path).failed == {"gru": "no memory"}

    def test_other_profiles_are_left_alone(self, path: Path) -> None:
        plain = document(case())
        plain["profiles"]["cuda-f32"] = {"cases": {"x": [1, 2]}}
        path.write_text(json.dumps(plain), encoding="utf-8")
        record(path, {"gru": entry(case("gru"))}, reason="new")
        assert json.loads(path.read_text(encoding="utf-8"))["profiles"]["cuda-f32"] == {"cases": {"x": [1, 2]}}

    def test_cases_of_two_places_keep_their_own_environment(self, path: Path) -> None:
        write_baseline(path, baseline(case("a")))
        record(path, {"b": entry(case("b"), {"torch": "3.0"})}, reason="elsewhere")
        cases = read_baseline(path).cases
        assert (cases["a"].environment["torch"], cases["b"].environment["torch"]) == ("2.13.0", "3.0")


class TestDamage:
    def test_missing(self, path: Path) -> None:
        with pytest.raises(MissingBaseline, match=r"There is no file .*gradscope baseline record") as caught:
            read_baseline(path)
        assert caught.value.exit_code == 3

    def test_a_folder_and_bytes_that_are_no_text(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(UsageError, match="cannot be read"):
            read_baseline(path)
        path.rmdir()
        path.write_bytes(b"\xff\xfe{")
        with pytest.raises(UsageError, match="no text in UTF-8"):
            read_baseline(path)

    def test_truncated_anywhere(self) -> None:
        text = baseline_text(baseline(case(seeds=1)))
        for end in range(0, len(text.rstrip()) - 1, 37):
            assert "is not valid JSON" in refusal(text[:end])

    def test_left_in_the_middle_of_a_merge(self) -> None:
        text = baseline_text(baseline(case())).replace('"history"', '<<<<<<< HEAD\n "history"')
        assert re.search(r"is not valid JSON \(line 3: .*restore it from version control", refusal(text))

    def test_a_newer_schema(self) -> None:
        sentence = refusal(document(case()) | {"schema": 2})
        assert "has schema 2, and this gradscope" in sentence
        assert "reads up to 1" in sentence

    @pytest.mark.parametrize("plain", [{}, [], 3, {"schema": "1"}, {"schema": True}, {"schema": None}])
    def test_no_baseline_at_all(self, plain: Any) -> None:
        assert "is no baseline of gradscope" in refusal(plain)

    def test_a_schema_before_the_first(self) -> None:
        assert "has schema 0" in refusal({"schema": 0})

    def test_an_empty_one_has_no_cases(self) -> None:
        assert parse_baseline('{"schema": 1}', "b.json").cases == {}

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda c: c.pop("seeds"), "case lstm lacks seeds"),
            (lambda c: c.pop("statistics"), "case lstm lacks statistics"),
            (lambda c: c.pop("stream_hash"), "case lstm lacks stream_hash"),
            (lambda c: c.update(seeds=[]), "case lstm has no seeds"),
            (lambda c: c.update(seeds=[0, "1"]), "seeds should be a list of whole numbers"),
            (lambda c: c.update(is_own="no"), 'is_own should be true or false, but "no" stands there'),
            (lambda c: c.update(weights_hash=7), "weights_hash should be a text, but 7 stands there"),
            (lambda c: c.update(definition=[]), "definition should be an object with keys"),
            (lambda c: c["statistics"].update({str(SLOPE): 3}), f"{SLOPE} should be an object"),
            (lambda c: c["statistics"][str(SLOPE)].pop("noise_decades"), f"{SLOPE} lacks noise_decades"),
            (lambda c: c["statistics"][str(SLOPE)].update(noise_decades="much"), "noise_decades should be a number"),
            (lambda c: c["statistics"][str(PROFILE)].update(steps="all"), "steps should be a list of whole numbers"),
            (
                lambda c: c["statistics"][str(PROFILE)]["values"].pop(),
                "values should be 5 rows, one a seed, but 4 rows",
            ),
            (
                lambda c: c["statistics"][str(PROFILE)].update(values=3),
                "values should be 5 rows, one a seed, but 3 stand",
            ),
            (
                lambda c: c["statistics"][str(PROFILE)]["values"][2].pop(),
                "row 3 should have 6 numbers, one a step, but has 5",
            ),
            (
                lambda c: c["statistics"][str(PROFILE)]["values"].__setitem__(1, 4.0),
                "row 2 should be a list of numbers",
            ),
            (
                lambda c: c["statistics"][str(SLOPE)]["values"].__setitem__(1, None),
                "row 2 should be a number, but null",
            ),
            (
                lambda c: c["statistics"][str(SLOPE)]["values"].__setitem__(1, True),
                "row 2 should be a number, but true",
            ),
            (lambda c: c["statistics"][str(SLOPE)]["values"].__setitem__(0, 10**400), "holds a number beyond float64"),
        ],
    )
    def test_each_wrong_piece_of_a_case_is_named(self, change: Callable[[Any], Any], sentence: str) -> None:
        plain = document(case())
        change(plain["profiles"]["cpu-f64"]["cases"]["lstm"])
        assert sentence in refusal(plain)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda d: d.update(profiles=[]), "profiles should be an object"),
            (lambda d: d["profiles"].update({"cpu-f64": 1}), "cpu-f64 should be an object"),
            (lambda d: d["profiles"]["cpu-f64"].update(cases=[]), "cases should be an object"),
            (lambda d: d["profiles"]["cpu-f64"]["cases"].update(lstm=1), "case lstm should be an object"),
            (lambda d: d["profiles"]["cpu-f64"].update(environments=1), "environments should be an object"),
            (lambda d: d.update(history={}), "history should be a list"),
            (lambda d: d.update(history=[1]), "history should be a list of objects"),
            (lambda d: d.update(history=[{"max_shift_decades": []}]), "max_shift_decades should be a number"),
        ],
    )
    def test_each_wrong_piece_around_the_cases_is_named(self, change: Callable[[Any], Any], sentence: str) -> None:
        plain = document(case())
        change(plain)
        assert sentence in refusal(plain)

    def test_a_key_that_stands_twice(self) -> None:
        text = baseline_text(baseline(case())).replace(' "history"', ' "schema": 1,\n "history"')
        assert "has the key 'schema' twice" in refusal(text)

    def test_a_depth_without_end(self) -> None:
        assert "nested too deeply" in refusal("[" * 200_000)

    @pytest.mark.parametrize("value", [-3.0000001, "NaN", "-Infinity"])
    def test_a_number_edited_by_hand_is_told_and_stays_told(self, value: Any, path: Path) -> None:
        plain = document(case(), case("gru"))
        plain["profiles"]["cpu-f64"]["cases"]["lstm"]["statistics"][str(PROFILE)]["values"][0][0] = value
        path.write_text(json.dumps(plain).replace(f'"{value}"', str(value)), encoding="utf-8")
        found = read_baseline(path)
        assert (found.cases["lstm"].is_edited, found.cases["gru"].is_edited) == (True, False)
        record(path, {"rnn": entry(case("rnn"))}, reason="another")  # writing the file again does not hide it
        again = read_baseline(path)
        assert (again.cases["lstm"].is_edited, again.cases["rnn"].is_edited) == (True, False)
        (verdict,) = compare_baselines(again, baseline(case()), "lstm", names=("b.json", "new"))
        assert verdict.outcome == "incomparable"
        assert "were edited by hand (their sha256 no longer fits)" in verdict.sentence
        assert "; accept a candidate, or write it with gradscope baseline record" in verdict.sentence
        record(path, {"lstm": entry(case())}, reason="measured again")
        assert not read_baseline(path).cases["lstm"].is_edited


class TestHistory:
    def test_accept_takes_what_differs_and_says_why(self, path: Path) -> None:
        write_baseline(path, baseline(case("a"), case("b")))
        before = read_baseline(path).cases["a"]
        candidate = baseline(moved(case("a"), {SLOPE: 1e-12}), moved(case("b"), {SLOPE: -0.2}), case("c"))
        taken = accept(path, candidate, None, reason="  forget\nbias ", force=False)
        found = read_baseline(path)
        assert set(taken.shifts_decades) == {"b", "c"}
        assert found.cases["a"].sha256 == before.sha256
        (change,) = found.history
        assert (change.reason, change.cases) == ("forget bias", ("b", "c"))
        assert change.max_shift_decades == pytest.approx(0.2)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", change.date)

    def test_accept_of_equal_numbers_changes_nothing(self, path: Path) -> None:
        write_baseline(path, baseline(case()))
        assert accept(path, baseline(case()), None, reason="x", force=False).change is None
        assert read_baseline(path).history == ()

    def test_other_weights_with_equal_gradients_are_taken(self, path: Path) -> None:
        write_baseline(path, baseline(case()))
        taken = accept(path, baseline(case(weights_hash="others")), None, reason="x", force=False)
        assert taken.shifts_decades == {"lstm": 0.0}

    @pytest.mark.parametrize("shift", [0.31, -0.31, -math.inf])
    def test_far_shifts_need_force(self, shift: float, path: Path) -> None:
        write_baseline(path, baseline(case()))
        text = path.read_bytes()
        candidate = baseline(moved(case(), {SLOPE: shift}))
        with pytest.raises(UsageError, match=r"lstm has moved by .* decades, and accept takes up to 0.3; .*--force"):
            accept(path, candidate, None, reason="x", force=False)
        assert path.read_bytes() == text
        accept(path, candidate, None, reason="x", force=True)
        assert read_baseline(path).history[0].max_shift_decades == pytest.approx(abs(shift))

    def test_a_pattern_chooses_cases(self, path: Path) -> None:
        write_baseline(path, baseline(case("a"), case("b")))
        candidate = baseline(moved(case("a"), {SLOPE: 0.2}), moved(case("b"), {SLOPE: 0.2}))
        assert set(accept(path, candidate, "a*", reason="x", force=False).shifts_decades) == {"a"}
        with pytest.raises(UnknownName, match="There is no case called 'q'"):
            accept(path, candidate, "q", reason="x", force=False)

    @pytest.mark.parametrize("reason", ["", "  \n"])
    def test_a_reason_is_required(self, reason: str) -> None:
        with pytest.raises(UsageError, match="--reason should say why"):
            checked_reason(reason)

    def test_what_is_never_accepted(self, path: Path) -> None:
        nan = baseline(moved(case(), {SLOPE: math.nan}))
        with pytest.raises(UsageError, match="lstm of the candidate holds NaN"):
            accept(path, nan, None, reason="x", force=True)
        plain = document(case())
        plain["profiles"]["cpu-f64"]["cases"]["lstm"]["noise_probe"] = "none"
        edited = parse_baseline(json.dumps(plain), "c.json")
        with pytest.raises(UsageError, match="lstm of the candidate was edited by hand"):
            accept(path, edited, None, reason="x", force=True)
        with pytest.raises(UsageError, match="gru failed when the candidate was measured: no memory"):
            accept(path, Baseline(failed={"gru": "no memory"}), None, reason="x", force=True)
        with pytest.raises(UsageError, match="The candidate has no case"):
            accept(path, Baseline(), None, reason="x", force=True)
        assert not path.exists()

    def test_prune(self, path: Path) -> None:
        write_baseline(path, baseline(case("a"), case("b")))
        assert prune(path, ["a"], reason="gone") == ("b",)
        found = read_baseline(path)
        assert set(found.cases) == {"a"}
        assert (found.history[0].cases, found.history[0].reason) == (("b",), "gone")
        assert prune(path, ["a"], reason="gone") == ()
        assert len(read_baseline(path).history) == 1

    def test_the_commit_is_in_the_history(self, path: Path) -> None:
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(path.parent)]
        for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"]):
            subprocess.run([*git, *arguments], check=True)
        record(path, {"lstm": entry(case())}, reason="x")
        assert re.fullmatch(r"[0-9a-f]{7,}", read_baseline(path).history[0].commit)


def test_patterns_and_profiles() -> None:
    assert chosen(["lstm", "lstm:a=[1]", "gru"], "lstm*") == ("lstm", "lstm:a=[1]")
    assert chosen(["lstm:a=[1]"], "lstm:a=[1]") == ("lstm:a=[1]",)
    assert checked_profile("cpu-f64") == "cpu-f64"
    with pytest.raises(UsageError, match=r"There is no profile 'cuda-f32': cpu-f64 .* is the one there is"):
        checked_profile("cuda-f32")


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize("point", ["open", "write", "flush", "fsync", "copymode", "replace"])
    @pytest.mark.parametrize("death", [KeyboardInterrupt, OSError(28, "No space left on device")])
    def test_killed_between_any_two_writes(
        self, point: str, death: Any, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_baseline(path, baseline(case()))
        before = path.read_bytes()

        def die(*arguments: Any, **options: Any) -> Any:
            raise death

        if point in ("write", "flush"):
            real = Path.open

            def opened(self: Path, *arguments: Any, **options: Any) -> Any:
                file = real(self, *arguments, **options)
                return Dying(file, point, die) if self.name.endswith(".part") else file

            monkeypatch.setattr(Path, "open", opened)
        else:
            owner = {"open": Path, "replace": Path, "fsync": os, "copymode": atomic_file.shutil}[point]
            monkeypatch.setattr(owner, point, die)
        expected = KeyboardInterrupt if death is KeyboardInterrupt else UsageError
        with pytest.raises(expected):
            write_whole(path, baseline_text(baseline(case("gru"))))
        monkeypatch.undo()
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("point", ["fsync", "replace"])
    def test_a_process_that_dies_at_once_leaves_the_old_file_and_no_lock(self, point: str, path: Path) -> None:
        write_baseline(path, baseline(case()))
        before = path.read_bytes()
        program = (
            "import os, sys; from pathlib import Path; from gradscope.commands.check.baseline_changes import record; "
            "from tests.synthetic_cases import case, entry; "
            f"setattr({'os' if point == 'fsync' else 'Path'}, '{point}', lambda *a: os._exit(9)); "
            "record(Path(sys.argv[1]), {'gru': entry(case('gru'))}, reason='x')"
        )
        died = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False, timeout=60)
        assert died.returncode == 9
        assert path.read_bytes() == before
        started = time.monotonic()
        record(path, {"rnn": entry(case("rnn"))}, reason="x")
        assert time.monotonic() - started < 5
        assert set(read_baseline(path).cases) == {"lstm", "rnn"}

    def test_a_file_behind_a_link_and_its_mode_stay(self, path: Path) -> None:
        target = path.parent / "target.json"
        write_baseline(target, baseline(case()))
        target.chmod(0o640)
        path.symlink_to(target)
        record(path, {"gru": entry(case("gru"))}, reason="x")
        assert path.is_symlink()
        assert set(read_baseline(target).cases) == {"lstm", "gru"}
        assert target.stat().st_mode & 0o777 == 0o640

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(UsageError, match="cannot be written"):
            write_baseline(tmp_path / "file" / "b.json", baseline(case()))
        with pytest.raises(UsageError, match="cannot be written"):
            update_baseline(tmp_path / "file" / "b.json", lambda old: old)


class Dying:
    """A file that dies at a point of its use, after half the text."""

    def __init__(self, file: Any, point: str, die: Callable[[], None]) -> None:
        self._file, self._point, self._die = file, point, die

    def __enter__(self) -> Dying:
        return self

    def __exit__(self, *reason: Any) -> None:
        self._file.close()

    def write(self, text: str) -> None:
        self._file.write(text[: len(text) // 2])
        if self._point == "write":
            self._die()

    def flush(self) -> None:
        self._die()

    def fileno(self) -> int:
        return int(self._file.fileno())


class TestTwoProcesses:
    def test_recording_at_once_lose_nothing(self, path: Path) -> None:
        program = (
            "import sys; from pathlib import Path; from gradscope.commands.check.baseline_changes import record; "
            "from tests.synthetic_cases import case, entry; name = sys.argv[2]; "
            "[record(Path(sys.argv[1]), {f'{name}{i}': entry(case(f'{name}{i}', seeds=1))}, reason=f'{name}{i}') "
            "for i in range(12)]"
        )
        workers = [
            subprocess.Popen([sys.executable, "-c", program, str(path), name], cwd=ROOT, stderr=subprocess.PIPE)
            for name in "abc"
        ]
        torn = 0
        while any(worker.poll() is None for worker in workers):
            if path.exists():
                torn += not read_baseline(path).cases  # whoever reads meanwhile sees a whole file
            time.sleep(0.005)
        assert [worker.communicate()[1] for worker in workers] == [b""] * 3
        found = read_baseline(path)
        assert torn == 0
        assert set(found.cases) == {f"{name}{i}" for name in "abc" for i in range(12)}
        assert len(found.history) == 36
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_a_writer_waits_and_then_says_so(self, path: Path) -> None:
        with (
            locked(path),
            pytest.raises(UsageError, match=r"Another process has been writing .* for 0.1 s"),
            locked(path, patience_seconds=0.1),
        ):
            raise AssertionError("two at once")
        with locked(path, patience_seconds=0):
            pass

    def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between opening the lock's file and getting the lock, its last holder has removed it."""
        real, asked = atomic_file._is_ours, []

        def late(descriptor: int) -> bool:
            asked.append(descriptor)
            if len(asked) == 1:
                path.with_name(f".{path.name}.lock").unlink()
            return real(descriptor)

        monkeypatch.setattr(atomic_file, "_is_ours", late)
        with locked(path):
            assert len(asked) == 2
            assert path.with_name(f".{path.name}.lock").exists()
