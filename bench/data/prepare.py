"""From a dataset to what training reads: a common test set, and one balanced shard of rows per party on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.data.balance import smote
from bench.data.split import GIVEN, Split, assign, party_ids
from bench.data.table import Dataset, Matrix, Rows, Vector
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message

ONE_CLASS = Message("one_class", gettext_noop("party {party} holds one class only ({name})"))
ONE_CLASS_UNBALANCED = Message(
    "one_class_unbalanced", gettext_noop("party {party} holds one class only ({name}); it was not balanced")
)
ONE_ROW = Message(
    "one_row_repeated",
    gettext_noop("party {party} holds one row of the smaller class; it was balanced by repeating that row"),
)


@dataclass(frozen=True)
class Balance:
    """Whether training rows are balanced, and whether inside each party or before the rows are split over them."""

    method: Literal["smote", "none"] = "smote"
    where: Literal["party", "before"] = "party"


@dataclass(frozen=True)
class Shard:
    """The training rows of one party: ``folder/X.npy`` (rows, features) and ``folder/y.npy`` (rows,), both float64.

    Class counts are ``(n0, n1)``. The counts before balancing leave out synthetic rows.
    """

    party: str
    role: str
    folder: Path
    rows: int
    class_counts: tuple[int, int]
    rows_before_balance: int
    class_counts_before_balance: tuple[int, int]


@dataclass(frozen=True)
class Prepared:
    """Everything a case needs: the parties' shards, the pooled shard of the centralised engine, the common test set.

    ``facts`` is what the result file keeps of the split (docs/results.md); ``notes`` are lines for its reader.
    """

    shards: tuple[Shard, ...]
    pooled: Shard
    X_test: Matrix
    y_test: Vector
    facts: dict[str, Any]
    notes: list[Message]


@dataclass(frozen=True)
class _Part:
    """A party's rows on their way to the disk."""

    X: Matrix
    y: Vector
    real_counts: tuple[int, int]


def prepare(dataset: Dataset, split: Split, balance: Balance, test_share: float, seed: int, folder: Path) -> Prepared:
    """Split off the test set, spread the training rows over the parties, balance them and write the shards.

    The test set is stratified and depends on ``test_share`` and ``seed`` only, so every split of a dataset is scored
    on the same rows; a test file of the user's own takes its place. Only training rows are balanced. Every shard is
    shuffled, so that mini-batches mix real and synthetic rows; ``folder/all`` holds the shards one after
    the other in the order of the parties.

    Raises UserError when a class is missing from the training or test rows, when the split does not fit the data, when
    balancing before the split is asked of a split that needs real rows, and when the folder cannot be written.
    """
    train, test = _train_test(dataset, test_share, seed)
    groups = {name: values[train] for name, values in dataset.groups.items() if split.kind == "column"}
    if dataset.given_parties is not None:
        groups[GIVEN] = _party_of_row(dataset)[train]
    X, y = dataset.X[train], dataset.y[train]
    parts = _parts(X, y, groups, split, balance, seed)
    parties = party_ids(len(parts))
    try:
        shards = tuple(_write(part, party, role, folder) for part, (party, role) in zip(parts, parties, strict=True))
        pooled = _write(_pool(parts), "all", "centralised", folder)
    except OSError as error:
        raise UserError(f"Cannot write the parties' rows to {folder}: {error.strerror or error}.") from error
    facts = {
        "train_rows": len(train),
        "test_rows": len(test),
        "test_class_counts": list(_class_counts(dataset.y[test])),
        "parties": [_facts(shard) for shard in shards],
    }
    notes = _notes(shards, balance, dataset.class_names)
    return Prepared(shards, pooled, dataset.X[test], dataset.y[test], facts, notes)


def _train_test(dataset: Dataset, test_share: float, seed: int) -> tuple[Rows, Rows]:
    rows = np.arange(len(dataset.y))
    if dataset.given_test is not None:
        train, test = np.setdiff1d(rows, dataset.given_test), dataset.given_test
    else:
        train, test = _stratified(dataset.y, test_share, seed)
    for part, name in ((train, "training"), (test, "test")):
        missing = [
            dataset.class_names[value] for value, count in enumerate(_class_counts(dataset.y[part])) if not count
        ]
        if missing:
            raise UserError(
                f"The {name} rows of {dataset.source} hold no row of class '{missing[0]}': "
                "both classes are needed in training and in the test; bring more rows."
            )
    return train, test


def _stratified(y: Vector, test_share: float, seed: int) -> tuple[Rows, Rows]:
    """Draw the test rows class by class, so that both parts keep the share of the classes; at least one row of each."""
    if not 0 < test_share < 1:
        raise UserError(f"The test share must lie between 0 and 1, not {test_share:g}.")
    rng = np.random.default_rng(seed)
    test: list[Rows] = []
    for value in (0.0, 1.0):
        members = np.flatnonzero(y == value)
        test.append(rng.permutation(members)[: max(1, round(test_share * len(members)))])
    held_out = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(y)), held_out), held_out


def _party_of_row(dataset: Dataset) -> NDArray[np.int64]:
    assert dataset.given_parties is not None
    party_of_row = np.full(len(dataset.y), -1, dtype=np.int64)
    for party, rows in enumerate(dataset.given_parties):
        party_of_row[rows] = party
    return party_of_row


def _parts(
    X: Matrix, y: Vector, groups: dict[str, NDArray[Any]], split: Split, balance: Balance, seed: int
) -> list[_Part]:
    """Assign and balance, in the order that ``balance.where`` asks for, and shuffle each party's rows."""
    real = len(y)
    if balance.method == "smote" and balance.where == "before":
        if split.kind in ("column", "given"):
            raise UserError(
                f"Split '{split.text}' cannot be balanced before the split: a synthetic row has no "
                "value to split by; balance inside each party."
            )
        X, y = smote(X, y, seed)
    parts: list[_Part] = []
    for party, rows in enumerate(assign(split, y, groups, np.random.default_rng([seed, 1]))):
        real_counts = _class_counts(y[rows[rows < real]])
        X_part, y_part = X[rows], y[rows]
        if balance.method == "smote" and balance.where == "party":
            X_part, y_part = smote(X_part, y_part, seed)
        order = np.random.default_rng([seed, 2, party]).permutation(len(y_part))
        parts.append(_Part(X_part[order], y_part[order], real_counts))
    return parts


def _pool(parts: list[_Part]) -> _Part:
    counts = [part.real_counts for part in parts]
    return _Part(
        np.concatenate([part.X for part in parts]),
        np.concatenate([part.y for part in parts]),
        (sum(n0 for n0, _ in counts), sum(n1 for _, n1 in counts)),
    )


def _write(part: _Part, party: str, role: str, folder: Path) -> Shard:
    place = folder / party
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "X.npy", np.ascontiguousarray(part.X))
    np.save(place / "y.npy", part.y)
    return Shard(party, role, place, len(part.y), _class_counts(part.y), sum(part.real_counts), part.real_counts)


def _class_counts(y: Vector) -> tuple[int, int]:
    ones = int(np.count_nonzero(y))
    return len(y) - ones, ones


def _facts(shard: Shard) -> dict[str, Any]:
    facts = asdict(shard)
    del facts["folder"]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


def _notes(shards: tuple[Shard, ...], balance: Balance, class_names: tuple[str, str]) -> list[Message]:
    notes: list[Message] = []
    for shard in shards:
        zeros, ones = shard.class_counts
        if not zeros or not ones:
            line = ONE_CLASS_UNBALANCED if balance.method == "smote" else ONE_CLASS
            notes.append(line.of(party=shard.party, name=class_names[1 if ones else 0]))
        elif balance == Balance("smote", "party") and min(shard.class_counts_before_balance) == 1:
            notes.append(ONE_ROW.of(party=shard.party))
    return notes
