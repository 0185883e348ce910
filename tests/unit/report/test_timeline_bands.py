"""Which phase a party was in when, from the events of a trace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.spans import PHASES
from bench.pages import charts
from bench.report import timeline
from bench.results import record
from bench.results.view import CaseView, RunView

LENGTHS = st.lists(
    st.tuples(st.sampled_from(PHASES[:-1]), st.floats(0.001, 3), st.floats(0, 1)), min_size=1, max_size=20
)


def made(lengths: list[tuple[str, float, float]]) -> tuple[list[dict[str, Any]], float, dict[str, float]]:
    """Epochs of one span each, with time before and after it: the events, their end, and the seconds of each phase."""
    events, now, seconds = [], 0.5, dict.fromkeys(PHASES, 0.0)
    for number, (phase, length, rest) in enumerate(lengths):
        whole = length + rest
        common = {"ph": "X", "pid": 1000}
        name = f"epoch {number}" if number else "set-up"
        events.append({**common, "cat": "epoch", "name": name, "ts": now * 1e6, "dur": whole * 1e6})
        events.append({**common, "cat": "phase", "name": phase, "ts": (now + rest / 2) * 1e6, "dur": length * 1e6})
        seconds[phase] += length
        seconds["unattributed"] += rest
        now += whole
    return events, now, seconds


def case_of(parties: list[dict[str, str]]) -> CaseView:
    """A case of one party, which has the most rows."""
    case = {"id": "c", "parties": parties, "time": {"critical_party": "1/host"}}
    content = {
        "schema_version": record.SCHEMA_VERSION,
        "run_id": "made",
        "suite": {},
        "environment": {},
        "datasets": {},
    }
    return RunView(Path("nowhere"), record.from_json({**content, "datasets": {}, "cases": [case]})).cases[0]


CASE = case_of([{"party": "1", "role": "host"}])


@given(LENGTHS, st.floats(0, 5), st.integers(1, 50))
def test_every_second_of_every_phase_is_in_the_band(
    lengths: list[tuple[str, float, float]], after: float, parts: int
) -> None:
    events, ended, seconds = made(lengths)
    end = ended + after
    line = timeline.timeline(CASE, timeline.by_process(events), 1, 0.0, end, parts)
    assert line is not None
    assert len(line.shares) == parts
    for part in line.shares:
        assert all(share >= 0 for share in part.values())
        assert sum(part.values()) <= 1 + 1e-9
    for phase, length in seconds.items():
        found = sum(part.get(phase, 0.0) for part in line.shares) * end / parts
        assert found == pytest.approx(length, abs=1e-6)
    drawn = charts.strip(line.shares, {phase: phase.upper() for phase in PHASES}, "title")
    for phase in PHASES:
        in_it = any(phase in part for part in line.shares)
        assert (f"<path class='{phase}'" in drawn, f"</i>{phase.upper()}<" in drawn) == (in_it, in_it)
    heights = [int(y) for y in re.findall(r"[V ](\d+)[HVz]", drawn)]
    assert all(0 <= y <= 100 for y in heights)
    assert line.setup == pytest.approx(0.5)
    if len(lengths) > 1:
        assert line.ended == pytest.approx(ended)


@pytest.mark.parametrize("shift", [-1e5, 1e5])
def test_events_of_another_time_mark_nothing(shift: float) -> None:
    events, ended, _ = made([("compute", 1.0, 0.1)])
    moved = [{**event, "ts": event["ts"] + shift * 1e6} for event in events]
    assert timeline.timeline(CASE, timeline.by_process(moved), 1, 0.0, ended, 10) is None
    assert timeline.timeline(CASE, {}, 1, 0.0, ended, 10) is None
    assert timeline.timeline(case_of([]), {}, 1, 0.0, ended, 10) is None
