"""Which phase a party was in when: the bands over the curves of CPU and memory, of a real run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers import SmallRun
from page_helpers import Page

from bench.report import writer
from bench.results import store


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
