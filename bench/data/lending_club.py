"""Lending Club's ``loan.csv`` (the public 2007-2015 file of 74 columns) through the thesis's steps to 37 features.

The file is read twice by streaming SQL: once to count what every column holds, once to convert the columns that are
needed. Neither pass keeps the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.reader import Table, float_column, identifier, literal, literals, open_table
from bench.data.table import Dataset, FunnelStep, Matrix, Rows, Vector
from bench.errors import UserError

LABEL = "loan_status"
CLASS_NAMES = ("Charged Off", "Fully Paid")

# The number columns, and how their text becomes a number.
NUMBERS = {
    "loan_amnt": "number",
    "term": "months",
    "int_rate": "percent",
    "installment": "number",
    "emp_length": "years",
    "annual_inc": "number",
    "dti": "number",
    "delinq_2yrs": "number",
    "inq_last_6mths": "number",
    "open_acc": "number",
    "pub_rec": "number",
    "revol_bal": "number",
    "revol_util": "percent",
    "total_acc": "number",
}

# Fixed lists: parties must agree on the columns without seeing each other's rows.
CATEGORIES = {
    "home_ownership": ["ANY", "MORTGAGE", "NONE", "OTHER", "OWN", "RENT"],
    "verification_status": ["Not Verified", "Source Verified", "Verified"],
    "purpose": [
        "car",
        "credit_card",
        "debt_consolidation",
        "educational",
        "home_improvement",
        "house",
        "major_purchase",
        "medical",
        "moving",
        "other",
        "renewable_energy",
        "small_business",
        "vacation",
        "wedding",
    ],
}

NEEDED = [*NUMBERS, *CATEGORIES]
FEATURES = [*NUMBERS, *(f"{column}={value}" for column, values in CATEGORIES.items() for value in values)]
GROUPS = {"issue_year": "issue_d", "grade": "grade", "addr_state": "addr_state"}
PUBLIC_COLUMNS = 74

MISSING = ["", "n/a", "N/A", "NA", "NaN", "nan", "null", "NULL"]
LEAST_PRESENT = (2, 3)
"""A column stays when at least two thirds of its values are there."""

# A text that is no number becomes NaN, which is then reported with its row; a missing value never gets this far.
CONVERSIONS = {
    "number": "coalesce(try_cast({0} AS DOUBLE), 'nan'::DOUBLE)",
    "percent": "coalesce(try_cast(rtrim({0}, '% ') AS DOUBLE), 'nan'::DOUBLE)",
    "months": "coalesce(try_cast(replace({0}, ' months', '') AS DOUBLE), 'nan'::DOUBLE)",
    "years": "CASE {0} WHEN '< 1 year' THEN 0 WHEN '1 year' THEN 1 WHEN '10+ years' THEN 10 "
    "ELSE coalesce(try_cast(replace({0}, ' years', '') AS DOUBLE), 'nan'::DOUBLE) END",
}


def load(path: Path, charged_off_share: float | None = None, seed: int = 0) -> Dataset:
    """Read a ``loan.csv`` (.csv, .csv.gz, .zip or .parquet) and return its finished loans as 37 numeric features.

    ``charged_off_share``, between 0 and 1, drops rows of one class at random (by ``seed``) until the Charged Off class
    has that share. Rows are in file order; nothing is scaled. The funnel records every step.

    Raises UserError, in one line, when the file cannot be read, a needed column is missing or mostly empty, a
    value cannot be converted or is in no category list (a category that is silently no column would change what
    the other columns mean), no row is left, or only one class is left.
    """
    if charged_off_share is not None and not 0 < charged_off_share < 1:
        raise UserError(f"The share of Charged Off loans must lie between 0 and 1, not {charged_off_share:g}.")
    with open_table(path, MISSING) as table:
        absent = [column for column in [*NEEDED, LABEL] if column not in table.columns]
        if absent:
            raise UserError(f"{path} is not a Lending Club loan.csv: it lacks the columns {', '.join(absent)}.")
        funnel = _funnel(table, _count(table))
        columns = _extract(table)
        X, y = _features(table, columns)
    funnel.append(FunnelStep("drop incomplete rows", len(y), len(NEEDED)))
    funnel.append(
        FunnelStep("one-hot encode 3 categories", len(y), len(FEATURES), "fixed lists of 6, 3 and 14 categories")
    )
    groups = {name: np.ma.filled(columns[name]) for name in GROUPS if name in columns}
    _check_classes(path, y)
    if charged_off_share is not None:
        kept = _subsample(path, y, charged_off_share, seed)
        X, y, groups = X[kept], y[kept], {name: values[kept] for name, values in groups.items()}
        note = f"drawn at random so that Charged Off is {charged_off_share:.1%}"
        funnel.append(FunnelStep("subsample", len(y), len(FEATURES), note))
    return Dataset(
        name="lending_club",
        X=X,
        y=y,
        features=list(FEATURES),
        class_names=CLASS_NAMES,
        source=str(path),
        funnel=funnel,
        groups=groups,
        preprocessing={
            "kind": "lending_club",
            "features": list(FEATURES),
            "numbers": dict(NUMBERS),
            "categories": {column: list(values) for column, values in CATEGORIES.items()},
        },
    )


@dataclass(frozen=True)
class _Counts:
    """What pass one finds: per column, the number of values and whether there are two different ones."""

    rows: int
    finished: int
    present: dict[str, int]
    varies: dict[str, bool]


def _count(table: Table) -> _Counts:
    """Pass one: how full and how varied every column is."""
    names = [identifier(name) for name in table.columns]
    differs = [f"coalesce(min({name}) <> max({name}), false)" for name in names]
    present = [f"count({name})" for name in names]
    finished = f"count(*) FILTER ({identifier(LABEL)} IN ({literals(CLASS_NAMES)}))"
    row = table.first(f"SELECT count(*), {finished}, {', '.join(present + differs)} FROM raw")  # noqa: S608
    assert row is not None
    rows, finished_rows, *rest = row
    columns = table.columns
    return _Counts(
        rows,
        finished_rows,
        dict(zip(columns, rest[: len(columns)], strict=True)),
        dict(zip(columns, rest[len(columns) :], strict=True)),
    )


def _funnel(table: Table, counts: _Counts) -> list[FunnelStep]:
    """Return the steps up to the 17 features, and refuse a file that does not get that far."""
    if not counts.rows:
        raise UserError(f"{table.path} holds no rows, only a header.")
    part, whole = LEAST_PRESENT
    full = [name for name in table.columns if counts.present[name] * whole >= counts.rows * part]
    fallen = [name for name in [*NEEDED, LABEL] if name not in full]
    if fallen:
        share = counts.present[fallen[0]] / counts.rows
        raise UserError(
            f"{table.path}: the needed column {fallen[0]} has a value in {share:.0%} of the rows only; "
            "at least two thirds are needed."
        )
    if not counts.finished:
        raise UserError(f"{table.path}: no row has the {LABEL} 'Fully Paid' or 'Charged Off', so no row is left.")
    single = [name for name in full if not counts.varies[name]]
    varied = [name for name in full if counts.varies[name] or name in NEEDED]
    notes = [name for name in single if name not in NEEDED]
    notes += [f"{name} is single-valued too, but stays as a feature" for name in single if name in NEEDED]
    extra = len(table.columns) - PUBLIC_COLUMNS
    return [
        FunnelStep(
            "raw file", counts.rows, len(table.columns), f"{extra} more than the public file" if extra > 0 else ""
        ),
        FunnelStep("drop columns with fewer than 2/3 of their values", counts.rows, len(full)),
        FunnelStep("drop single-valued columns", counts.rows, len(varied), ", ".join(notes)),
        FunnelStep("convert formats", counts.rows, len(varied), "percent signs, months, years of employment"),
        FunnelStep("keep Fully Paid and Charged Off", counts.finished, len(varied)),
        FunnelStep("keep the 17 features", counts.finished, len(NEEDED), f"beside the label {LABEL}"),
    ]


def _complete() -> str:
    """Return the SQL condition for the rows that are finished and complete."""
    present = " AND ".join(f"{identifier(column)} IS NOT NULL" for column in NEEDED)
    return f"{identifier(LABEL)} IN ({literals(CLASS_NAMES)}) AND {present}"


def _extract(table: Table) -> dict[str, NDArray[Any]]:
    """Pass two: the needed columns of the complete rows as numbers and as positions in the category lists."""
    wanted = [f"({identifier(LABEL)} = {literal(CLASS_NAMES[1])})::UTINYINT AS label"]
    for column, kind in NUMBERS.items():
        wanted.append(f"{CONVERSIONS[kind].format(f'trim({identifier(column)})')} AS {column}")
    for column, values in CATEGORIES.items():
        # Position 0 is no category of the list.
        wanted.append(
            f"coalesce(list_position([{literals(values)}], trim({identifier(column)})), 0)::UTINYINT AS {column}"
        )
    for name, column in GROUPS.items():
        if column in table.columns:
            text = f"coalesce({identifier(column)}, '')"
            year = f"coalesce(try_cast(regexp_extract({text}, '(19|20)[0-9][0-9]') AS SMALLINT), 0::SMALLINT)"
            wanted.append(f"{year if name == 'issue_year' else text} AS {name}")
    return table.numbers(f"SELECT {', '.join(wanted)} FROM raw WHERE {_complete()}")  # noqa: S608 - likewise


def _features(table: Table, columns: dict[str, NDArray[Any]]) -> tuple[Matrix, Vector]:
    """Fill the (rows, 37) matrix column by column, and refuse what could not be converted."""
    y = np.ma.filled(columns["label"]).astype(np.float64)
    if not len(y):
        raise UserError(f"{table.path}: no finished loan has all of the 17 features, so no row is left.")
    X = np.zeros((len(y), len(FEATURES)))
    for position, column in enumerate(NUMBERS):
        values = float_column(columns.pop(column))
        if not np.isfinite(values).all():
            raise _bad_value(table, column, int(np.flatnonzero(~np.isfinite(values))[0]), "is not a number")
        X[:, position] = values
    first, rows = len(NUMBERS), np.arange(len(y))
    for column, known in CATEGORIES.items():
        positions = np.ma.filled(columns.pop(column))
        if not positions.all():
            row = int(np.flatnonzero(positions == 0)[0])
            raise _bad_value(table, column, row, f"is not one of {', '.join(known)}")
        X[rows, first + positions.astype(np.int64) - 1] = 1.0
        first += len(known)
    return X, y


def _bad_value(table: Table, column: str, index: int, complaint: str) -> UserError:
    """Name the value in the ``index``-th complete row, and where that row is in the file."""
    found = table.first(
        f"SELECT row, value FROM (SELECT *, row_number() OVER () AS row, {identifier(column)} AS value FROM raw) "  # noqa: S608
        f"WHERE {_complete()} LIMIT 1 OFFSET {index}"
    )
    row, value = found if found else ("?", "?")
    return UserError(
        f"{table.path}: column {column}, data row {row} (the first after the header is 1): '{value}' {complaint}."
    )


def _check_classes(path: Path, y: Vector) -> None:
    if not y.any() or y.all():
        held = CLASS_NAMES[int(y[0])]
        raise UserError(f"{path}: every complete row is {held}; both Fully Paid and Charged Off loans are needed.")


def _subsample(path: Path, y: Vector, share: float, seed: int) -> Rows:
    """Choose rows, in file order, so that class 0 has the wanted share; only one class loses rows."""
    zeros, ones = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    rng = np.random.default_rng(seed)
    wanted_ones, wanted_zeros = round(len(zeros) * (1 - share) / share), round(len(ones) * share / (1 - share))
    if wanted_ones <= len(ones):
        ones = rng.choice(ones, wanted_ones, replace=False)
    else:
        zeros = rng.choice(zeros, wanted_zeros, replace=False)
    if not len(zeros) or not len(ones):
        raise UserError(f"{path}: too few loans to make Charged Off {share:g} of them.")
    return np.sort(np.concatenate([zeros, ones]))
