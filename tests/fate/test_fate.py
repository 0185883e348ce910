"""Engine fate: a real HomoLR job of FATE 2.2 on this machine, run once through the command line; `make fate` first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from helpers import LIMIT, only_run, started, wait_for, write_csv, write_suite

from bench.engines.fate import engine
from bench.results.store import read_csv
from bench.run import hosts as run_hosts

EPOCHS, WARMUP = 12, 2
needs_fate = pytest.mark.skipif(engine.missing() is not None, reason=str(engine.missing()))


def test_without_its_environment_the_engine_says_how_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    from bench.run.__main__ import main

    monkeypatch.setattr(engine, "PYTHON", tmp_path / "python")
    suite = write_suite(tmp_path / "s.yml", [{"id": "alone", "engine": "centralised"}, _fate_case()])
    assert main(["--suite", str(suite), "--engine", "fate", "--out", str(tmp_path / "out")]) == 2
    assert "make fate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    # Beside other engines its case is skipped, and says why.
    assert main(["--suite", str(suite), "--out", str(tmp_path / "out")]) == 0
    run = json.loads((only_run(tmp_path / "out") / "run.json").read_text())
    assert [case["status"] for case in run["cases"]] == ["ok", "skipped"]
    assert "make fate" in run["cases"][1]["error"]
    assert "make fate" in (only_run(tmp_path / "out") / "report.html").read_text()


def test_cases_between_hosts_are_left_to_those_who_run_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    from bench.run.__main__ import main

    cases = [{"id": "alone", "engine": "centralised"}, _fate_case(id="hosts", engine="fate_hosts")]
    suite = write_suite(tmp_path / "s.yml", cases)
    assert main(["--suite", str(suite), "--out", str(tmp_path / "out")]) == 0
    folder = only_run(tmp_path / "out")
    run = json.loads((folder / "run.json").read_text())
    assert [case["status"] for case in run["cases"]] == ["ok", "pending"] and run["finished"] is None
    assert "site.yml" in capsys.readouterr().out
    # What the hosts bring is collected: here only the word of a watch, that its party failed.
    said = run_hosts.order(folder, 1, tmp_path / "orders")
    assert said["cases"] == {"hosts": ["9999", "9998", "10000"]}
    verdict = {"status": "stopped", "fault": "party 9998 (host): RabbitMQ has ended", "own": True}
    (tmp_path / "orders" / "hosts" / "9998" / "verdict.json").write_text(json.dumps(verdict))
    assert run_hosts.collect(folder, 1, tmp_path / "orders") == [
        "hosts: repeat 1: party 9998 (host): RabbitMQ has ended"
    ]
    # A failure between hosts is no work for this machine, and stays.
    assert main(["--resume", str(folder)]) == 0
    run = json.loads((folder / "run.json").read_text())
    assert "RabbitMQ has ended" in run["cases"][1]["error"] and run["finished"]


def _fate_case(**settings: Any) -> dict[str, Any]:
    return {"id": "fate", "engine": "fate", "privacy": "masked", "training": {"aggregation": "fedavg"}, **settings}


# --- a real job ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FateRun:
    folder: Path
    run: dict[str, Any]
    said: str
    pid: int

    def case(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(case for case in self.run["cases"] if case["id"] == name)
        return found


@pytest.fixture(scope="module")
def fate_run(tmp_path_factory: pytest.TempPathFactory) -> FateRun:
    """One repeat of FATE's job, and of the two that it must agree with; the only job in these tests that succeeds."""
    inputs, out = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("out")
    write_csv(inputs / "table.csv", rows=6000)
    training = {"epochs": EPOCHS, "learning_rate": 0.05}
    suite = write_suite(
        inputs / "fate.yml",
        [
            {"id": "centralised", "engine": "centralised"},
            {"id": "embedded", "engine": "federated", "training": {"aggregation": "fedavg"}},
            _fate_case(),
        ],
        warmup_epochs=WARMUP,
        time_limit=900,
        defaults={"training": training},
    )
    with started("--suite", suite, "--out", out) as process:
        output, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, output + said
    folder = only_run(out)
    return FateRun(folder, json.loads((folder / "run.json").read_text()), said, process.pid)


@needs_fate
def test_fate_trains_the_same_model(fate_run: FateRun) -> None:
    auc = {case["id"]: case["metrics"]["auc"]["median"] for case in fate_run.run["cases"]}
    assert auc["fate"] == pytest.approx(auc["centralised"], abs=0.005)
    # The same mathematics in single precision.
    ours, theirs = (
        json.loads((fate_run.folder / "models" / f"{name}.1.federated.json").read_text())
        for name in ("fate", "embedded")
    )
    np.testing.assert_allclose(ours["coefficients"], theirs["coefficients"], atol=1e-3)
    assert ours["intercept"] == pytest.approx(theirs["intercept"], abs=1e-3)
    np.testing.assert_allclose(fate_run.case("fate")["loss"], fate_run.case("embedded")["loss"], atol=1e-3)


@needs_fate
def test_every_process_of_fate_is_divided_into_phases(fate_run: FateRun) -> None:
    case = fate_run.case("fate")
    assert (case["epochs_run"], case["network"], case["privacy"]) == ([EPOCHS], "loopback", "masked")
    times = case["time"]["by_party"]
    assert set(times) == {"9999/guest", "9998/host", "10000/host", "10000/arbiter"}
    for party, facts in times.items():
        phases = {name: summary["median"] for name, summary in facts["phases"].items()}
        assert sum(phases.values()) == pytest.approx(facts["epoch_seconds"]["median"], rel=1e-6)
        assert facts["attributed_share"]["median"] > 0.95, party
        assert all(seconds >= 0 for seconds in phases.values())
        expected = {"wait", "transfer", "serialise"}
        assert set(phases) >= (
            expected | {"aggregate"} if "arbiter" in party else expected | {"compute", "framework", "encrypt"}
        )
    assert case["time"]["critical_party"] == "10000/host"
    # All run the same rounds, so their epochs are as long, whoever waits in them.
    epochs = [facts["epoch_seconds"]["median"] for facts in times.values()]
    assert max(epochs) < 1.2 * min(epochs)


@needs_fate
def test_messages_are_counted_each_way(fate_run: FateRun) -> None:
    rows = read_csv(fate_run.folder, "epochs.csv")
    rows = rows[(rows["case"] == "fate") & (rows["epoch"] > 0)]
    sent = rows.groupby(["role", "party"])["bytes_sent"].sum()
    received = rows.groupby(["role", "party"])["bytes_received"].sum()
    clients = [("guest", "9999"), ("host", "9998"), ("host", "10000")]
    assert all(sent[client] > 0 and received[client] > 0 for client in clients)
    assert sum(sent[client] for client in clients) == received["arbiter", "10000"]
    assert sum(received[client] for client in clients) == sent["arbiter", "10000"]


@needs_fate
def test_the_whole_job_s_time_is_told_by_stages(fate_run: FateRun) -> None:
    time = fate_run.case("fate")["time"]
    stages = {name: summary["median"] for name, summary in time["stages"].items()}
    assert list(stages)[:3] == ["start of FATE Flow", "upload of the rows", "reading the table"]
    assert stages["HomoLR: epochs"] == time["training_seconds"]["median"]
    assert all(seconds > 0 for name, seconds in stages.items()), stages
    assert "Where the whole job" in (fate_run.folder / "report.html").read_text()
    assert "uploading" in fate_run.said


@needs_fate
def test_fate_s_processes_are_sampled(fate_run: FateRun) -> None:
    samples = read_csv(fate_run.folder, "resources.csv")
    samples = samples[samples["case"] == "fate"]
    parties = {"9999/guest", "9998/host", "10000/host", "10000/arbiter", "all/flow"}
    assert set(samples["party"].dropna()) - {""} == parties
    peaks = fate_run.case("fate")["resources"]["by_party"]
    assert all(peaks[party]["rss_peak_bytes"]["median"] > 100e6 for party in parties - {"all/flow"})


@needs_fate
def test_nothing_of_fate_is_left(fate_run: FateRun) -> None:
    assert fate_processes(fate_run.pid) == []
    assert not list(Path(tempfile.gettempdir()).glob(f"bench-run-{fate_run.pid}-*"))


def fate_processes(runner: int) -> list[str]:
    """Ids and command lines of the processes that belong to a runner's FATE jobs, whoever is their parent."""
    folder, found = f"bench-run-{runner}-", []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        if process.pid != runner and (folder in " ".join(words) or folder in environment.get("PYTHONPATH", "")):
            found.append(" ".join([str(process.pid), *words]))
    return found


def _small_suite(folder: Path) -> Path:
    """One case of FATE on 2,000 rows."""
    write_csv(folder / "table.csv", rows=2000)
    return write_suite(folder / "s.yml", [_fate_case()], time_limit=900)


@needs_fate
def test_fate_flow_that_dies_ends_the_case_by_name_and_leaves_nothing(tmp_path: Path) -> None:
    with started("--suite", _small_suite(tmp_path), "--out", tmp_path / "out") as process:
        wait_for(lambda: "upload_0" in " ".join(fate_processes(process.pid)), "rows are being uploaded")
        (server,) = (words for words in fate_processes(process.pid) if "fate_flow_server.py" in words)
        os.kill(int(server.split()[0]), signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    (case,) = json.loads((only_run(tmp_path / "out") / "run.json").read_text())["cases"]
    assert case["status"] == "failed" and "FATE Flow" in case["error"], case["error"]
    assert "FATE Flow" in output and "Traceback" not in output
    assert fate_processes(process.pid) == []


@needs_fate
def test_ctrl_c_ends_fate_too(tmp_path: Path) -> None:
    with started("--suite", _small_suite(tmp_path), "--out", tmp_path / "out") as process:
        wait_for(lambda: "fate_flow_server.py" in " ".join(fate_processes(process.pid)), "FATE Flow starts")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert fate_processes(process.pid) == []


@needs_fate
def test_a_locked_database_is_asked_again() -> None:
    """FATE Flow's SQLite is locked for a moment now and then; a refusal of another kind stands."""
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import job
locked = {"code": 100, "message": "BusyError('database is locked')"}
replies = [locked, {"code": 0, "data": 7}, {"code": 5, "message": "no"}]
print(job.asked("asking", lambda: replies.pop(0))["data"])
try:
    job.asked("asking", lambda: replies.pop(0))
except job.RefusedError as error:
    print(error)
"""
    beside = Path(engine.__file__).parent / "party"
    line = [str(engine.PYTHON), "-c", script, str(beside)]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines() == ["7", "asking: no"]
