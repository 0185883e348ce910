"""A load test from its first step to its last, kept as it grows: what load.json says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.i18n.language import gettext_noop
from bench.load import knee, step
from bench.load.knee import Outcome, search
from bench.load.memory_trend import growth
from bench.load.step import Target, Times
from bench.results import load_tests
from bench.stats import formatting

MOST_RATE = 100_000.0
MOST_USERS = 2_000


@dataclass
class LoadTest:
    """A load test: where its results go, and what they are so far."""

    folder: Path
    facts: dict[str, Any]
    seconds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps that are finished."""
        steps: list[dict[str, Any]] = self.facts["steps"]
        return steps

    def add(self, found: tuple[dict[str, Any], list[dict[str, Any]]]) -> dict[str, Any]:
        """Keep a step, and say what it brought."""
        made, seconds = found
        made = {"number": len(self.steps) + 1, **made}
        self.steps.append(made)
        self.seconds += [{"step": made["number"], **row} for row in seconds]
        self.save()
        print(in_words(made), flush=True)
        return made

    def save(self) -> None:
        """Write what there is."""
        load_tests.save(self.folder, self.facts, self.seconds)


def in_words(made: Mapping[str, Any]) -> str:
    """Write a step in a line."""
    what = f"{formatting.number(made['rate'])}/s" if made["loop"] == "open" else f"{made['users']} users"
    waits = made["from_due"]
    times = (
        "no answers"
        if waits is None
        else ", ".join(f"{key} {formatting.seconds(waits[key])}" for key in ("p50", "p99"))
    )
    parts = [f"step {made['number']}: {what}: {formatting.number(made['rate_achieved'])} answers/s", times]
    for who in ("server", "generator"):
        cpu = (made[who] or {}).get("cpu_percent")
        parts.append(f"{who} {'not measured' if cpu is None else f'{cpu:.0f} % CPU'}")
    if made["errors"]:
        parts.append(", ".join(f"{n} x {name}" for name, n in made["errors"].items()))
    if made["failed"]:
        parts.append(
            f"failed: {made['failed']}{' (the generator was at its limit)' if made['generator_limited'] else ''}"
        )
    return "; ".join(parts).replace(formatting.SPACE, " ")


def find_knee(test: LoadTest, target: Target, first: float, bound: float, times: Times, gone: Any) -> None:
    """Search for the maximum sustainable throughput, and keep each step.

    ``gone`` says whether the service has stopped to answer.
    """
    tries = Counter[float]()

    def measure(rate: float) -> Outcome:
        made = test.add(step.open_loop(target, rate, bound, times, attempt=tries[rate]))
        tries[rate] += 1
        if made["failed"] is None:
            return Outcome.HOLDS
        if made["errors"] and gone():
            return Outcome.GONE
        return Outcome.GENERATOR if made["generator_limited"] else Outcome.FAILS

    found = search(measure, first, MOST_RATE)
    test.facts["knee"] = {**found._asdict(), "precision": knee.PRECISION}
    if found.ended == "gone":
        test.facts["stopped"] = gettext_noop("the service stopped answering")


def at_rates(test: LoadTest, target: Target, rates: Sequence[float], bound: float, times: Times, gone: Any) -> None:
    """Measure an open loop at each of some rates."""
    _until_gone(test, (step.open_loop(target, rate, bound, times) for rate in rates), gone)


def with_users(test: LoadTest, target: Target, numbers: Sequence[int], times: Times, gone: Any) -> None:
    """Measure a closed loop with each of some numbers of users."""
    _until_gone(test, (step.closed_loop(target, users, times) for users in numbers), gone)


def _until_gone(test: LoadTest, steps: Iterable[tuple[dict[str, Any], list[dict[str, Any]]]], gone: Any) -> None:
    """Keep one step after the other, and measure no more once the service does not answer."""
    for measured in steps:
        made = test.add(measured)
        if made["errors"] and gone():
            test.facts["stopped"] = "the service stopped answering"
            return


def fit_memory(test: LoadTest) -> None:
    """Fit the growth of the service's memory over the last step."""
    rows = [
        (float(row["second"]), row["server_rss_bytes"])
        for row in test.seconds
        if row["step"] == len(test.steps) and row["phase"] == "steady" and row["server_rss_bytes"] is not None
    ]
    test.facts["memory"] = growth(*map(list, zip(*rows, strict=True))) if rows else None
