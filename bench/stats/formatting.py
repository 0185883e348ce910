"""Numbers in words: units, digits, signs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from bench.i18n.language import gettext, gettext_noop, ngettext

if TYPE_CHECKING:  # SciPy takes a while to import, and a served model does without
    from bench.stats.comparison import Comparison
    from bench.stats.summaries import Summary

Write = Callable[[float], str]

NOT_MEASURED = gettext_noop("not measured")
SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
TO = "\N{EN DASH}"
CONFIDENCE = "95 %"  # of all intervals, as headings write it
_SIGNS = ("+", "\N{MINUS SIGN}")
_EQUALS = f"{SPACE}={SPACE}"

_VERDICTS = {
    "slower": gettext_noop("slower"),
    "faster": gettext_noop("faster"),
    "more": gettext_noop("more"),
    "fewer": gettext_noop("fewer"),
    "less": gettext_noop("less"),
    "higher": gettext_noop("higher"),
    "lower": gettext_noop("lower"),
    "identical": gettext_noop("identical"),
    "differs": gettext_noop("differs (neither side varies)"),
    "differs by a constant": gettext_noop("differs (by the same in every repeat)"),
    "too few values": gettext_noop("unknown (fewer than 3 values on a side)"),
}
_REASONS = {
    "too few values": gettext_noop("fewer than 3 values on a side"),
    "not measured": NOT_MEASURED,
}


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


def range_of(summary: Summary, write: Write) -> str:
    """Write the lowest and the highest value of a summary."""
    if summary.n == 1:
        return gettext("(one value)")
    if summary.low == summary.high:
        return gettext("all {n} equal", n=summary.n)
    return span(write(summary.low), write(summary.high))


def span(low: str, high: str) -> str:
    """Join the ends of a range or an interval."""
    # A dash between two signs would read as one more sign.
    signed = low[:1] in _SIGNS or high[:1] in _SIGNS
    return gettext("{low} to {high}", low=low, high=high) if signed else f"{low}{TO}{high}"


def in_words(summary: Summary | None, write: Write, unit: str = "") -> str:
    """Write a summary for a sentence: the median, then the range and the number of repeats in brackets."""
    if summary is None:
        return gettext(NOT_MEASURED)
    value, spread = f"{write(summary.median)}{unit}", range_of(summary, write)
    if summary.n == 1:
        return gettext("{value} {spread}", value=value, spread=spread)
    if summary.low == summary.high:
        return gettext("{value} ({spread})", value=value, spread=spread)
    return gettext("{value} ({spread}, {n})", value=value, spread=f"{spread}{unit}", n=f"n{_EQUALS}{summary.n}")


def repeats(counts: Iterable[int]) -> str:
    """Write how many repeats the figures of several cases stand on, for captions."""
    found = sorted(set(counts) - {0})
    if not found:
        return gettext("n = 0 repeats")
    several = gettext("{low} to {high}", low=found[0], high=found[-1])
    spoken = f"n{_EQUALS}{several if len(found) > 1 else found[0]}"
    return ngettext("{n} repeat a case", "{n} repeats a case", found[-1], n=spoken)


def reason(comparison: Comparison) -> str:
    """Say why a comparison has no estimate, or why it has no interval."""
    return gettext(_REASONS[comparison.verdict]) if comparison.verdict in _REASONS else verdict(comparison)


def verdict(comparison: Comparison, missing: str | None = None) -> str:
    """Say what a comparison called. ``missing`` names the side without values where that is the verdict."""
    if comparison.verdict == "not significant":
        neutral = "1" if comparison.kind == "ratio" else "0"
        return gettext("not significant ({confidence} CI includes {value})", confidence=CONFIDENCE, value=neutral)
    if comparison.verdict == "not measured":
        return gettext("not measured in {side}", side=missing) if missing else gettext(NOT_MEASURED)
    return gettext(_VERDICTS[comparison.verdict])
