"""Lending Club's ``loan.csv`` (the public 2007-2015 file of 74 columns) through the thesis's steps to 37 features.

The file is read once by streaming SQL, which converts the needed columns and drops the text as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.kind import DatasetKind, Option
from bench.data.reader import Table, float_column, identifier, literal, literals, open_table
from bench.data.table import BESIDE_LABEL, Dataset, FunnelStep, Matrix, Rows, Vector
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message

TITLE = Message("lending_club_loans", gettext_noop("Lending Club loans from {file}"))
_CATEGORIES = gettext_noop("fixed lists of 6, 3 and 14 categories")
_FORMATS = gettext_noop("percent signs, months, years of employment")
_MORE_COLUMNS = Message("more_columns", gettext_noop("{n} more than the public file"))
_DRAWN = Message("subsample_share", gettext_noop("drawn at random so that Charged Off is {share}"))

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

# Columns to split by, where the file has them; a value outside of the list becomes ''.
GRADES = list("ABCDEFG")
STATES = (
    "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV NY OH OK OR "
    "PA RI SC SD TN TX UT VA VT WA WI WV WY"
).split()
PUBLIC_COLUMNS = 74

MISSING = ["", "n/a", "NA", "NaN", "nan"]
LEAST_PRESENT = (2, 3)
"""A column stays when at least two thirds of its values are there."""

MASK_BITS = 30
EARLY = "(SELECT * FROM raw LIMIT 2000)"

# A text that is no number becomes NaN, which is then reported with its row; a missing value never gets this far.
CONVERSIONS = {
    "number": "coalesce(try_cast({0} AS DOUBLE), 'nan')",
    "percent": "coalesce(try_cast(rtrim({0}, '% ') AS DOUBLE), 'nan')",
    "months": "coalesce(try_cast(replace({0}, 'months', '') AS DOUBLE), 'nan')",
    "years": "CASE trim({0}) WHEN '< 1 year' THEN 0 WHEN '1 year' THEN 1 WHEN '10+ years' THEN 10 "
    "ELSE coalesce(try_cast(replace({0}, 'years', '') AS DOUBLE), 'nan') END",
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
            raise UserError(
                f"{path} is not a Lending Club loan.csv: it lacks the columns {', '.join(absent)}; "
                "for any other table name its label column with --label."
            )
        funnel = _funnel(table, _scan(table))
        names = [f"fields[{position}] AS {name}" for position, name in enumerate(_fields(table), 1)]
        columns = table.numbers(f"SELECT {', '.join(names)} FROM loans WHERE fields IS NOT NULL")  # noqa: S608
        X, y = _features(table, columns)
    funnel.append(FunnelStep(gettext_noop("drop incomplete rows"), len(y), len(NEEDED)))
    funnel.append(
        FunnelStep(
            gettext_noop("one-hot encode 3 categories"),
            len(y),
            len(FEATURES),
            _CATEGORIES,
        )
    )
    groups = _groups(columns)
    _check_classes(path, y)
    if charged_off_share is not None:
        kept = _subsample(path, y, charged_off_share, seed)
        X, y, groups = X[kept], y[kept], {name: values[kept] for name, values in groups.items()}
        note = _DRAWN.of(share=f"{charged_off_share:.1%}")
        funnel.append(FunnelStep(gettext_noop("subsample"), len(y), len(FEATURES), note))
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
    """What the scan found: rows, finished rows, per column the number of values and whether two of them differ."""

    rows: int
    finished: int
    present: dict[str, int]
    varies: dict[str, bool]


def _scan(table: Table) -> _Counts:
    """Read the file once: keep the converted loans in the table ``loans``, and count what every column holds.

    The file is too big to keep as text and reading it is what takes the time. So each row carries, beside its converted
    fields, one bit per condition to be counted.
    """
    columns = table.columns
    names = [identifier(name) for name in columns]
    # Most columns show two different values at once; for the others one bit says "differs from the first value".
    shown = table.first(f"SELECT {', '.join(f'[min({name}), max({name})]' for name in names)} FROM {EARLY}")  # noqa: S608
    assert shown is not None
    constant = {name: least for name, (least, most) in zip(columns, shown, strict=True) if least == most}
    differing = {name: first for name, first in constant.items() if first is not None}
    conditions = [_finished(), *(f"{name} IS NOT NULL" for name in names)]
    conditions += [f"coalesce({identifier(name)} <> {literal(first)}, false)" for name, first in differing.items()]
    masks = [_mask(conditions[start : start + MASK_BITS]) for start in range(0, len(conditions), MASK_BITS)]
    numbered = [f"{mask} AS mask_{number}" for number, mask in enumerate(masks)]
    fields = f"CASE WHEN {_finished()} AND {_present()} THEN [{', '.join(_fields(table).values())}] END AS fields"
    table.run(f"CREATE TEMP TABLE loans AS SELECT {fields}, {', '.join(numbered)} FROM raw")  # noqa: S608
    rows, finished, *counts = _tally(table, len(conditions))
    present = dict(zip(columns, counts, strict=False))
    differ = dict(zip(differing, counts[len(columns) :], strict=True))
    varies = {name: name not in constant or differ.get(name, 0) > 0 for name in columns}
    for name in set(constant) - set(differing):
        # Empty at first: rare enough among full columns to be looked at again.
        if _full(present[name], rows):
            varies[name] = table.first(f"SELECT min({identifier(name)}) <> max({identifier(name)}) FROM raw") == (True,)  # noqa: S608
    return _Counts(rows, finished, present, varies)


def _mask(conditions: list[str]) -> str:
    """Return SQL for one number that holds a bit for each condition."""
    # CASE takes less time than shifting a cast truth value.
    bits = [
        f"CASE WHEN {condition} THEN {1 << bit}::UINTEGER ELSE 0::UINTEGER END"
        for bit, condition in enumerate(conditions)
    ]
    return " | ".join(bits)


def _tally(table: Table, conditions: int) -> list[int]:
    """Count the rows, and those that meet each condition. Few bit patterns occur, so they are grouped first."""
    found = table.numbers("SELECT count(*) AS rows, COLUMNS('mask_.*') FROM loans GROUP BY ALL")
    rows = np.ma.filled(found.pop("rows"))
    bits = [np.ma.filled(mask) >> np.uint32(bit) & np.uint32(1) for mask in found.values() for bit in range(MASK_BITS)]
    return [int(rows.sum()), *(int(rows @ bit.astype(np.int64)) for bit in bits[:conditions])]


def _full(values: int, rows: int) -> bool:
    part, whole = LEAST_PRESENT
    return values * whole >= rows * part


def _funnel(table: Table, counts: _Counts) -> list[FunnelStep]:
    """Return the steps up to the 17 features, and refuse a file that does not get that far."""
    if not counts.rows:
        raise UserError(f"{table.path} holds no rows, only a header.")
    full = [name for name in table.columns if _full(counts.present[name], counts.rows)]
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
            gettext_noop("raw file"), counts.rows, len(table.columns), _MORE_COLUMNS.of(n=extra) if extra > 0 else ""
        ),
        FunnelStep(gettext_noop("drop columns with fewer than 2/3 of their values"), counts.rows, len(full)),
        FunnelStep(gettext_noop("drop single-valued columns"), counts.rows, len(varied), ", ".join(notes)),
        FunnelStep(
            gettext_noop("convert formats"),
            counts.rows,
            len(varied),
            _FORMATS,
        ),
        FunnelStep(gettext_noop("keep Fully Paid and Charged Off"), counts.finished, len(varied)),
        FunnelStep(gettext_noop("keep the 17 features"), counts.finished, len(NEEDED), BESIDE_LABEL.of(label=LABEL)),
    ]


def _finished() -> str:
    return f"coalesce({identifier(LABEL)} IN ({literals(CLASS_NAMES)}), false)"


def _present() -> str:
    return " AND ".join(f"{identifier(column)} IS NOT NULL" for column in NEEDED)


def _fields(table: Table) -> dict[str, str]:
    """Return the fields to keep and the SQL that makes them numbers: a category becomes its position, from 1."""
    fields = {"label": f"({identifier(LABEL)} = {literal(CLASS_NAMES[1])})::DOUBLE"}
    for column, kind in NUMBERS.items():
        fields[column] = CONVERSIONS[kind].format(identifier(column))
    for column, known in CATEGORIES.items():
        fields[column] = _position(column, known)
    if "issue_d" in table.columns:
        fields["issue_year"] = "coalesce(try_cast(regexp_extract(issue_d, '(19|20)[0-9][0-9]') AS DOUBLE), 0)"
    if "grade" in table.columns:
        fields["group_grade"] = _position("grade", GRADES)
    if "addr_state" in table.columns:
        fields["group_state"] = _position("addr_state", STATES)
    return fields


def _position(column: str, known: list[str]) -> str:
    """Return SQL for the position of a value in a list, from 1; 0 where it is not in it."""
    return f"coalesce(enum_code(try_cast(trim({identifier(column)}) AS ENUM ({literals(known)})))::DOUBLE + 1, 0)"


def _groups(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    groups: dict[str, NDArray[Any]] = {}
    if "issue_year" in columns:
        groups["issue_year"] = float_column(columns["issue_year"]).astype(np.int64)
    for name, field, known in (("grade", "group_grade", GRADES), ("addr_state", "group_state", STATES)):
        if field in columns:
            groups[name] = np.array(["", *known])[float_column(columns[field]).astype(np.int64)]
    return groups


def _features(table: Table, columns: dict[str, NDArray[Any]]) -> tuple[Matrix, Vector]:
    """Fill the (rows, 37) matrix column by column, and refuse what could not be converted."""
    y = float_column(columns["label"])
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
        positions = float_column(columns.pop(column)).astype(np.int64)
        if not positions.all():
            row = int(np.flatnonzero(positions == 0)[0])
            raise _bad_value(table, column, row, f"is not one of {', '.join(known)}")
        X[rows, first + positions - 1] = 1.0
        first += len(known)
    return X, y


def _bad_value(table: Table, column: str, index: int, complaint: str) -> UserError:
    """Name the value in the ``index``-th complete row, and where that row is in the file."""
    found = table.first(
        f"SELECT row, value FROM (SELECT *, row_number() OVER () AS row, {identifier(column)} AS value FROM raw) "  # noqa: S608
        f"WHERE {_finished()} AND {_present()} LIMIT 1 OFFSET {index}"
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


class LendingClub(DatasetKind):
    """Lending Club's public loan.csv."""

    name, order = "lending_club", 10
    description = "Lending Club's loan.csv (74 columns): file, charged_off_share"
    options = {"file": Option(str, required=True), "charged_off_share": Option((int, float))}

    def describe(self, options: Mapping[str, Any]) -> Message:
        """Name the file."""
        return TITLE.of(file=options["file"])

    def load(self, options: Mapping[str, Any], cache: Path) -> Dataset:
        """Read the file."""
        return load(Path(options["file"]), options.get("charged_off_share"))


KIND = LendingClub()
