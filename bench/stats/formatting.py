"""Numbers in words: units, digits, signs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from bench.i18n.language import gettext, gettext_noop

NOT_MEASURED = gettext_noop("not measured")

ONE_VALUE = gettext_noop("(one value: no spread)")

SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit

TO = "\N{EN DASH}"

CONFIDENCE = "95 %"  # of all intervals, as headings write it

SIGNS = ("+", "\N{MINUS SIGN}")


class Unit(NamedTuple):
    """A unit and how many base units (seconds, bytes) it holds."""

    name: str
    size: float


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, thousands separated, without exponent where readable."""
    if not math.isfinite(value):
        return gettext(NOT_MEASURED)
    value = float(f"{value:.{digits}g}")
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -6 or magnitude > 14:
        text = f"{value:.{digits - 1}e}"
    else:
        text = f"{value:,.{max(0, digits - 1 - magnitude)}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def score(value: float) -> str:
    """Write a score with four decimals."""
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def difference(value: float) -> str:
    """Write a difference of scores with its sign and four decimals; what rounds to nothing has no sign."""
    text = f"{value:+.4f}"
    return "0.0000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def count(value: float) -> str:
    """Write a whole number, thousands separated."""
    return f"{value:,.0f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Write a share as a percentage; one decimal where whole numbers would hide the difference from 0 or 100."""
    value = 100 * share
    near_an_end = 0 < abs(value) < 10 or 99 < value < 100
    return f"{value:.{1 if near_an_end else 0}f}{SPACE}%".replace("-", "\N{MINUS SIGN}")


def time_unit(seconds: Iterable[float]) -> Unit:
    """Choose one unit for a whole table: a reader compares within columns.

    A few seconds beside milliseconds are written in milliseconds: 2,930 beside 7.4 is easier to read than 0.0074.
    """
    found = list(seconds)
    largest = max(found, default=0.0)
    if largest >= 20 or (largest >= 2 and min((value for value in found if value > 0), default=0.0) >= 0.1):
        return Unit("s", 1.0)
    return Unit("ms", 1e-3) if largest >= 2e-3 else Unit("µs", 1e-6)


def byte_unit(sizes: Iterable[float]) -> Unit:
    """Choose one unit for a whole table; kB and MB are 1,000 and 1,000,000 bytes."""
    largest = max(sizes, default=0.0)
    if largest >= 1e8:
        return Unit("MB", 1e6)
    return Unit("kB", 1e3) if largest >= 1e5 else Unit("B", 1.0)


def in_unit(value: float, unit: Unit) -> str:
    """Write ``value`` (base units) in ``unit``, without the unit's name. Bytes below 100 kB are written in full."""
    return count(value) if unit.name == "B" and float(value).is_integer() else number(value / unit.size)


def seconds(value: float) -> str:
    """Write a duration in its own best unit."""
    unit = time_unit([value])
    return f"{in_unit(value, unit)}{SPACE}{unit.name}"


def size(value: float) -> str:
    """Write a number of bytes in its own best unit."""
    unit = byte_unit([value])
    return f"{in_unit(value, unit)}{SPACE}{unit.name}"
