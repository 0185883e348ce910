"""Take figures out of a run and put them into words; shared by the report and the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from bench.language import gettext, gettext_noop
from bench.measure.trace import COMMUNICATING

NOT_MEASURED = gettext_noop("not measured")
ONE_VALUE = gettext_noop("(one value: no spread)")
SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
TO = "\N{EN DASH}"
CONFIDENCE = "95 %"  # of all intervals, as headings write it
SIGNS = ("+", "\N{MINUS SIGN}")

Summary = Mapping[str, Any]
_OF_A_FIGURE = ("median", "low", "high", "n")


class Unit(NamedTuple):
    """A unit and how many base units (seconds, bytes) it holds."""

    name: str
    size: float


def dig(tree: Any, *path: str) -> Any:
    """Follow ``path`` through nested mappings; None where it ends early. Partial runs have gaps anywhere."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def summarise(values: Sequence[float]) -> dict[str, Any] | None:
    """Summarise one value per repeat as docs/results.md defines it; None when there is no value."""
    if not values:
        return None
    return {"median": median(values), "low": min(values), "high": max(values), "n": len(values), "values": list(values)}


def measured(summary: Any) -> Summary | None:
    """Return the summary if it holds a figure with its spread, else None."""
    whole = isinstance(summary, Mapping) and all(summary.get(key) is not None for key in _OF_A_FIGURE)
    return summary if whole else None


def values_of(summary: Any) -> list[float]:
    """Return the values behind a summary, one per repeat; an empty list when nothing was measured."""
    found = measured(summary)
    return [] if found is None else [float(value) for value in found.get("values") or [] if value is not None]


def in_pairs(
    case_a: Mapping[str, Any], a: Any, case_b: Mapping[str, Any], b: Any
) -> tuple[list[float], list[float]] | None:
    """Return the values of two summaries for the repeats that both cases finished, in the same order.

    None where they share no repeat, or where values are missing and cannot be told which repeat they belong to.
    """
    sides = []
    for case, summary in ((case_a, a), (case_b, b)):
        values, repeats = values_of(summary), case.get("repeats_done") or []
        sides.append(dict(zip(repeats, values, strict=True)) if len(repeats) == len(values) else {})
    ours, theirs = sides
    common = sorted(ours.keys() & theirs.keys())
    return ([ours[repeat] for repeat in common], [theirs[repeat] for repeat in common]) if common else None


def quotients(wholes: Sequence[float], parts: Sequence[float]) -> dict[str, Any] | None:
    """Summarise ``parts`` as shares of ``wholes``, repeat by repeat; None when they do not match or a whole is zero."""
    if len(parts) != len(wholes) or not all(wholes):
        return None
    return summarise([part / whole for part, whole in zip(parts, wholes, strict=True)])


def add_up(summaries: Iterable[Any]) -> dict[str, Any] | None:
    """Add summaries repeat by repeat, leaving out those not measured.

    None when nothing was measured, or when they do not cover the same number of repeats.
    """
    columns = [values for values in map(values_of, summaries) if values]
    if len({len(column) for column in columns}) != 1:
        return None
    return summarise([math.fsum(repeat) for repeat in zip(*columns, strict=True)])


def communicating(phases: Any) -> dict[str, Any] | None:
    """Return serialise + transfer, seconds per epoch; where only one of them was measured, that one."""
    return add_up(dig(phases, phase) for phase in COMMUNICATING)


def training_parties(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``time.by_party`` of a case without the arbiter, which trains nothing."""
    by_party = dig(case, "time", "by_party") or {}
    return {party: facts for party, facts in by_party.items() if not party.endswith("/arbiter")}


def finished(case: Mapping[str, Any]) -> bool:
    """Say whether every repeat of the case came to its end."""
    return case.get("status") == "ok"


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
