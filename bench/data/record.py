"""One record as it comes to a served model, turned into the model's features by the rules that its training data had.

The rules travel in the model file ("preprocessing"). They are applied here in plain Python, because a service must not
load what reads whole files; bench/data/lending_club.py states the same rules in SQL, and the tests hold the two to give
the same bits.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rule = Callable[[str], float]

MISSING = frozenset(("", "n/a", "NA", "NaN", "nan"))
# What SQL's trim() takes away: spaces of every width, but no tabs and line ends; those fall when a number is read.
SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
EMPLOYMENT = {"< 1 year": 0.0, "1 year": 1.0, "10+ years": 10.0}
LONGEST_SHOWN = 60


class RecordError(Exception):
    """Why a record cannot be scored, in one line that names the field."""


def number(text: str) -> float:
    """Read a number as SQL's cast to DOUBLE does.

    Raises ValueError where the text is none.
    """
    text = text.strip(" \t\n\v\f\r")
    if not (text.isascii() and text.isprintable()):  # Python would also read other alphabets' digits
        raise ValueError
    return float(text)


def _percent(text: str) -> float:
    return number(text.rstrip("% "))


def _months(text: str) -> float:
    return number(text.replace("months", ""))


def _years(text: str) -> float:
    known = EMPLOYMENT.get(text.strip(SPACES))
    return number(text.replace("years", "")) if known is None else known


RULES: dict[str, Rule] = {"number": number, "percent": _percent, "months": _months, "years": _years}
"""How the text of a raw column becomes a number, by the name that the model file gives the rule."""


def reader(preprocessing: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], list[float]]:
    """Return the function that turns a record {field: value} into the features of a model, in the model's order.

    A record holds the features themselves, or raw columns of the data that the model was trained on; both may be mixed,
    but not for one column. Values are JSON numbers, or text as in the raw file. Other fields are ignored. The function
    raises RecordError where a field is missing, is given twice, or holds what the training would have refused.

    Raises KeyError or TypeError where ``preprocessing`` is not one of a model file.
    """
    features: list[str] = list(preprocessing["features"])
    place_of = {name: place for place, name in enumerate(features)}
    categories = [
        _Category(column, {value: place_of[f"{column}={value}"] for value in values})
        for column, values in preprocessing.get("categories", {}).items()
    ]
    columns = frozenset(category.column for category in categories)
    encoded = {name for category in categories for name in category.features}
    kinds = preprocessing.get("numbers", {})
    plain = [(place, name, RULES[kinds.get(name, "number")]) for name, place in place_of.items() if name not in encoded]

    def read_each(record: Mapping[str, Any]) -> list[float]:
        row = [0.0] * len(features)
        for place, name, rule in plain:
            row[place] = _value(name, record.get(name), rule)
        for category in categories:
            if category.column in record:
                row[category.place(record)] = 1.0
            else:
                for name, place in category.features.items():
                    row[place] = _value(name, record.get(name), number)
        return row

    def read(record: Mapping[str, Any]) -> list[float]:
        try:
            row = [record[name] for name in features]
        except KeyError:
            pass
        else:
            # The usual case, without a look at each: only numbers, and none that is infinite or NaN.
            if set(map(type, row)) <= _PLAIN and record.keys().isdisjoint(columns):
                with suppress(OverflowError):  # integers beyond any float
                    if math.isfinite(sum(row)):
                        return row
        try:
            return read_each(record)
        except _AbsentError:
            absent = [name for _, name, _ in plain if _is_absent(record.get(name))]
            absent += [name for category in categories for name in category.absent(record)]
            raise RecordError(f"missing: {', '.join(absent)}") from None

    return read


def plain_reader(
    preprocessing: Mapping[str, Any],
) -> Callable[[Sequence[Mapping[str, Any]]], NDArray[np.float64] | None]:
    """Return the function that turns n > 0 records into the d features of all of them, (n, d).

    It takes a third of the time of ``reader``, but only records that hold all features as finite JSON numbers, and
    nothing else that means one; it returns None where one of them does not, and ``reader`` says why.

    Raises KeyError or TypeError where ``preprocessing`` is not one of a model file.
    """
    features: list[str] = list(preprocessing["features"])
    columns = frozenset(preprocessing.get("categories", {}))
    if len(features) < 2:  # an itemgetter of one name returns no tuple
        return lambda _: None
    values_of = itemgetter(*features)

    def read(records: Sequence[Mapping[str, Any]]) -> NDArray[np.float64] | None:
        try:
            values = list(chain.from_iterable(map(values_of, records)))
        except KeyError:
            return None
        if not set(map(type, values)) <= _PLAIN or not all(record.keys().isdisjoint(columns) for record in records):
            return None
        try:
            rows = array("d", values)
        except OverflowError:  # integers beyond any float
            return None
        X = np.frombuffer(rows).reshape(len(records), -1)
        return X if np.isfinite(X).all() else None

    return read


_PLAIN = frozenset((int, float))


class _AbsentError(Exception):
    """A field is missing; which ones is found out only then."""


class _Category:
    """A raw column of categories, and the features, one a category, that it becomes."""

    def __init__(self, column: str, places: dict[str, int]) -> None:
        self.column, self._places = column, places
        self.features = {f"{column}={value}": place for value, place in places.items()}

    def place(self, record: Mapping[str, Any]) -> int:
        """Return the place of the feature that is 1 for the record's category."""
        value = record[self.column]
        if not self.features.keys().isdisjoint(record):
            raise RecordError(f"{self.column} is given twice, as itself and as features")
        if _is_absent(value):
            raise _AbsentError
        place = self._places.get(value.strip(SPACES)) if isinstance(value, str) else None
        if place is None:
            raise RecordError(f"{self.column}: {_shown(value)} is not one of {', '.join(self._places)}")
        return place

    def absent(self, record: Mapping[str, Any]) -> list[str]:
        """Return what the record lacks of this category: the column, or some of its features."""
        absent = [name for name in self.features if _is_absent(record.get(name))]
        return absent if len(absent) < len(self.features) else [self.column] * _is_absent(record.get(self.column))


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in MISSING)


def _value(name: str, value: Any, rule: Rule) -> float:
    """Return a number as a finite float."""
    if _is_absent(value):
        raise _AbsentError
    try:
        result = rule(value) if isinstance(value, str) else float(value) if type(value) in _PLAIN else math.nan
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise RecordError(f"{name}: {_shown(value)} is not a finite number")
    return result


def _shown(value: Any) -> str:
    """Return a value as the record had it, shortened."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; an integer of thousands of digits
        return "the value"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
