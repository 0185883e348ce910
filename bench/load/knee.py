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
    """What the search found, in requests/s, and why it ended.

    ``held`` is the highest rate that was held, ``failed`` the lowest that the service did not hold, ``unclear`` a rate
    between them at which the generator was at its limit. ``ended`` is "service" (held is the knee), "generator" (the
    knee is at ``held`` or above, and below ``failed`` where there is one), "most" (it is at ``held``, the highest rate
    that may be tried, or above), "none" (no rate was held) or "gone" (the service ended).
    """

    held: float | None
    failed: float | None
    unclear: float | None
    ended: str


def search(measure: Callable[[float], Outcome], first: float, most: float) -> Knee:
    """Search from ``first`` requests/s on, at ``most`` at the highest. A step that fails is measured once more.

    Of two steps at a rate the better one counts: what else the machine does makes a step worse, never better. So a rate
    counts as failed when it failed twice.
    """
    tried = _twice(measure)
    held: float | None = None
    failed: float | None = None
    unclear: float | None = None
    rate: float | None = min(first, most)
    while rate is not None:
        outcome = tried(rate)
        if outcome is Outcome.GONE:
            return Knee(held, failed, unclear, "gone")
        # What is tried lies between what was held and what was not, so the latest is the highest or the lowest.
        if outcome is Outcome.HOLDS:
            held = rate
        elif outcome is Outcome.FAILS:
            failed, unclear = rate, None
        else:
            unclear = rate
        if held is not None and held >= most:
            return Knee(held, None, None, "most")
        rate = _next_rate(held, failed if unclear is None else unclear, first, most)
    ended = "generator" if unclear is not None else "service" if held is not None else "none"
    return Knee(held, failed, unclear, ended)


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
