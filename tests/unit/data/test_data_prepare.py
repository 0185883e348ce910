from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.balance import smote
from bench.data.prepare import Balance, Prepared, Shard, prepare
from bench.data.split import parse
from bench.data.table import Dataset
from bench.errors import UserError

NONE = Balance("none")
BEFORE = Balance("smote", "before")


def dataset(rows: int = 400, seed: int = 0) -> Dataset:
    """Column 0 numbers the rows, so that a row can be followed; column 1 is constant; a fifth is class 0."""
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) % 5 > 0).astype(float)
    X = np.column_stack([np.arange(rows, dtype=float), np.full(rows, 7.0), 1e5 * (rng.normal(size=rows) + y)])
    groups = {"year": 2010 + np.arange(rows) * 4 // rows}
    return Dataset("made up", X, y, ["row", "constant", "signal"], ("bad", "good"), "memory", groups=groups)


def read(shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    X, y = np.load(shard.folder / "X.npy"), np.load(shard.folder / "y.npy")
    assert X.dtype == y.dtype == np.float64
    assert X.flags.c_contiguous
    assert len(X) == len(y) == shard.rows
    assert shard.class_counts == (np.sum(y == 0), np.sum(y == 1))
    return X, y


def run(folder: Path, split: str = "25/25/50", balance: Balance = NONE, data: Dataset | None = None) -> Prepared:
    return prepare(data or dataset(), parse(split), balance, 0.3, 0, folder)


def test_rows_are_divided_between_test_and_parties(tmp_path: Path) -> None:
    data = dataset()
    prepared = run(tmp_path, data=data)
    assert [(s.party, s.role, s.rows) for s in prepared.shards] == [
        ("9999", "guest", 70),
        ("9998", "host", 70),
        ("10000", "host", 140),
    ]
    assert [shard.folder for shard in prepared.shards] == [tmp_path / "9999", tmp_path / "9998", tmp_path / "10000"]
    parts = [read(shard) for shard in prepared.shards]
    rows = np.concatenate([prepared.X_test[:, 0], *(X[:, 0] for X, _ in parts)])
    assert np.array_equal(np.sort(rows), np.arange(400))
    for X, y in [*parts, (prepared.X_test, prepared.y_test)]:
        np.testing.assert_array_equal(X, data.X[X[:, 0].astype(int)])
        np.testing.assert_array_equal(y, data.y[X[:, 0].astype(int)])
    assert (prepared.y_test == 0).sum() == 24 and len(prepared.y_test) == 120


def test_pooled_shard_is_the_parties_one_after_the_other(tmp_path: Path) -> None:
    prepared = run(tmp_path, balance=Balance())
    assert (prepared.pooled.party, prepared.pooled.role, prepared.pooled.folder) == (
        "all",
        "centralised",
        tmp_path / "all",
    )
    X, y = read(prepared.pooled)
    parts = [read(shard) for shard in prepared.shards]
    np.testing.assert_array_equal(X, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(y, np.concatenate([part[1] for part in parts]))
    assert prepared.pooled.rows_before_balance == 280


def test_test_rows_do_not_depend_on_split_or_balance(tmp_path: Path) -> None:
    first = run(tmp_path / "a")
    for number, (split, balance) in enumerate([("1/99", NONE), ("label:4:1", Balance()), ("50/50", BEFORE)]):
        other = run(tmp_path / str(number), split, balance)
        np.testing.assert_array_equal(first.X_test, other.X_test)


def test_balancing_inside_each_party_uses_its_own_rows_only(tmp_path: Path) -> None:
    plain, balanced = run(tmp_path / "plain"), run(tmp_path / "balanced", balance=Balance())
    for before, after in zip(plain.shards, balanced.shards, strict=True):
        assert after.class_counts[0] == after.class_counts[1]
        assert (after.rows_before_balance, after.class_counts_before_balance) == (before.rows, before.class_counts)
        X_before, (X_after, y_after) = read(before)[0], read(after)
        assert np.isin(X_before[:, 0], X_after[:, 0]).all()
        assert X_after.min(axis=0) == pytest.approx(X_before.min(axis=0))
        assert X_after.max(axis=0) == pytest.approx(X_before.max(axis=0))
        # Shuffled: neither the real rows nor the classes stand together.
        assert 0.3 < y_after[: len(y_after) // 2].mean() < 0.7


def test_balancing_before_the_split(tmp_path: Path) -> None:
    prepared = run(tmp_path, balance=BEFORE)
    assert prepared.pooled.class_counts == (224, 224)
    assert prepared.pooled.class_counts_before_balance == (56, 224)
    assert sum(shard.rows_before_balance for shard in prepared.shards) == 280
    for split in ("column:year:2", "given"):
        with pytest.raises(UserError, match="cannot be balanced before the split"):
            run(tmp_path / "other", split, BEFORE)


def test_facts_follow_the_result_file(tmp_path: Path) -> None:
    facts = run(tmp_path, "50/50", Balance()).facts
    assert facts["train_rows"] + facts["test_rows"] == 400
    assert facts["test_class_counts"] == [24, 96]
    assert [party["party"] for party in facts["parties"]] == ["9999", "10000"]
    for party in facts["parties"]:
        assert set(party) == {
            "party",
            "role",
            "rows",
            "class_counts",
            "rows_before_balance",
            "class_counts_before_balance",
        }
        assert sum(party["class_counts"]) == party["rows"]
        assert sum(party["class_counts_before_balance"]) == party["rows_before_balance"] == 140


def test_notes_name_parties_that_could_not_be_balanced(tmp_path: Path) -> None:
    data = dataset()
    half = np.arange(400) < 200
    data = replace(data, y=np.where(half, 1.0, data.y), groups={"half": (~half).astype(int)})
    prepared = run(tmp_path, "column:half", Balance(), data)
    assert list(map(str, prepared.notes)) == ["party 9999 holds one class only (good); it was not balanced"]
    unbalanced = run(tmp_path / "b", "column:half", NONE, data)
    assert list(map(str, unbalanced.notes)) == ["party 9999 holds one class only (good)"]


def test_files_of_the_user_become_parties_and_test(tmp_path: Path) -> None:
    given_parties = [np.arange(0, 100), np.arange(100, 300)]
    data = replace(dataset(), given_parties=given_parties, given_test=np.arange(300, 400))
    prepared = run(tmp_path, "given", data=data)
    assert prepared.X_test[:, 0].tolist() == list(range(300, 400))
    for shard, rows in zip(prepared.shards, given_parties, strict=True):
        assert np.array_equal(np.sort(read(shard)[0][:, 0]), rows)
    without_test = run(
        tmp_path / "drawn",
        "given",
        data=replace(data, given_test=None, given_parties=[np.arange(0, 150), np.arange(150, 400)]),
    )
    assert [shard.rows for shard in without_test.shards] == pytest.approx([105, 175], abs=12)


def test_same_seed_same_shards(tmp_path: Path) -> None:
    data = dataset()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare(data, parse("25/25/50"), Balance(), 0.3, seed, tmp_path / name)
    a, b, c = (np.load(tmp_path / name / "all" / "X.npy") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_both_classes_are_needed_on_both_sides(tmp_path: Path) -> None:
    data = dataset()
    y = np.ones(400)
    y[0] = 0
    with pytest.raises(UserError, match="training rows of memory hold no row of class 'bad'"):
        run(tmp_path, data=replace(data, y=y))
    with pytest.raises(UserError, match="test rows of memory hold no row of class 'bad'"):
        run(tmp_path, data=replace(data, given_test=np.array([1, 2])))
    for share in (0.0, 1.0, 1.5):
        with pytest.raises(UserError, match="between 0 and 1"):
            prepare(data, parse("50/50"), NONE, share, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write the parties' rows to"):
        run(tmp_path / "file")


@settings(max_examples=30)
@given(zeros=st.integers(0, 12), ones=st.integers(0, 12), seed=st.integers(0, 100))
def test_smote_balances_and_stays_within_the_minority(zeros: int, ones: int, seed: int) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat([0.0, 1.0], [zeros, ones]))
    X = np.column_stack([np.random.default_rng(seed).normal(size=len(y)) * 1e6, np.full(len(y), 3.0)])
    X_new, y_new = smote(X, y, seed)
    np.testing.assert_array_equal(X_new[: len(y)], X)
    np.testing.assert_array_equal(y_new[: len(y)], y)
    if not zeros or not ones:
        assert len(y_new) == len(y)
        return
    assert (y_new == 0).sum() == (y_new == 1).sum() == max(zeros, ones)
    minority = X[y == (1.0 if ones < zeros else 0.0)]
    assert (X_new[len(y) :] >= minority.min(axis=0) - 1e-6).all()
    assert (X_new[len(y) :] <= minority.max(axis=0) + 1e-6).all()


def test_smote_neighbours_do_not_depend_on_the_units() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), (rng.random(200) > 0.2).astype(float)
    units = np.array([1e-3, 1.0, 1e6])
    np.testing.assert_allclose(smote(X * units, y, 0)[0], smote(X, y, 0)[0] * units)
