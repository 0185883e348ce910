"""Where a service's knee is: the highest rate that it holds, found by doubling and then halving the interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

PRECISION = 0.1  # the search ends when the rate that fails is at most this share above the one that holds
HALVINGS = 6  # how often a first rate that fails is halved


class Outcome(Enum):
    """What came of a step at a rate."""

    HOLDS = "holds"
    FAILS = "fails"
    GENERATOR = "generator"  # it failed, but what sends the requests was at its own limit
    GONE = "gone"  # the service does not answer any more


class Knee(NamedTuple):
    """The highest rate that was held, the lowest that was not, in requests/s, and why the search ended there.

    ``ended`` is "service" (held is the knee), "generator" (the knee is at ``held`` or above), "most" (likewise: the
    highest rate that may be tried was held), "none" (no rate was held) or "gone" (the service ended).
    """

    held: float | None
    failed: float | None
    ended: str


def search(measure: Callable[[float], Outcome], first: float, most: float) -> Knee:
    """Search from ``first`` requests/s on, at ``most`` at the highest. A step that fails is measured once more.

    Of two steps at a rate the better one counts: what else the machine does makes a step worse, never better. So a rate
    counts as failed when it failed twice.
    """
    tried = _twice(measure)
    held, failed, rate, outcome = None, None, min(first, most), Outcome.HOLDS
    by = "service"
    for _ in range(1000):
        outcome = tried(rate)
        if outcome is Outcome.GONE:
            return Knee(held, failed, "gone")
        if outcome is Outcome.HOLDS:
            held = rate
        else:
            failed, by = rate, "generator" if outcome is Outcome.GENERATOR else "service"
        if held is not None and held >= most:
            return Knee(held, None, "most")
        following = _next_rate(held, failed, first, most)
        if following is None:
            break
        rate = following
    return Knee(held, failed, by if held is not None or by == "generator" else "none")


def _next_rate(held: float | None, failed: float | None, first: float, most: float) -> float | None:
    """Return the rate to try next; None where the interval is small enough, or no rate is held."""
    if failed is None:
        assert held is not None
        return min(2 * held, most)
    if held is None:
        return failed / 2 if failed > first / 2**HALVINGS * 1.01 else None
    return math.sqrt(held * failed) if failed > held * (1 + PRECISION) else None


def _twice(measure: Callable[[float], Outcome]) -> Callable[[float], Outcome]:
    """Return ``measure`` with a second try for a rate that fails."""

    def tried(rate: float) -> Outcome:
        first = measure(rate)
        if first in (Outcome.HOLDS, Outcome.GONE):
            return first
        second = measure(rate)
        if second in (Outcome.HOLDS, Outcome.GONE):
            return second
        # The service is at fault only where it failed by itself both times.
        return Outcome.GENERATOR if Outcome.GENERATOR in (first, second) else Outcome.FAILS

    return tried
