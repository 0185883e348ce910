"""Take figures out of a run and put them into words; shared by the report and the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure.spans import COMMUNICATING

Summary = Mapping[str, Any]

_OF_A_FIGURE = ("median", "low", "high", "n")


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
