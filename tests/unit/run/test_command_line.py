"""The command line of the runner where nothing is trained: help, lists, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import write_suite

from bench.engines.registry import ENGINES
from bench.run.__main__ import main
from bench.suites import schema

Lines = pytest.CaptureFixture[str]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with table.csv and the smallest suite, small.yml: one centralised case, one repeat."""
    write_suite(tmp_path / "small.yml", [{"id": "alone", "engine": "centralised"}])
    return tmp_path


# --- the command line ------------------------------------------------------------------------------------------------


def test_help_shows_examples(capsys: Lines) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "--resume" in shown


def test_list_shows_engines_datasets_and_suites(capsys: Lines, keep_signals: None) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for name in (*ENGINES, *schema.available(), "lending_club", "synthetic", "tabular"):
        assert re.search(rf"^  {re.escape(name)} +\S", shown, re.MULTILINE)


# --- wrong input -----------------------------------------------------------------------------------------------------


def spoilt(path: Path, row: int, column: str, value: str) -> str:
    """The small table with one field changed."""
    frame = pd.read_csv(path.parent / "table.csv", dtype=str, keep_default_na=False)
    frame.loc[row, column] = value
    frame.to_csv(path, index=False)
    return str(path)


def data_of(inputs: Path, kind: str) -> list[str]:
    """Command line options that name wrong data."""
    good, labelled = str(inputs / "table.csv"), ["--label", "ill", "--id", "patient"]
    bad = inputs / "bad.csv"
    if kind == "missing":
        return ["--data", str(inputs / "nowhere.csv"), *labelled]
    if kind == "missing loans":
        return ["--data", str(inputs / "nowhere.csv")]
    if kind == "missing test":
        return ["--data", good, *labelled, "--test", str(inputs / "nowhere.csv")]
    if kind == "binary":
        bad.write_bytes(bytes(range(256)) * 50)
        return ["--data", str(bad), *labelled]
    if kind == "not gzip":
        (inputs / "bad.csv.gz").write_text("a,b\n1,2\n")
        return ["--data", str(inputs / "bad.csv.gz"), *labelled]
    if kind == "empty":
        bad.write_text("")
        return ["--data", str(bad), *labelled]
    if kind == "no rows":
        bad.write_text(Path(good).read_text().splitlines()[0] + "\n")
        return ["--data", str(bad), *labelled]
    if kind == "no label":
        return ["--data", good, "--label", "healthy"]
    if kind == "not loans":
        return ["--data", good]
    if kind == "one class":
        frame = pd.read_csv(good, dtype=str)
        frame.assign(ill="1").to_csv(bad, index=False)
        return ["--data", str(bad), *labelled]
    if kind == "other columns":
        pd.read_csv(good, dtype=str).rename(columns={"age": "years"}).to_csv(bad, index=False)
        return ["--data", good, str(bad), *labelled]
    if kind == "ids twice":
        return ["--data", good, good, *labelled]
    return [
        "--data",
        spoilt(bad, 41, "pulse", {"text": "fast", "NaN": "NaN", "gap": "", "inf": "inf"}[kind]),
        *labelled,
    ]


def refused(capsys: Lines, out: Path, arguments: list[str]) -> str:
    """Run the command line, check that it refuses in one line and leaves nothing, and return the line."""
    status = main([*arguments, "--out", str(out)])
    captured = capsys.readouterr()
    assert status == 2, captured
    lines = captured.err.strip().splitlines()
    assert [line.startswith("error: ") for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "Traceback" not in captured.err
    assert not out.parent.exists()
    return lines[-1]


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("missing", "nowhere.csv"),
        ("missing loans", "nowhere.csv"),
        ("missing test", "nowhere.csv"),
        ("binary", "bad.csv"),
        ("not gzip", "bad.csv.gz"),
        ("empty", "empty"),
        ("no rows", "no rows"),
        ("no label", "'healthy'"),
        ("not loans", "table.csv"),
        ("one class", "two different values"),
        ("other columns", "'years'"),
        ("ids twice", "more than once"),
        ("text", "column pulse, data row 42 .*'fast'"),
        ("NaN", "column pulse, data row 42 .*'NaN'"),
        ("gap", "column pulse, data row 42 .*empty"),
        ("inf", "column pulse, data row 42 .*'inf'"),
    ],
)
def test_wrong_data_get_one_line(inputs: Path, capsys: Lines, keep_signals: None, kind: str, complaint: str) -> None:
    line = refused(capsys, inputs / "new" / "out", ["--suite", str(inputs / "small.yml"), *data_of(inputs, kind)])
    assert re.search(complaint, line), line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--split", "25/25/49"], "sum to 99"),
        (["--split", "halves"], "not understood"),
        (["--split", "label:500:0.1"], "500 parties but there are only 420 rows"),
        (["--split", "0.1/99.9"], "leaves party number 1 without a row"),
        (["--split", "given"], "one file per party"),
        (["--split", "column:shoe"], "'shoe'"),
        (["--engine", "spark"], "'spark'; it has centralised"),
        (["--privacy", "paillier"], "'paillier'; it has plain"),
        (["--repeats", "0"], "repeats"),
        (["--id", "patient"], "needs --label"),
        (["--test", "t.csv"], "needs --label"),
        (["--label", "ill"], "--data"),
        (["--data", "a.csv", "b.csv"], "need --label"),
        (["--label", "ill", "--data", "a.csv", "--charged-off-share", "0.2"], "not with --label"),
        (["--charged-off-share", "0.2"], "charged_off_share"),
        (["--suite", "nowhere"], "'nowhere' is unknown; choose from cluster, fate, privacy, quick"),
        (["--suite", "nowhere.yml"], "nowhere.yml"),
    ],
)
def test_wrong_options_get_one_line(
    inputs: Path, capsys: Lines, keep_signals: None, arguments: list[str], complaint: str
) -> None:
    line = refused(capsys, inputs / "new" / "out", ["--suite", str(inputs / "small.yml"), *arguments])
    assert complaint in line


@pytest.mark.parametrize(
    ("entry", "settings", "complaint"),
    [
        ({"engine": "federated", "training": {"batch_size": 32}}, {}, "FedSGD takes full batches"),
        ({"engine": "centralised"}, {"warmup_epochs": 5}, "leave none to measure"),
        ({"engine": "magic"}, {}, "'magic' is unknown"),
        ({"engine": "local"}, {"test_share": 1.5}, "test_share"),
        ({"engine": "local", "balance": {"where": "after"}}, {}, "balance"),
    ],
)
def test_wrong_suites_get_one_line(
    inputs: Path, capsys: Lines, keep_signals: None, entry: dict[str, Any], settings: dict[str, Any], complaint: str
) -> None:
    bad = write_suite(inputs / "bad.yml", [{"id": "one", **entry}], **settings)
    assert complaint in refused(capsys, inputs / "new" / "out", ["--suite", str(bad)])


def test_a_results_folder_that_cannot_be_made(inputs: Path, capsys: Lines, keep_signals: None) -> None:
    (inputs / "file.txt").write_text("here already")
    status = main(["--suite", str(inputs / "small.yml"), "--out", str(inputs / "file.txt" / "x")])
    assert status == 2
    assert re.fullmatch(r"error: .*file\.txt.*--out\n", capsys.readouterr().err)
    assert (inputs / "file.txt").read_text() == "here already"


def test_a_results_folder_that_was_there_stays(inputs: Path, keep_signals: None) -> None:
    (inputs / "out").mkdir()
    assert main(["--suite", str(inputs / "small.yml"), "--out", str(inputs / "out"), "--split", "label:500:1"]) == 2
    assert list((inputs / "out").iterdir()) == []


def test_debug_shows_where_an_error_arose(inputs: Path, capsys: Lines, keep_signals: None) -> None:
    assert main(["--suite", str(inputs / "small.yml"), "--split", "halves", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
