import csv
from pathlib import Path

import numpy as np
import pytest
from helpers import REAL_LOANS
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.data import lending_club, synthetic
from bench.errors import UserError

REAL = REAL_LOANS


def test_same_seed_same_file_in_any_container(tmp_path: Path) -> None:
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2), ("a.csv.gz", 1), ("b.csv.gz", 1)):
        synthetic.write(tmp_path / name, 700, seed)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(content) == 5, "only finished files stay"
    assert content["a.csv"] == content["b.csv"] != content["c.csv"]
    assert content["a.csv.gz"] == content["b.csv.gz"]
    plain, packed = lending_club.load(tmp_path / "a.csv"), lending_club.load(tmp_path / "a.csv.gz")
    np.testing.assert_array_equal(plain.X, packed.X)


@pytest.mark.parametrize("rows", [1, 1000, 1001])
def test_any_number_of_rows(tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "CHUNK_ROWS", 500)
    synthetic.write(tmp_path / "loan.csv", rows)
    with (tmp_path / "loan.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == rows + 1
    assert {len(line) for line in lines} == {74}
    assert len({line[0] for line in lines}) == rows + 1


@pytest.mark.skipif(not REAL.exists(), reason="the real loan.csv.gz is not on this machine")
def test_columns_of_the_public_file_in_its_order(tmp_path: Path) -> None:
    import gzip

    with gzip.open(REAL, "rt") as file:
        assert next(csv.reader(file)) == list(synthetic.COLUMNS)


def test_looks_like_real_loans_to_the_funnel_and_to_logistic_regression(tmp_path: Path) -> None:
    path = tmp_path / "loan.csv"
    synthetic.write(path, 60_000, seed=5)
    dataset = lending_club.load(path)
    assert 0.25 < dataset.funnel[4].rows / 60_000 < 0.32, "finished loans"
    assert 0.92 < len(dataset.y) / dataset.funnel[4].rows < 0.97, "complete loans"
    assert np.mean(dataset.y == 0) == pytest.approx(0.146, abs=0.008)
    assert set(dataset.groups["issue_year"].tolist()) == set(range(2007, 2016))
    half = len(dataset.y) // 2
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(dataset.X[:half], dataset.y[:half])
    auc = roc_auc_score(dataset.y[half:], model.predict_proba(dataset.X[half:])[:, 1])
    assert auc == pytest.approx(0.695, abs=0.02)


def test_formats_are_messy(tmp_path: Path) -> None:
    path = tmp_path / "loan.csv"
    synthetic.write(path, 6_000)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["int_rate"].endswith("%") for row in rows} == {True, False}
    assert {row["term"] for row in rows} == {" 36 months", " 60 months"}
    assert {"n/a", "", "< 1 year", "10+ years"} <= {row["emp_length"] for row in rows}
    assert any(row["loan_status"].startswith("Does not meet the credit policy. Status:") for row in rows)
    assert {"Current", "Late (31-120 days)"} <= {row["loan_status"] for row in rows}
    assert any(not row["revol_util"] for row in rows)
    assert any('"' in row["desc"] and "," in row["desc"] for row in rows)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.csv or \.csv\.gz"):
        synthetic.write(tmp_path / "loan.parquet", 10)
    with pytest.raises(UserError, match="at least one row, not 0"):
        synthetic.write(tmp_path / "loan.csv", 0)
    with pytest.raises(UserError, match="No such file"):
        synthetic.write(tmp_path / "absent" / "loan.csv", 10)
    assert list(tmp_path.iterdir()) == []
