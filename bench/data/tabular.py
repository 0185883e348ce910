"""Any labelled table of numbers, from one file or from one file per party, with or without a test file of its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.kind import DatasetKind, Option
from bench.data.reader import Table, float_column, open_table
from bench.data.reader import identifier as quoted
from bench.data.table import BESIDE_LABEL, Dataset, FunnelStep, Matrix, Vector
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Line, Message

_TITLE = Message("labelled_files", gettext_noop("{file} (label {label})"))
_RAW_FILES = Message("raw_files", gettext_noop("{n} raw files"))
_BESIDE_BOTH = Message(
    "beside_label_and_identifier", gettext_noop("beside the label {label} and the identifier {identifier}")
)

MOST_SHOWN = 5


@dataclass(frozen=True)
class _File:
    """One file's features ``(rows, features)``, labels and identifiers (both text; identifiers may be empty)."""

    path: Path
    X: Matrix
    labels: list[str]
    identifiers: list[str]


def load(paths: list[Path], label: str, identifier: str | None = None, test: Path | None = None) -> Dataset:
    """Read labelled rows (.csv, .csv.gz, .zip or .parquet); several paths are one file per party.

    The label column holds two different values over all files; sorted (as numbers if both are, else as text),
    the second is class 1. The identifier column must be unique over all files and is no feature. Every other column
    is a feature and must hold a finite number in every row. All files have the same columns, in any order.
    Rows keep the order of the files; ``given_parties`` and ``given_test`` say which rows came from where.

    Raises UserError, in one line, for anything else, naming the file, the row and the column.
    """
    if not paths:
        raise UserError("No data file is given.")
    features = _features(paths[0], label, identifier)
    expected = {*features, label} | ({identifier} if identifier is not None else set())
    everything = [*paths, test] if test is not None else paths
    files = [_read(path, features, label, identifier, expected, paths[0]) for path in everything]
    if identifier is not None:
        _check_unique(files, identifier)
    names, y = _classes(files, label)
    X = files[0].X if len(files) == 1 else np.concatenate([file.X for file in files])
    ends = np.cumsum([0, *(len(file.X) for file in files)])
    ranges = [np.arange(first, last) for first, last in pairwise(ends.tolist())]
    raw: Line = gettext_noop("raw file") if len(files) == 1 else _RAW_FILES.of(n=len(files))
    beside = _BESIDE_BOTH.of(label=label, identifier=identifier) if identifier else BESIDE_LABEL.of(label=label)
    return Dataset(
        name="tabular",
        X=X,
        y=y,
        features=features,
        class_names=names,
        source=", ".join(str(path) for path in everything),
        funnel=[
            FunnelStep(raw, len(X), len(expected)),
            FunnelStep(gettext_noop("keep the features"), len(X), len(features), beside),
        ],
        groups={name: X[:, position] for position, name in enumerate(features)},
        given_parties=ranges[: len(paths)] if len(paths) > 1 else None,
        given_test=ranges[-1] if test is not None else None,
        preprocessing={
            "kind": "tabular",
            "features": features,
            "label": label,
            "identifier": identifier,
            "classes": list(names),
        },
    )


def _features(path: Path, label: str, identifier: str | None) -> list[str]:
    if label == identifier:
        raise UserError(f"Column '{label}' cannot be both the label and the identifier.")
    with open_table(path) as table:
        for role, name in (("label", label), ("identifier", identifier)):
            if name is not None and name not in table.columns:
                raise UserError(f"{path} has no {role} column '{name}'; its columns are {_some(table.columns)}.")
        features = [name for name in table.columns if name not in (label, identifier)]
    if not features:
        raise UserError(f"{path} has no column to learn from beside the label and the identifier.")
    return features


def _read(
    path: Path, features: list[str], label: str, identifier: str | None, expected: set[str], first: Path
) -> _File:
    with open_table(path) as table:
        missing = [
            name for name in [label, *features, *([identifier] if identifier else [])] if name not in table.columns
        ]
        extra = [name for name in table.columns if name not in expected]
        if missing or extra:
            parts = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(extra)} too many"] * bool(extra)
            raise UserError(f"{path} must have the same columns as {first}, but {' and '.join(parts)}.")
        # Columns are named by position: SQL does not tell 'a' from 'A'.
        selected = [f"try_cast({quoted(name)} AS DOUBLE) AS c{position}" for position, name in enumerate(features)]
        texts = {"label": label} | ({"id": identifier} if identifier is not None else {})
        selected += [f"trim({quoted(name)}) AS {alias}" for alias, name in texts.items()]
        columns = table.numbers(f"SELECT {', '.join(selected)} FROM raw")  # noqa: S608 - names are quoted
        rows = len(columns["label"])
        if not rows:
            raise UserError(f"{path} holds no rows, only a header.")
        X = np.empty((rows, len(features)))
        for position, name in enumerate(features):
            X[:, position] = float_column(columns.pop(f"c{position}"))
            bad = ~np.isfinite(X[:, position])
            if bad.any():
                raise _bad_value(table, name, int(np.flatnonzero(bad)[0]))
        found = {alias: _texts(table, columns[alias], name) for alias, name in texts.items()}
    return _File(path, X, found["label"], found.get("id", []))


def _texts(table: Table, values: NDArray[Any], name: str) -> list[str]:
    empty = np.ma.getmaskarray(values)
    if empty.any():
        raise _bad_value(table, name, int(np.flatnonzero(empty)[0]))
    texts: list[str] = np.ma.getdata(values).tolist()
    return texts


def _bad_value(table: Table, name: str, index: int) -> UserError:
    found = table.first(f"SELECT {quoted(name)} FROM raw LIMIT 1 OFFSET {index}")  # noqa: S608 - the name is quoted
    value = found[0] if found else None
    complaint = "is empty" if value is None else f"'{value}' is not a finite number"
    return UserError(
        f"{table.path}: column {name}, data row {index + 1} (the first after the header is 1): {complaint}."
    )


def _check_unique(files: list[_File], identifier: str) -> None:
    counts = Counter(value for file in files for value in file.identifiers)
    twice = [value for value, count in counts.items() if count > 1]
    if twice:
        places = ", ".join(str(file.path) for file in files if twice[0] in file.identifiers)
        raise UserError(f"Column {identifier} must be unique, but holds {_some(twice)} more than once (in {places}).")


def _classes(files: list[_File], label: str) -> tuple[tuple[str, str], Vector]:
    """Return the names of the two classes and every row's class as 0.0 or 1.0."""
    spellings = sorted({value for file in files for value in file.labels})
    source = files[0].path if len(files) == 1 else "the files"
    try:
        # '0' and '0.0' are one class.
        meaning: dict[str, Any] = {spelling: float(spelling) for spelling in spellings}
        numeric = all(math.isfinite(value) for value in meaning.values())
    except ValueError:
        numeric = False
    if not numeric:
        meaning = {spelling: spelling for spelling in spellings}
    values = sorted(set(meaning.values()))
    if len(values) != 2:
        raise UserError(
            f"The label column {label} of {source} must hold two different values, but holds {_some(spellings)}."
        )
    names = [next(spelling for spelling in spellings if meaning[spelling] == value) for value in values]
    y = np.array([meaning[spelling] == values[1] for file in files for spelling in file.labels], dtype=np.float64)
    return (names[0], names[1]), y


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MOST_SHOWN])
    return f"{shown} and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else shown


class Tabular(DatasetKind):
    """A labelled table of the user's own, or one a party."""

    name, order = "tabular", 30
    description = "any labelled CSV, or one a party: files, label, id, test"
    options = {
        "files": Option(list, required=True),
        "label": Option(str, required=True),
        "id": Option(str),
        "test": Option(str),
    }

    def check(self, where: str, options: Mapping[str, Any]) -> None:
        """Check the options, and that files are paths."""
        super().check(where, options)
        if not (options["files"] and all(isinstance(file, str) for file in options["files"])):
            raise UserError(f"{where}: files must be a list of at least one path")

    def describe(self, options: Mapping[str, Any]) -> Message:
        """Name the files and the label."""
        return _TITLE.of(file=", ".join(options["files"]), label=options["label"])

    def load(self, options: Mapping[str, Any], cache: Path) -> Dataset:
        """Read the files."""
        files = [Path(file) for file in options["files"]]
        test = Path(options["test"]) if options.get("test") else None
        return load(files, options["label"], identifier=options.get("id"), test=test)


KIND = Tabular()
