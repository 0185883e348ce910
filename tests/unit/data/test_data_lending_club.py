import csv
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from helpers import REAL_LOANS

from bench.data import lending_club, synthetic
from bench.errors import UserError

REAL = REAL_LOANS
Edit = Callable[[list[dict[str, str]]], None]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loans") / "loan.csv"
    synthetic.write(path, 5_000, seed=3)
    return path


@pytest.fixture(scope="module")
def loans(made_up: Path) -> list[dict[str, str]]:
    """Finished and complete loans only, so that a test knows what each row should give."""
    with made_up.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loan_status"] in lending_club.CLASS_NAMES]
    return [row for row in rows if all(row[name] not in ("", "n/a") for name in lending_club.NEEDED)][:300]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        lending_club.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.skipif(not REAL.exists(), reason="the real loan.csv.gz is not on this machine")
def test_real_loans_leave_the_thesis_rows_and_features() -> None:
    dataset = lending_club.load(REAL)
    assert dataset.X.shape == (76_435, 37)
    assert dataset.X.flags.c_contiguous
    # emp_title, title and url are empty in this file, so they fall by their missing share too.
    assert [(step.rows, step.columns) for step in dataset.funnel] == [
        (82_231, 74),
        (82_231, 43),
        (82_231, 41),
        (82_231, 41),
        (79_351, 41),
        (79_351, 17),
        (76_435, 17),
        (76_435, 37),
    ]
    assert np.mean(dataset.y == 0) == pytest.approx(0.146, abs=0.0005)
    assert set(dataset.groups["issue_year"].tolist()) == {2007, 2008, 2009, 2010, 2011, 2014, 2015}


def test_same_matrix_as_plain_pandas(made_up: Path) -> None:
    loans = pd.read_csv(made_up, low_memory=False)
    loans = loans[loans["loan_status"].isin(lending_club.CLASS_NAMES)]
    for column in ("int_rate", "revol_util"):
        loans[column] = loans[column].astype(str).str.strip().str.rstrip("%").astype(float)
    loans["term"] = loans["term"].str.replace(" months", "").astype(float)
    years = {"10+ years": 10, "< 1 year": 0, "1 year": 1} | {f"{number} years": number for number in range(2, 10)}
    loans["emp_length"] = loans["emp_length"].map(years)
    loans = loans.dropna(subset=lending_club.NEEDED)
    dataset = lending_club.load(made_up)
    numbers = loans[list(lending_club.NUMBERS)].to_numpy(float)
    np.testing.assert_array_equal(dataset.X[:, :14], numbers)
    np.testing.assert_array_equal(dataset.y, (loans["loan_status"] == "Fully Paid").to_numpy(float))
    for position, name in enumerate(lending_club.FEATURES[14:], 14):
        column, _, value = name.partition("=")
        np.testing.assert_array_equal(dataset.X[:, position], (loans[column] == value).to_numpy(float))
    np.testing.assert_array_equal(dataset.groups["issue_year"], loans["issue_d"].str[-4:].astype(int))
    assert dataset.groups["grade"].tolist() == loans["grade"].tolist()
    assert dataset.groups["addr_state"].tolist() == loans["addr_state"].tolist()


def test_funnel_counts_columns_like_pandas(made_up: Path) -> None:
    loans = pd.read_csv(made_up, low_memory=False)
    full = loans.dropna(axis=1, thresh=len(loans) * 2 / 3)
    varied = full.loc[:, full.nunique() > 1]
    steps = lending_club.load(made_up).funnel
    assert [step.columns for step in steps[:3]] == [74, full.shape[1], varied.shape[1]]


def test_every_container_gives_the_same_data(made_up: Path, tmp_path: Path) -> None:
    packed, archive, parquet = tmp_path / "loan.csv.gz", tmp_path / "loan.zip", tmp_path / "loan [1].parquet"
    packed.write_bytes(gzip.compress(made_up.read_bytes()))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.write(made_up, "data/loan.csv")
    frame_path = str(tmp_path / "plain.parquet")
    with duckdb.connect() as connection:
        connection.sql(f"COPY (FROM read_csv('{made_up}', sample_size = -1)) TO '{frame_path}'")
    Path(frame_path).rename(parquet)
    plain = lending_club.load(made_up)
    for path in (packed, archive, parquet):
        other = lending_club.load(path)
        np.testing.assert_array_equal(plain.X, other.X)
        np.testing.assert_array_equal(plain.y, other.y)
        assert [(step.rows, step.columns) for step in plain.funnel] == [(s.rows, s.columns) for s in other.funnel]


def test_column_order_extra_columns_and_quoting_do_not_matter(loans: list[dict[str, str]], tmp_path: Path) -> None:
    plain = lending_club.load(write(tmp_path / "plain.csv", loans))
    moved = [
        {"note": 'a "quoted"\nline, two'}
        | dict(reversed(row.items()))
        | {f"more_{number}": "1" for number in range(60)}
        for row in loans
    ]
    other = lending_club.load(write(tmp_path / "moved.csv", moved))
    np.testing.assert_array_equal(plain.X, other.X)
    assert (other.funnel[0].columns, str(other.funnel[0].note)) == (135, "61 more than the public file")


@pytest.mark.parametrize(
    ("column", "text", "number"),
    [
        ("int_rate", "13.5", 13.5),
        ("int_rate", " 13.5%", 13.5),
        ("revol_util", "7 %", 7.0),
        ("term", "60 months", 60.0),
        ("term", "36", 36.0),
        ("emp_length", "10+ years", 10.0),
        ("emp_length", "< 1 year", 0.0),
        ("emp_length", "1 year", 1.0),
        ("emp_length", "7 years", 7.0),
        ("loan_amnt", " 5e3 ", 5000.0),
    ],
)
def test_messy_formats(loans: list[dict[str, str]], tmp_path: Path, column: str, text: str, number: float) -> None:
    rows = [row | {column: text} if index == 5 else row for index, row in enumerate(loans)]
    dataset = lending_club.load(write(tmp_path / "loan.csv", rows))
    assert dataset.X[5, dataset.features.index(column)] == number


@pytest.mark.parametrize("text", ["", "n/a", "NaN", "NA"])
def test_a_missing_value_drops_the_row(loans: list[dict[str, str]], tmp_path: Path, text: str) -> None:
    rows = [row | {"emp_length": text} if index == 5 else row for index, row in enumerate(loans)]
    assert len(lending_club.load(write(tmp_path / "loan.csv", rows)).y) == len(loans) - 1


@pytest.mark.parametrize(("text", "year"), [("Dec-2011", 2011), ("2012-12-01", 2012), ("12/2013", 2013), ("", 0)])
def test_year_of_issue(loans: list[dict[str, str]], tmp_path: Path, text: str, year: int) -> None:
    rows = [loans[0] | {"issue_d": text}, *loans[1:]]
    assert lending_club.load(write(tmp_path / "loan.csv", rows)).groups["issue_year"][0] == year


def test_columns_to_split_by_are_optional(loans: list[dict[str, str]], tmp_path: Path) -> None:
    rows = [{key: row[key] for key in [*lending_club.NEEDED, "loan_status"]} for row in loans]
    assert lending_club.load(write(tmp_path / "loan.csv", rows)).groups == {}


def test_single_valued_feature_stays_and_the_funnel_says_so(loans: list[dict[str, str]], tmp_path: Path) -> None:
    rows = [row | {"term": " 36 months"} for row in loans]
    dataset = lending_club.load(write(tmp_path / "loan.csv", rows))
    assert dataset.X.shape[1] == 37
    assert "term is single-valued too, but stays as a feature" in dataset.funnel[2].note


def test_a_column_that_begins_empty_is_judged_on_the_whole_file(loans: list[dict[str, str]], tmp_path: Path) -> None:
    rows = [row | {"late": "" if index < 2500 else "x"} for index, row in enumerate(loans * 30)]
    assert "late" in lending_club.load(write(tmp_path / "constant.csv", rows)).funnel[2].note
    rows[-1]["late"] = "y"
    assert "late" not in lending_club.load(write(tmp_path / "varied.csv", rows)).funnel[2].note


def test_share_of_charged_off_is_drawn_by_seed(made_up: Path) -> None:
    everything = lending_club.load(made_up)
    for share in (0.05, 0.179, 0.5):
        dataset = lending_club.load(made_up, share, seed=1)
        assert np.mean(dataset.y == 0) == pytest.approx(share, abs=0.001)
        assert dataset.funnel[-1].rows == len(dataset.y) < len(everything.y)
        assert len(dataset.groups["grade"]) == len(dataset.y)
    np.testing.assert_array_equal(lending_club.load(made_up, 0.3, 1).X, lending_club.load(made_up, 0.3, 1).X)
    assert not np.array_equal(lending_club.load(made_up, 0.3, 1).X, lending_club.load(made_up, 0.3, 2).X)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_share_is_refused(made_up: Path, share: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        lending_club.load(made_up, share)


def test_model_files_can_carry_the_preprocessing(made_up: Path) -> None:
    preprocessing = lending_club.load(made_up).preprocessing
    assert preprocessing["kind"] == "lending_club"
    expected = list(preprocessing["numbers"])
    expected += [f"{column}={value}" for column, values in preprocessing["categories"].items() for value in values]
    assert preprocessing["features"] == expected


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("annual_inc", "plenty", ["annual_inc", "data row 6 ", "'plenty'", "not a number"]),
        ("dti", "inf", ["dti", "data row 6 ", "'inf'"]),
        ("purpose", "spaceship", ["purpose", "data row 6 ", "'spaceship'", "wedding"]),
        ("home_ownership", "rent", ["home_ownership", "'rent'", "RENT"]),
        ("emp_length", "ages", ["emp_length", "'ages'"]),
    ],
)
def test_bad_value_is_named(
    loans: list[dict[str, str]], tmp_path: Path, column: str, value: str, words: list[str]
) -> None:
    rows = [row | {column: value} if index == 5 else row for index, row in enumerate(loans)]
    # A row that is dropped before it still counts as a row of the file.
    rows[2] = rows[2] | {"loan_status": "Current"}
    message = refusal(write(tmp_path / "loan.csv", rows))
    assert all(word in message for word in words), message


def unfinished(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["loan_status"] = "Current"


def only_paid(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["loan_status"] = "Fully Paid"


def outside_policy(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["loan_status"] = "Does not meet the credit policy. Status:Fully Paid"


def no_column(rows: list[dict[str, str]]) -> None:
    for row in rows:
        del row["dti"], row["term"]


def mostly_empty(rows: list[dict[str, str]]) -> None:
    for row in rows[: len(rows) // 2]:
        row["dti"] = ""


def never_complete(rows: list[dict[str, str]]) -> None:
    for index, row in enumerate(rows):
        row[["dti", "revol_util", "annual_inc", "emp_length"][index % 4]] = ""


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (unfinished, "no row is left"),
        (outside_policy, "no row is left"),
        (only_paid, "every complete row is Fully Paid"),
        (no_column, "lacks the columns term, dti"),
        (mostly_empty, "column dti has a value in 50% of the rows only"),
        (never_complete, "no row is left"),
    ],
)
def test_unusable_loans_are_refused(loans: list[dict[str, str]], tmp_path: Path, edit: Edit, words: str) -> None:
    rows = [dict(row) for row in loans]
    edit(rows)
    assert words in refusal(write(tmp_path / "loan.csv", rows))


def test_header_alone_is_refused(made_up: Path, tmp_path: Path) -> None:
    path = tmp_path / "loan.csv"
    path.write_text(made_up.read_text().splitlines()[0] + "\n")
    assert "holds no rows" in refusal(path)
