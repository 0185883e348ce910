"""What role bench runs on a host, and the watch beside FATE Flow, as far as they need no FATE."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from ansible_helpers import ROOT, load, local_parties, run_play, write_inventory
from helpers import LIMIT, wait_for

PARTY = ROOT / "bench" / "engines" / "fate" / "party"
SAMPLER = ROOT / "roles" / "bench" / "files" / "sample_host.py"


@pytest.fixture(scope="module")
def watch() -> Iterator[ModuleType]:
    """The watch, with the sampler beside it as on a host."""
    sys.path.insert(0, str(ROOT / "bench" / "measure"))
    yield load(PARTY / "watch.py")
    sys.path.remove(str(ROOT / "bench" / "measure"))


BOOKS = [ROOT / "playbooks" / "bench.yml", ROOT / "playbooks" / "collect.yml"]


@pytest.mark.parametrize(
    ("stack", "options", "words"),
    [("kubefate", (), "measures parties of stack slim"), ("slim", ("--check",), "no report yet")],
)
def test_nothing_is_measured_at_other_parties_or_in_check_mode(
    tmp_path: Path, stack: str, options: tuple[str, ...], words: str
) -> None:
    inventory = write_inventory(tmp_path, local_parties())
    more = ("-e", f"party_stack={stack}", "-e", "ansible_become=false", "-e", f"bench_out={tmp_path / 'out'}")
    run = run_play(BOOKS, inventory, *options, *more, home=tmp_path)
    assert run.code == 0 and run.total("changed") == 0
    assert words in run.output
    assert not (tmp_path / "out").exists()


def test_a_wrong_suite_is_told_in_one_line_before_anything_is_done(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path, local_parties())
    run = run_play(BOOKS, inventory, "-e", "ansible_become=false", "-e", "bench_suite=wrong", home=tmp_path)
    assert run.code != 0
    assert len(run.lines) == 1 and "wrong" in run.lines[0] and run.lines[0].startswith("error: ")


def sampled(folder: Path, *command: str) -> tuple[int, list[dict[str, object]], str]:
    output, log = folder / "rows.jsonl", folder / "log"
    done = subprocess.run([sys.executable, str(SAMPLER), str(output), str(log), "9999", *command], timeout=LIMIT)
    return done.returncode, [json.loads(line) for line in output.read_text().splitlines()], log.read_text()


@pytest.mark.parametrize(("end", "status"), [("exit 3", 3), ("kill -KILL $$", 128 + 9)])
def test_the_host_is_sampled_while_a_command_runs_and_its_end_is_told(tmp_path: Path, end: str, status: int) -> None:
    code, rows, log = sampled(tmp_path, "sh", "-c", f"echo said; echo wrong >&2; sleep 2; {end}")
    assert code == status
    assert log == "said\nwrong\n"
    host = [row for row in rows if row["party"] == ""]
    assert len(host) >= 2
    assert host[0]["cpu_percent"] is None
    assert 0 <= float(str(host[-1]["cpu_percent"])) <= 100
    assert 0 < int(str(host[-1]["rss"])) < psutil.virtual_memory().total
    assert {row["host"] for row in rows} == {socket.gethostname()}


def test_a_container_is_described_as_docker_stats_does(tmp_path: Path) -> None:
    usage = load(SAMPLER).usage
    before = {"cpu_usage": {"total_usage": 1_000}, "system_cpu_usage": 10_000}
    now = {"cpu_usage": {"total_usage": 2_000}, "system_cpu_usage": 14_000, "online_cpus": 2}
    counts = {
        "cpu_stats": now,
        "precpu_stats": before,
        "memory_stats": {"usage": 500, "stats": {"inactive_file": 100}},
        "networks": {"eth0": {"rx_bytes": 7, "tx_bytes": 8}, "eth1": {"rx_bytes": 1, "tx_bytes": 2}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5}, {"op": "write", "value": 6}]},
    }
    row = usage(counts)
    assert row == {
        "cpu_percent": 50.0, "rss": 400, "read_bytes": 5, "write_bytes": 6, "net_sent": 10, "net_received": 8,
    }  # fmt: skip
    # The first sample has nothing to compare with, a container may count no disk, and one that ended uses no memory.
    first = usage({**counts, "precpu_stats": {}, "blkio_stats": {"io_service_bytes_recursive": None}})
    assert first["cpu_percent"] is None and first["read_bytes"] is None
    assert usage({**counts, "memory_stats": {}}) is None


def started(code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    return process


READY = "print('ready', flush=True)\n"
TASK = {"role": "host", "party_id": "9998", "task_name": "lr_0"}


@pytest.mark.skipif(sys.platform != "linux", reason="the watch runs on Linux")
def test_a_worker_that_waits_for_a_message_is_told_from_one_that_hangs(watch: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import select, socket; s = socket.create_connection({server.getsockname()})\n"
        waits = started(f"{connect}{READY}select.select([s], [], [])")
        reads = started(f"{connect}{READY}s.recv(1)")
        hangs = started(f"import threading\n{READY}threading.Lock().acquire() and threading.Event().wait()")
        try:
            wait_for(lambda: watch.waits_for_message(waits.pid), "the first waits")
            wait_for(lambda: watch.waits_for_message(reads.pid), "the second waits")
            wait_for(lambda: not watch.waits_for_message(hangs.pid), "the third hangs")
            worker = watch.Worker(psutil.Process(hangs.pid), TASK, Path("/nowhere"))
            watch.examine(worker)  # what it has used until now
            busy = worker.busy
            time.sleep(0.1)
            watch.examine(worker)
            assert worker.busy == busy and not worker.stopped and worker.gone is None
        finally:
            for process in (waits, reads, hangs):
                process.kill()
                process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="the watch runs on Linux")
def test_a_worker_that_is_stopped_or_killed_is_seen_and_one_that_ends_in_order_is_not(
    watch: ModuleType, tmp_path: Path
) -> None:
    process = started(f"{READY}input()")
    worker = watch.Worker(psutil.Process(process.pid), TASK, tmp_path / "result.yaml")
    watch.examine(worker)
    assert not worker.stopped and worker.gone is None
    os.kill(process.pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it is stopped")
    watch.examine(worker)
    watch.examine(worker)
    assert worker.stopped == 2
    process.kill()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "it is dead")
    watch.examine(worker)
    assert worker.gone and "killed by SIGKILL" in worker.signal
    (tmp_path / "result.yaml").touch()
    watch.examine(worker)
    assert worker.gone is None
    process.communicate()


def test_a_log_is_quoted_by_its_last_lines_however_long(watch: ModuleType, tmp_path: Path) -> None:
    assert watch.lines_of(tmp_path / "nothing") == []
    (tmp_path / "log").write_bytes(b"x" * 100_000 + b"\n\nsecond \xff last\n   \n" + b"y" * 1000 + b"\n\n")
    *_, second, last = watch.lines_of(tmp_path / "log")
    assert second.startswith("second") and last == "y" * 250
