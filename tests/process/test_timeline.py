"""Which phase a party was in when: the bands over the curves of CPU and memory."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import SmallRun
from hypothesis import given
from hypothesis import strategies as st
from page_helpers import Page

from bench.measure.spans import PHASES
from bench.pages import charts
from bench.report import timeline, writer
from bench.results import store

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


CASE = {"parties": [{"party": "1", "role": "host"}], "time": {"critical_party": "1/host"}}


@given(LENGTHS, st.floats(0, 5), st.integers(1, 50))
def test_every_second_of_every_phase_is_in_the_band(
    lengths: list[tuple[str, float, float]], after: float, parts: int
) -> None:
    events, ended, seconds = made(lengths)
    end = ended + after
    line = timeline.timeline({"cases": [CASE]}, CASE, timeline.by_process(events), 1, 0.0, end, parts)
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
    assert timeline.timeline({"cases": [CASE]}, CASE, timeline.by_process(moved), 1, 0.0, ended, 10) is None
    assert timeline.timeline({"cases": [CASE]}, CASE, {}, 1, 0.0, ended, 10) is None
    assert timeline.timeline({"cases": [CASE]}, {**CASE, "parties": []}, {}, 1, 0.0, ended, 10) is None


def test_the_page_of_a_real_run_says_when_it_was(small_run: SmallRun) -> None:
    path = writer.render(small_run.folder)
    page = Page(path.read_text(encoding="utf-8"))
    events = store.read_events(small_run.folder)
    entries = small_run.run["cases"]
    # A case that is over before its second sample has no time to lay the phases over.
    shown = [entry for entry in entries if entry["title"] in page.column("When it was", "Party")]
    assert {"federated", "fedavg"} <= {entry["id"] for entry in shown}
    for entry in shown:
        names = [f"{party['party']}/{party['role']}" for party in entry["parties"]]
        number = names.index(entry["time"]["critical_party"])
        process = store.trace_process(entries.index(entry), 1, number)
        epochs = [e for e in events if e.get("cat") == "epoch" and e["pid"] == process and e["name"] != "set-up"]
        columns = [page.column("When it was", f"Epochs {word}")[entry["title"]][1] for word in ("from", "until")]
        assert columns[0] == pytest.approx(min(event["ts"] for event in epochs) * 1e-6)
        assert columns[1] is not None
        assert columns[1] <= 1e-6 + (page.column("When it was", "End of the plot")[entry["title"]][1] or 0.0)
        assert columns[1] == pytest.approx(max(event["ts"] + event["dur"] for event in epochs) * 1e-6)
    # As many as there are curves, which takes samples enough.
    bands = re.findall(r"<div class='strip'>.*?</div>", path.read_text(encoding="utf-8"))
    assert all("class='compute'" in band for band in bands)


@pytest.mark.parametrize("text", ['[{"ph": "X"', '{"no": "list"}', "[3]", "", None])
def test_a_damaged_trace_marks_no_phases(small_run: SmallRun, tmp_path: Path, text: str | None) -> None:
    for name in ("run.json", "resources.csv", "scores.csv"):
        shutil.copyfile(small_run.folder / name, tmp_path / name)
    if text is not None:
        (tmp_path / "trace.json").write_text(text)
    assert "<div class='strip'>" not in writer.render(tmp_path).read_text(encoding="utf-8")


def test_a_trace_that_was_cut_off_is_read_as_far_as_it_goes(small_run: SmallRun, tmp_path: Path) -> None:
    whole = (small_run.folder / "trace.json").read_text()
    (tmp_path / "trace.json").write_text(whole[: len(whole) // 2])
    events = store.read_events(tmp_path)
    assert events == store.read_events(small_run.folder)[: len(events)]
    assert len(events) > 100
