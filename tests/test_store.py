"""Files are written whole or not at all and read back to the same numbers."""

from __future__ import annotations

import errno
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradscope.commands.compare.columns import GRADIENT_COLUMNS, JUDGED_COLUMNS, SUMMARY_COLUMNS
from gradscope.commands.compare.command import COMMAND
from gradscope.commands.compare.rows import comparison
from gradscope.errors import UsageError
from gradscope.running import store
from gradscope.running.cell import CellResult
from gradscope.running.plain import json_text
from gradscope.running.runner import run_cell, run_sweep

GIVEN = {"arch": "rnn,lstm", "lengths": "4,9", "hidden_size": "5", "input_size": "3", "batch": "2", "seeds": "2"}
CELLS = COMMAND.plan_of(COMMAND.configure(GIVEN, folder=Path())).cells


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    found = store.frames(run_sweep(CELLS).results, COMMAND.columns)
    return found["gradients"], found["summary"]


def test_the_tables_have_the_agreed_columns(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    gradients, summary = tables
    assert tuple(gradients.columns) == GRADIENT_COLUMNS
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert len(summary) == 2 * 2 * 2
    assert not summary.drop(columns="log10_drop_lag_0_to_1").isna().any().any()


def test_files_read_back_to_the_same_numbers(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    gradients, summary = tables[0], tables[1].copy()
    special = [math.inf, -math.inf, math.nan, -4575.70330, 5000.123456789012, 1 / 3, -1e-300, 0.1]
    summary["log10_norm_step_1"] = special
    store.write_frames(tmp_path, {"gradients": gradients, "summary": summary})
    read = store.read_frames(tmp_path, COMMAND)
    read_gradients, read_summary = read["gradients"], read["summary"]
    pd.testing.assert_frame_equal(read_gradients, gradients, check_exact=True)
    np.testing.assert_array_equal(read_summary["log10_norm_step_1"], special)
    text = (tmp_path / "summary.csv").read_text()
    assert ",inf," in text
    assert ",-inf," in text
    assert ",nan," in text


def test_json_has_words_for_the_numbers_it_lacks() -> None:
    text = json_text({"a": [math.inf, -math.inf, math.nan, 0.5], "b": (np.float64(1.5), Path("x"))})
    refused = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert refused == {"a": ["inf", "-inf", "nan", 0.5], "b": [1.5, "x"]}


def test_a_kept_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    cell = CELLS[0]
    result = run_cell(cell)
    result.tables["summary"].loc[0, "float32_lost_steps_back"] = math.inf
    result.tables["summary"].loc[0, "log10_norm_step_1"] = -math.inf
    store.CellStore(tmp_path, resume=False).keep(cell, result)
    kept = store.CellStore(tmp_path, resume=True).recall(cell)
    assert kept is not None
    assert kept.tables.keys() == result.tables.keys()
    for name, frame in result.tables.items():
        pd.testing.assert_frame_equal(kept.tables[name], frame, check_exact=True)
    assert store.CellStore(tmp_path, resume=True).recall(replace(cell, seed=9)) is None


def test_half_a_cell_and_a_failed_one_are_measured_again(tmp_path: Path) -> None:
    cell, cells = CELLS[0], store.CellStore(tmp_path, resume=True)
    cells.keep(cell, CellResult({}, failure="it could not be measured"))
    assert cells.recall(cell) is None
    cells.keep(cell, CellResult({}))
    (file,) = (tmp_path / "cells").glob("*.json")
    file.write_text(file.read_text()[:10])
    assert cells.recall(cell) is None


def test_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    store.write_frame(frame, tmp_path / "a.csv")
    before = (tmp_path / "a.csv").read_text()

    def breaks_off(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", breaks_off)
    with pytest.raises(UsageError, match=r"a\.csv cannot be written: No space left on device"):
        store.write_frame(pd.DataFrame({"a": [3, 4]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_pictures_are_drawn_from_the_files(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    store.write_pictures(tmp_path, COMMAND.pictures_of(dict(zip(("gradients", "summary"), tables, strict=True))))
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"gradient_norms.png", "gradient_norms.svg", "length_sweep.png", "length_sweep.svg"}
    first = {file.name: file.read_bytes() for file in tmp_path.glob("*.svg")}
    store.write_pictures(tmp_path, COMMAND.pictures_of(dict(zip(("gradients", "summary"), tables, strict=True))))
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.svg")} == first


def test_folders_that_cannot_be_read(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    with pytest.raises(UsageError, match=r"has no gradients\.csv"):
        store.read_frames(tmp_path, COMMAND)
    gradients, summary = tables
    store.write_frame(gradients, tmp_path / "gradients.csv")
    store.write_frame(summary.drop(columns=["verdict", "status"]), tmp_path / "summary.csv")
    with pytest.raises(UsageError, match=r"summary\.csv lacks the columns verdict, status"):
        store.read_frames(tmp_path, COMMAND)
    store.write_frame(summary.head(0), tmp_path / "summary.csv")
    with pytest.raises(UsageError, match=r"summary\.csv has no rows"):
        store.read_frames(tmp_path, COMMAND)
    (tmp_path / "summary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UsageError, match=r"summary\.csv is no table"):
        store.read_frames(tmp_path, COMMAND)


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    store.prepare_folder(tmp_path / "new" / "one")
    assert list((tmp_path / "new" / "one").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*file cannot be written: .*; name another folder"):
        store.prepare_folder(tmp_path / "file")
    with pytest.raises(UsageError, match=r"--out .*below cannot be written"):
        store.prepare_folder(tmp_path / "file" / "below")


def test_folders_of_an_earlier_version_are_read(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    gradients, summary = tables
    store.write_frame(gradients, tmp_path / "gradients.csv")
    earlier = summary.drop(columns=list(JUDGED_COLUMNS)).assign(verdict="vanishing")
    store.write_frame(earlier, tmp_path / "summary.csv")
    found = store.read_frames(tmp_path, COMMAND)
    assert found["summary"][list(JUDGED_COLUMNS)].isna().all().all()
    assert set(COMMAND.pictures_of(found)) == {"gradient_norms", "length_sweep"}
    row = comparison(found["summary"])
    assert row.rows[0][-1] == "vanishing"
    assert row.rows[0][row.headers.index("carried")] == "–"


def test_cells_of_an_earlier_version_read_nan_where_they_have_no_column() -> None:
    (frame,) = store.frames(
        (CellResult({"summary": pd.DataFrame({"arch": ["rnn"], "verdict": ["vanishing"]})}),),
        {"summary": ("arch", "verdict", "carried_decades")},
    ).values()
    assert frame.loc[0, "verdict"] == "vanishing"
    assert math.isnan(frame.loc[0, "carried_decades"])
