from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from helpers import LIMIT, SmallRun, dataset, wait_for

from bench.data import split
from bench.data.prepare import Balance, prepare
from bench.engines import processes
from bench.engines.processes import Worker
from bench.measure import environment
from bench.measure.sampler import Sampler, Samples
from bench.measure.spans import PHASES
from bench.results import store

PARTIES = ["9999/guest", "9998/host", "10000/host"]
KEY = ["case", "repeat", "who", "epoch"]


@pytest.fixture(scope="module")
def epochs(small_run: SmallRun) -> pd.DataFrame:
    table = store.read_csv(small_run.folder, "epochs.csv")
    table["who"] = table["party"] + "/" + table["role"]
    return table


@pytest.fixture(scope="module")
def events(small_run: SmallRun) -> list[dict[str, Any]]:
    loaded = json.loads((small_run.folder / "trace.json").read_text())
    assert isinstance(loaded, list)
    return loaded


def test_phases_add_up_to_the_wall_time_of_every_epoch(epochs: pd.DataFrame, events: list[dict[str, Any]]) -> None:
    names = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    walls = {
        (names[event["pid"]], event["name"].removeprefix("epoch ").replace("set-up", "0")): event["dur"] / 1e6
        for event in events
        if event.get("cat") == "epoch"
    }
    found: dict[tuple[str, str], float] = {}
    for case, repeat, who, epoch, length in zip(*(epochs[name] for name in KEY), epochs["seconds"], strict=True):
        key = f"{case}, repeat {repeat}: {who}", str(epoch)
        found[key] = found.get(key, 0.0) + length
    assert set(found) == set(walls)
    assert found == pytest.approx(walls, abs=2e-7)  # the trace is rounded to a tenth of a microsecond


def test_no_time_is_counted_twice(epochs: pd.DataFrame) -> None:
    """A negative rest would mean that spans overlap."""
    assert epochs["seconds"].min() >= -1e-6


def test_every_party_recorded_every_epoch(epochs: pd.DataFrame) -> None:
    assert set(epochs["phase"]) <= set(PHASES)
    rounds = {"centralised": 12, "local": 12, "federated": 12, "fedavg": 4}
    for case, count in rounds.items():
        rows = epochs[epochs["case"] == case]
        who = {"centralised": ["all/centralised"], "local": PARTIES}.get(case, [*PARTIES, "10000/arbiter"])
        assert set(rows["who"]) == set(who)
        for _, group in rows.groupby(["repeat", "who"]):
            assert sorted(set(group["epoch"])) == list(range(count + 1))
            assert not group.duplicated(["epoch", "phase"]).any()
    assert not (epochs["case"] == "scikit-learn").any()  # its solver has no epochs


def test_phases_stand_where_their_work_is_done(epochs: pd.DataFrame) -> None:
    phases = epochs[epochs["epoch"] > 0].groupby(["case", "who"])["phase"].agg(set)
    assert phases["centralised", "all/centralised"] == {"compute", "unattributed"}
    for party in PARTIES:
        assert phases["local", party] == {"compute", "unattributed"}
        assert phases["federated", party] == {"compute", "serialise", "transfer", "wait", "unattributed"}
    assert phases["federated", "10000/arbiter"] == {"aggregate", "serialise", "wait", "unattributed"}


def test_bytes_are_equal_in_every_epoch_and_losses_fall(epochs: pd.DataFrame) -> None:
    transfers = epochs[(epochs["phase"] == "transfer") & (epochs["epoch"] > 0)]
    assert set(transfers["case"]) == {"federated", "fedavg"}
    for column in ("bytes_sent", "bytes_received"):
        assert epochs[epochs["phase"] != "transfer"][column].isna().all()
        assert transfers[column].nunique() == 1
        # Seven numbers (a gradient of six and the loss), and a little around them.
        assert 7 * 8 < transfers[column].iloc[0] < 7 * 8 + 40
    computing = epochs[(epochs["phase"] == "compute") & (epochs["epoch"] > 0)]
    assert computing[computing["role"] != "arbiter"]["loss"].notna().all()
    for _, group in computing.groupby(["case", "repeat", "who"]):
        losses = group.sort_values("epoch")["loss"]
        assert losses.iloc[0] == pytest.approx(0.693, abs=0.02)  # ln 2, the loss of no knowledge
        assert losses.iloc[-1] < losses.iloc[0]


def test_the_wire_carries_the_messages_and_a_plausible_frame(epochs: pd.DataFrame, small_run: SmallRun) -> None:
    for case in ("federated", "fedavg"):
        entry = next(entry for entry in small_run.run["cases"] if entry["id"] == case)
        for way in ("sent", "received"):
            rows = epochs[(epochs["case"] == case) & (epochs["phase"] == "transfer")]
            for repeat, carried in zip((1, 2), entry["bytes"]["wire"][way]["values"], strict=True):
                messages = rows[rows["repeat"] == repeat][f"bytes_{way}"]
                exchanges = 3 * (3 + entry["epochs_run"][0])
                assert messages.sum() < carried < messages.sum() + exchanges * 100 + 3 * 2000


def test_resources_are_sampled_for_every_party_and_the_host(small_run: SmallRun) -> None:
    table = store.read_csv(small_run.folder, "resources.csv")
    for case, parties in {
        "centralised": ["all/centralised"],
        "local": PARTIES,
        "federated": [*PARTIES, "10000/arbiter"],
    }.items():
        rows = table[table["case"] == case]
        assert set(rows["party"].dropna()) == set(parties)
        host = rows[rows["party"].isna()]
        assert host["rss"].isna().all()
        assert host["net_sent"].notna().all()
        assert rows[rows["party"].notna()]["rss"].gt(0).all()
        assert rows[rows["party"].notna()]["net_sent"].isna().all()
        for _, group in rows.groupby(["repeat", "party"]):
            assert group["t"].is_monotonic_increasing
    for entry in small_run.run["cases"]:
        for figures in entry["resources"]["by_party"].values():
            assert figures["rss_peak_bytes"]["low"] >= figures["uss_peak_bytes"]["low"] > 1e6
    assert small_run.run["measuring"]["sampler_cpu_percent"] > 0


def test_trace_events_are_complete(events: list[dict[str, Any]]) -> None:
    assert {event["ph"] for event in events} == {"M", "X"}
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] > 0
            assert event["cat"] in ("epoch", "phase")
            assert {"name", "pid", "tid", "args"} <= set(event)
    names = [event["pid"] for event in events if event["ph"] == "M"]
    assert len(names) == len(set(names)) == 2 * (1 + 1 + 3 + 4 + 4)


def sampled(samples: Samples, name: str, least: float) -> bool:
    return any(row.get(name, 0) > least for row in samples.rows if row["party"])


def test_the_sampler_counts_child_processes_with_their_party() -> None:
    child = "held = bytearray(60_000_000); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        try:
            tree = psutil.Process(process.pid)
            wait_for(lambda: any(below.memory_info().rss > 60e6 for below in tree.children()), "the child is there")
            with Sampler({"9999/guest": process.pid}, hertz=50) as samples:
                for memory in ("rss", "uss"):
                    wait_for(partial(sampled, samples, memory, 60e6), memory)
        finally:
            process.communicate(b"\n")
    rows = [row for row in samples.rows if row["party"] == "9999/guest"]
    assert rows[0].get("cpu_percent") is None  # nothing to compare the first look with
    assert samples.seconds > 0
    assert samples.cpu_seconds > 0


def test_a_process_that_has_ended_is_no_longer_sampled() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with Sampler({"9999/guest": process.pid}, hertz=50) as samples:
            wait_for(lambda: any(row["party"] for row in samples.rows), "a sample")
            process.communicate(b"\n")
            count = len(samples.rows)
            wait_for(lambda: [row["party"] for row in samples.rows[count:]].count("") > 3, "samples of the host")
        assert all(row["party"] == "" for row in samples.rows[-2:])


def test_a_process_that_starts_later_is_followed_as_a_party_of_its_own() -> None:
    """Also one that this program has not started, and that was counted with the process above it before."""
    grandchild = "held = bytearray(60_000_000); input()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    # A process in between that ends makes the others nobody's children.
    start = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True)"
    argv = [sys.executable, "-c", start]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout and starter.stdin
        pid = int(starter.stdout.readline())
        starter.wait(LIMIT)
        tree = psutil.Process(pid)
        wait_for(lambda: any(below.memory_info().rss > 60e6 for below in tree.children()), "the grandchild is there")
        (held,) = (below.pid for below in tree.children())
        sampler = Sampler({}, hertz=50)
        with sampler as samples:
            sampler.follow("9999/flow", pid)
            wait_for(partial(sampled, samples, "rss", 60e6), "the whole tree")
            sampler.follow("9999/guest", held)
            wait_for(lambda: any(row["party"] == "9999/guest" for row in samples.rows), "a party of its own")
            sampler.follow("9998/host", pid_of_nobody())
            starter.stdin.close()
            wait_for(lambda: not samples.rows[-2]["party"], "both have ended")
    apart = {row["t"]: row["rss"] for row in samples.rows if row["party"] == "9999/guest"}
    rest = [row["rss"] for row in samples.rows if row["party"] == "9999/flow" and row["t"] in apart]
    assert max(apart.values()) > 60e6 > max(rest)
    assert {row["party"] for row in samples.rows} == {"", "9999/flow", "9999/guest"}


def pid_of_nobody() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_the_environment_holds_what_the_contract_names() -> None:
    facts = environment.describe(processes=4, load=[0.0, 0.0, 0.0])
    assert {
        "cpu", "cores_logical", "cores_physical", "memory_bytes", "os", "kernel", "python", "packages",
        "threads_per_process", "load_before", "load_after", "cpu_governor", "virtualised", "warnings",
        "slowed", "conditions",
    } <= set(facts)  # fmt: skip
    assert facts["memory_bytes"] == psutil.virtual_memory().total
    assert "numpy" in facts["packages"]
    json.dumps(facts, allow_nan=False, default=asdict)
    crowded = environment.describe(processes=10_000, load=None)["conditions"]
    assert any("10000 processes" in str(condition) for condition in crowded)


def test_the_run_and_its_trace_have_one_zero(small_run: SmallRun, events: list[dict[str, Any]]) -> None:
    begun, ended = (datetime.fromisoformat(small_run.run[key]) for key in ("created", "finished"))
    whole = (ended - begun).total_seconds() + 1  # both are cut to seconds
    slowed = small_run.run["environment"]["slowed"]
    assert set(slowed) == {"stolen_share", "quota_periods", "heat_events"}
    for place, entry in enumerate(small_run.run["cases"]):
        for repeat in entry["repeats_done"]:
            process = store.trace_process(place, repeat, 0) // 1000
            mine = [e for e in events if e["ph"] == "X" and e["pid"] // 1000 == process]
            assert mine or entry["training"]["solver"] == "lbfgs"  # which has no epochs
            if not mine:
                continue
            # Every process begins after the sampler does, and ends before the run.
            assert min(event["ts"] for event in mine) > 0
            assert max(event["ts"] + event["dur"] for event in mine) * 1e-6 < whole


class Forwarder:
    """A TCP relay in front of an address that counts the bytes each way: what the wire carried, seen from outside."""

    def __init__(self, arbiter: Path, address: Path) -> None:
        self.sent = self.received = 0
        self._arbiter, self._lock = arbiter, threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        address.write_text(json.dumps({"address": f"127.0.0.1:{self._server.getsockname()[1]}"}))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()
        for thread in self._threads:
            thread.join(LIMIT)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                party, _ = self._server.accept()
                wait_for(self._arbiter.exists, "the arbiter listens")
                host, port = json.loads(self._arbiter.read_text())["address"].split(":")
                arbiter = socket.create_connection((host, int(port)))
                for source, target, way in ((party, arbiter, "sent"), (arbiter, party, "received")):
                    self._threads.append(threading.Thread(target=self._copy, args=(source, target, way), daemon=True))
                    self._threads[-1].start()

    def _copy(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    setattr(self, way, getattr(self, way) + len(data))
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def forwarder(tmp_path: Path) -> Iterator[Forwarder]:
    relay = Forwarder(tmp_path / "arbiter.json", tmp_path / "relay.json")
    yield relay
    relay.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a connection has carried")
def test_wire_bytes_are_those_that_a_relay_counts(tmp_path: Path, forwarder: Forwarder) -> None:
    rows = prepare(dataset(), split.parse("40/60"), Balance("none"), 0.3, 1, tmp_path / "rows")
    members = {shard.party: shard.role for shard in rows.shards}
    shared = {"token": "secret", "features": dataset().features, "measure": True, "parties": members}
    shared |= {"privacy": "plain", "privacy_options": {}}
    arbiter = {**shared, "local_epochs": 1, "address": str(tmp_path / "arbiter.json")}
    party = {**shared, "training": {"epochs": 20}, "seed": 1, "address": str(tmp_path / "relay.json")}
    party["calibrate"] = False
    workers = [
        Worker(s.party, s.role, "bench.engines.federated.party", {**party, "shard": str(s.folder)}, tmp_path / s.party)
        for s in rows.shards
    ]
    workers.append(Worker("10000", "arbiter", "bench.engines.federated.arbiter", arbiter, tmp_path / "arbiter"))
    finished = processes.run(workers, LIMIT, lambda _: None)
    forwarder.close()
    wires = [left.result["wire"] for left in finished if "wire" in left.result]
    assert len(wires) == 2
    for way, counted in (("sent", forwarder.sent), ("received", forwarder.received)):
        told = sum(wire[way] for wire in wires)
        # Parties look just before they say good-bye.
        assert told <= counted <= told + 2 * 200
