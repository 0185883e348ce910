from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.results import store

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=8)
numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


def score_row(case: str, repeat: int, **values: float | None) -> dict[str, Any]:
    return {"case": case, "repeat": repeat, "model": "federated", "party": "", **values}


def test_two_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = [store.create(tmp_path / "deep" / "out", "20260102-030405-quick") for _ in range(3)]
    assert [folder.name.removeprefix("20260102-030405-quick") for folder in folders] == ["", "-2", "-3"]
    assert all((folder / "models").is_dir() for folder in folders)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("here already")
    with pytest.raises(UserError, match=r"file\.txt.*--out"):
        store.create(tmp_path / "file.txt" / "x", "run")
    with pytest.raises(UserError, match=r"cannot be written"):
        store.write_json(tmp_path / "file.txt" / "run.json", {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_the_old_file_stays(tmp_path: Path, value: float) -> None:
    store.write_json(tmp_path / "run.json", {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        store.write_json(tmp_path / "run.json", {"new": value})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert json.loads((tmp_path / "run.json").read_text()) == {"old": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no run.json"),
        ("", "cannot be read"),
        ('{"schema_version": 3, "run_id"', "cannot be read"),
        ("\xff\xfe", "cannot be read"),
        ("[]", "no schema_version"),
        ('{"run_id": "x"}', "no schema_version"),
        ('{"schema_version": 99}', "newer than"),
        ('{"schema_version": 1}', "never released"),
        ('{"schema_version": 3, "run_id": "x"}', "cases, datasets, environment, suite missing"),
    ],
)
def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=reason) as caught:
        store.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@given(st.lists(st.tuples(texts, st.integers(1, 99), numbers, numbers), min_size=1, max_size=5))
def test_rows_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, float | None, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    for case, repeat, auc, ks in rows:
        store.append_rows(folder, "scores.csv", [score_row(case, repeat, auc=auc, ks=ks)])
    table = store.read_csv(folder, "scores.csv")
    assert list(table.columns) == store.columns("scores.csv")
    assert list(table["case"]) == [case for case, *_ in rows]
    assert list(table["repeat"]) == [repeat for _, repeat, *_ in rows]
    for column, place in (("auc", 2), ("ks", 3)):
        assert [None if math.isnan(value) else value for value in table[column]] == [row[place] for row in rows]
    assert table["party"].isna().all()


def test_a_table_that_was_never_written_is_empty(tmp_path: Path) -> None:
    table = store.read_csv(tmp_path, "epochs.csv")
    assert len(table) == 0
    assert list(table.columns) == store.columns("epochs.csv")


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("case,repeat\na,1\n")
    with pytest.raises(UserError, match=r"scores\.csv: unexpected columns"):
        store.read_csv(tmp_path, "scores.csv")


def test_rows_of_repeats_that_were_cut_off_are_dropped(tmp_path: Path) -> None:
    store.append_rows(tmp_path, "scores.csv", [score_row("a, b", 1, auc=0.1 + 0.2), score_row("a, b", 2, auc=0.5)])
    store.append_rows(tmp_path, "scores.csv", [score_row("c", 1, auc=0.75)])
    with (tmp_path / "scores.csv").open("a") as file:
        file.write("a, b,1,feder")  # the last line of a process that was killed
    before = (tmp_path / "scores.csv").read_text().splitlines()

    store.keep_finished(tmp_path, {"a, b": [1], "c": []})

    assert (tmp_path / "scores.csv").read_text().splitlines() == before[:2]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    store.append_rows(tmp_path, "scores.csv", [score_row("a, b", 2)])
    assert list(store.read_csv(tmp_path, "scores.csv")["repeat"]) == [1, 2]


def test_a_run_that_finished_nothing_starts_its_tables_again(tmp_path: Path) -> None:
    store.append_rows(tmp_path, "scores.csv", [score_row("a", 1)])
    store.keep_finished(tmp_path, {"a": []})
    store.append_rows(tmp_path, "scores.csv", [score_row("a", 1, auc=0.5)])
    assert list(store.read_csv(tmp_path, "scores.csv")["auc"]) == [0.5]


def test_a_trace_is_valid_json_after_every_addition(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    store.append_events(path, [])
    assert not path.exists()
    for count in (1, 2, 3):
        store.append_events(path, [{"ph": "X", "name": "Ümlaut"}] * count)
        store.append_events(path, [])
    assert len(json.loads(path.read_text(encoding="utf-8"))) == 6


def test_a_metric_that_came_later_is_not_measured_and_one_unknown_here_is_kept(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("case,repeat,model,party,auc,theirs\nfederated,1,federated,,0.7,0.25\n")
    table = store.read_csv(tmp_path, "scores.csv")
    assert table.loc[0, ["auc", "theirs"]].tolist() == [0.7, 0.25]
    assert table["log_loss"].isna().all()


def test_a_file_of_a_run_keeps_its_columns(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("case,repeat,model,party,auc\nfederated,1,federated,,0.7\n")
    store.append_rows(tmp_path, "scores.csv", [score_row("federated", 2, auc=0.6, log_loss=0.5)])
    store.append_rows(tmp_path, "scores.csv", [score_row("federated", 3, auc=0.5)])
    store.keep_finished(tmp_path, {"federated": [1, 2]})
    assert (tmp_path / "scores.csv").read_text().splitlines() == [
        "case,repeat,model,party,auc",
        "federated,1,federated,,0.7",
        "federated,2,federated,,0.6",
    ]
