"""Spans add up to epochs, and what slowed the machine is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engines.contract import Outcome, PartyTrace
from bench.measure import environment
from bench.measure.spans import PHASES, Epoch, Recorder, Span, chrome_events, epoch_rows
from bench.results import repeats

seconds = st.floats(0, 100)


@given(st.lists(st.tuples(st.sampled_from(PHASES[:-1]), seconds), max_size=8), seconds)
def test_rows_of_any_spans_add_up(spans: list[tuple[str, float]], wall: float) -> None:
    recorder = Recorder(
        spans=[Span(1, phase, 0.0, length, bytes_sent=3) for phase, length in spans],
        epochs=[Epoch(1, 0.0, wall, 0.0, loss=0.5)],
    )
    rows = epoch_rows(recorder)
    assert sum(row["seconds"] for row in rows) == pytest.approx(wall, abs=1e-9)
    assert [row["phase"] for row in rows] == [p for p in PHASES if p in {phase for phase, _ in spans}] + [PHASES[-1]]
    assert sum(row["bytes_sent"] or 0 for row in rows) == 3 * len(spans)
    # What nobody measured is not 0.
    assert all(row["cpu_seconds"] is None for row in rows[:-1])
    events = chrome_events(recorder, 1, "x", zero=-2.0)
    assert len(events) == 2 + len(spans)
    assert {event["ts"] for event in events if event["ph"] == "X"} == {2e6}


def test_an_epoch_that_was_never_ended_is_not_reported() -> None:
    recorder = Recorder()
    for epoch in (0, 1):
        recorder.begin_epoch(epoch)
        with recorder.span("compute"):
            pass
        if epoch == 0:
            recorder.end_epoch()
    assert {row["epoch"] for row in epoch_rows(recorder)} == {0}


def test_operations_are_counted_over_the_epochs_that_the_times_are_means_of() -> None:
    recorder = Recorder()
    for epoch in range(9):
        recorder.begin_epoch(epoch)
        recorder.count("encrypt", 10**epoch)
        recorder.count("encrypt", 10**epoch)
        recorder.epochs.append(Epoch(epoch, 0.0, float(epoch), 0.0))
    party = PartyTrace("9999", "guest", 5, recorder, None, None, operations={"encrypt": 0.5, "decrypt": 0.25})
    outcome = Outcome([], [party], None, None, 0.0, 0.0)
    found = repeats.figures(outcome, {}, warmup=0, local_epochs=2)["time"]["by_party"]["9999/guest"]["operations"]
    # The middle half of epochs 1 to 8, by their length, is 3 to 6; each is a round of two passes.
    assert found == {
        "encrypt": {"count": 2 * (10**3 + 10**4 + 10**5 + 10**6) / (4 * 2), "seconds": 0.5},
        "decrypt": {"count": 0.0, "seconds": 0.25},
    }
    assert repeats.figures(outcome, {}, 0, 1)["time"]["by_party"]["9999/guest"]["cpu_phases"] == {"unattributed": 0.0}
    quiet = Recorder(enabled=False)
    quiet.count("encrypt")
    assert quiet.counts == {}


def test_what_slowed_the_machine_is_what_was_added() -> None:
    before = {"stolen_seconds": 7.0, "cpu_seconds": 100.0, "quota_periods": 3, "heat_events": None}
    assert set(environment.slow_downs()) == set(before)
    after = {"stolen_seconds": 7.5, "cpu_seconds": 110.0, "quota_periods": 5, "heat_events": 4}
    slowed = environment.slowed(before, after)
    assert slowed == {"stolen_share": pytest.approx(0.05), "quota_periods": 2, "heat_events": None}
    assert environment.slowed(before, before)["stolen_share"] is None


def test_a_used_up_quota_is_counted_from_the_group_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "proc": "1:name=systemd:/\n0::/user.slice/bench\n",
        "user.slice/bench/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 3\n",
        "user.slice/cpu.stat": "nr_throttled 4\n",
        "cpu.stat": "usage_usec 5\n",  # the root has no quota
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    places = {"/proc/self/cgroup": tmp_path / "proc", "/sys/fs/cgroup": tmp_path}
    monkeypatch.setattr(environment, "Path", lambda *parts: places.get("/".join(parts)) or Path(*parts))
    assert environment.slow_downs()["quota_periods"] == 7
