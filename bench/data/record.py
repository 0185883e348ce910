"""One record as it comes to a served model, turned into the model's features by the rules that its training data had.

The rules travel in the model file ("preprocessing"). They are applied here in plain Python, because a service must not
load what reads whole files; bench/data/lending_club.py states the same rules in SQL, and the tests hold the two to give
the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

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
    categories = {column: list(values) for column, values in preprocessing.get("categories", {}).items()}
    encoded = {f"{column}={value}" for column, values in categories.items() for value in values}
    kinds = preprocessing.get("numbers", {})
    rules = {name: RULES[kinds.get(name, "number")] for name in features if name not in encoded}

    def numbers(record: Mapping[str, Any]) -> dict[str, float]:
        """Read the features of the record one by one."""
        row = {}
        for name in [*rules, *(name for name in encoded if name in record)]:
            value = record.get(name)
            if type(value) is not float or not math.isfinite(value):
                value = _value(name, value, rules.get(name, number))
            row[name] = value
        return row

    def read(record: Mapping[str, Any]) -> list[float]:
        try:
            row = [record[name] for name in features]
        except KeyError:
            pass
        else:
            # The usual case, without a look at each: only numbers, and none that is infinite or NaN.
            if set(map(type, row)) <= _PLAIN and record.keys().isdisjoint(categories):
                with suppress(OverflowError):  # integers beyond any float
                    if math.isfinite(sum(row)):
                        return row
        _complain_of_absent(record, list(rules), categories)
        found = numbers(record)
        for column, values in categories.items():
            if column in record:
                chosen = _category(column, record[column], values)
                found.update({f"{column}={value}": float(value == chosen) for value in values})
        return [found[name] for name in features]

    return read


_PLAIN = frozenset((int, float))


def _complain_of_absent(record: Mapping[str, Any], plain: list[str], categories: Mapping[str, list[str]]) -> None:
    """Refuse a record that lacks fields, naming all of them, or that gives a category both ways."""
    absent = [name for name in plain if _is_missing(record.get(name))]
    for column, values in categories.items():
        names = [f"{column}={value}" for value in values]
        given = [name for name in names if name in record]
        if column in record and given:
            raise RecordError(f"{column} is given twice, as {column} and as {given[0]}")
        if column in record:
            absent += [column] * _is_missing(record[column])
        elif given:
            absent += [name for name in names if _is_missing(record.get(name))]
        else:
            absent.append(column)
    if absent:
        raise RecordError(f"missing: {', '.join(absent)}")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in MISSING)


def _value(name: str, value: Any, rule: Rule) -> float:
    """Return a number as a finite float."""
    try:
        if isinstance(value, str):
            result = rule(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            result = float(value)
        else:
            raise ValueError
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise RecordError(f"{name}: {_shown(value)} is not a finite number")
    return result


def _category(column: str, value: Any, known: list[str]) -> str:
    text = value.strip(SPACES) if isinstance(value, str) else None
    if text not in known:
        raise RecordError(f"{column}: {_shown(value)} is not one of {', '.join(known)}")
    return text


def _shown(value: Any) -> str:
    """Return a value as the record had it, shortened."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; an integer of thousands of digits
        return "the value"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
