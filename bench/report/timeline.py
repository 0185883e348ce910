"""When a party was in which phase: the spans of trace.json laid over the time of the resource curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.measure.spans import PHASES
from bench.results.store import trace_process
from bench.results.view import CaseView

Events = Mapping[int, Sequence[Mapping[str, Any]]]
"""Events of a Chrome trace by their process."""


class Timeline(NamedTuple):
    """One party in one repeat. Times are seconds since the repeat's start.

    ``shares`` holds, for each of equal stretches of time, {phase: share of the stretch}; what is left of a stretch
    lies outside the epochs. ``setup``, ``begun`` and ``ended`` are when the set-up began, when the first epoch did, and
    when the last one ended; None where the trace has no such epoch.
    """

    party: str
    repeat: int
    shares: list[dict[str, float]]
    setup: float | None
    begun: float | None
    ended: float | None


def by_process(events: Sequence[Mapping[str, Any]]) -> Events:
    """Sort the events of trace.json by process, without those that only name one."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for event in events:
        if event.get("ph") == "X" and all(isinstance(event.get(key), int | float) for key in ("pid", "ts", "dur")):
            found.setdefault(int(event["pid"]), []).append(event)
    return found


def end(case: CaseView, events: Events, repeat: int) -> float:
    """Return when the last epoch of a case's parties ended in ``repeat``; 0 where the trace does not say."""
    processes = [trace_process(case.place, repeat, number) for number in range(len(case.record.parties))]
    ends = [event["ts"] + event["dur"] for process in processes for event in events.get(process, ())]
    return float(max(ends, default=0.0) * 1e-6)


def timeline(case: CaseView, events: Events, repeat: int, start: float, end: float, parts: int) -> Timeline | None:
    """Lay the spans of a case's largest party in ``repeat`` over ``parts`` equal stretches from ``start`` to ``end``.

    None where the trace holds nothing of it between the two.
    """
    party = case.record.time.critical_party if case.record.time else None
    names = [member.key for member in case.record.parties]
    if party is None or party not in names or end <= start:
        return None
    mine = events.get(trace_process(case.place, repeat, names.index(party)), [])
    epochs = _stretches([event for event in mine if event.get("cat") == "epoch"])
    spans = [event for event in mine if event.get("cat") == "phase"]
    edges = np.linspace(start, end, parts + 1)
    covered = {
        phase: _covered(_stretches([event for event in spans if event.get("name") == phase]), edges) for phase in PHASES
    }
    covered["unattributed"] = np.maximum(_covered(epochs, edges) - sum(covered.values()), 0.0)
    if not any(values.any() for values in covered.values()):
        return None
    width = (end - start) / parts
    shares = [
        {phase: float(values[part] / width) for phase, values in covered.items() if values[part] > 0}
        for part in range(parts)
    ]
    setup = [event["ts"] * 1e-6 for event in mine if event.get("name") == "set-up"]
    trained = _stretches([event for event in mine if event.get("cat") == "epoch" and event.get("name") != "set-up"])
    begun, ended = (trained[:, 0].min(), trained.sum(axis=1).max()) if len(trained) else (None, None)
    return Timeline(party, repeat, shares, min(setup, default=None), begun, ended)


def _stretches(events: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (start, length) of events in seconds, one a row."""
    return np.array([(event["ts"], event["dur"]) for event in events], dtype=float).reshape(-1, 2) * 1e-6


def _covered(
    stretches: np.ndarray[Any, np.dtype[np.float64]], edges: np.ndarray[Any, np.dtype[np.float64]]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how many seconds of each part between two ``edges`` lie within the stretches, which do not overlap."""
    before = np.clip(edges - stretches[:, :1], 0.0, stretches[:, 1:]).sum(axis=0)
    return np.diff(before)
