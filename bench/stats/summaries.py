"""Summaries: one value per finished repeat, and the median and range of them (docs/results.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Summary:
    """One value per repeat (``values``, ``n`` of them), their median, and the lowest and highest."""

    median: float
    low: float
    high: float
    n: int
    values: list[float] = field(default_factory=list)

    @property
    def relative_range(self) -> float | None:
        """(highest - lowest) / median; None where one value has no range."""
        return (self.high - self.low) / self.median if self.n > 1 and self.median else None


def summarise(values: Sequence[float]) -> Summary | None:
    """Summarise one value per repeat; None when there is no value."""
    return Summary(median(values), min(values), max(values), len(values), list(values)) if values else None


def values_of(summary: Summary | None) -> list[float]:
    """Return the values behind a summary, one per repeat; an empty list when nothing was measured."""
    return [] if summary is None else list(summary.values)


def median_of(summary: Summary | None) -> float | None:
    """Return the median; None when nothing was measured."""
    return None if summary is None else summary.median


def in_pairs(
    a: Summary | None, repeats_a: Sequence[int], b: Summary | None, repeats_b: Sequence[int]
) -> tuple[list[float], list[float]] | None:
    """Return the values of two summaries for the repeats that both cases finished, in the same order.

    ``repeats_a`` and ``repeats_b`` name the repeats of the values. None where they share no repeat, or where values
    are missing and it is unknown which repeat they belong to.
    """
    sides = []
    for values, repeats in ((values_of(a), repeats_a), (values_of(b), repeats_b)):
        sides.append(dict(zip(repeats, values, strict=True)) if len(repeats) == len(values) else {})
    ours, theirs = sides
    common = sorted(ours.keys() & theirs.keys())
    return ([ours[repeat] for repeat in common], [theirs[repeat] for repeat in common]) if common else None


def quotients(wholes: Sequence[float], parts: Sequence[float]) -> Summary | None:
    """Summarise ``parts`` as shares of ``wholes``, repeat by repeat; None when they do not match or a whole is zero."""
    if len(parts) != len(wholes) or not all(wholes):
        return None
    return summarise([part / whole for part, whole in zip(parts, wholes, strict=True)])


def add_up(summaries: Iterable[Summary | None]) -> Summary | None:
    """Add summaries repeat by repeat, leaving out those not measured.

    None when nothing was measured, or when they do not cover the same number of repeats.
    """
    columns = [summary.values for summary in summaries if summary is not None]
    if len({len(column) for column in columns}) != 1:
        return None
    return summarise([math.fsum(repeat) for repeat in zip(*columns, strict=True)])
