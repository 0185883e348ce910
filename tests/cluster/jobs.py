"""FATE jobs between the testbed's nodes, started as role bench starts them, so that a test can break one half-way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ansible_helpers import ROOT
from cluster import ADDRESSES, node, processes, run_python, wait_until
from helpers import run_json

from bench.results import store

GUEST = "9999"
VOLUME = "/var/lib/docker/volumes/fate-party_data/_data"
FOLDER = f"{VOLUME}/bench"
TINY = ROOT / "tests" / "cluster" / "tiny.yml"
CASE = "fate-hosts"


def orders(folder: Path, epochs: int) -> dict[str, Path]:
    """Let the kit write what each party is given for a job of so many epochs."""
    suite = folder / "long.yml"
    suite.write_text(TINY.read_text().replace("epochs: 6", f"epochs: {epochs}"))
    bench("bench.run", "--suite", str(suite), "--out", str(folder / "runs"))
    (run,) = (folder / "runs").iterdir()
    bench("bench.run.hosts", "order", str(run), "1", str(folder / "orders"))
    return {party: folder / "orders" / CASE / party for party in ADDRESSES}


def bench(*argv: str) -> None:
    """Run a program of the kit."""
    subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)


def bring(folders: Mapping[str, Path]) -> None:
    """Put each party's folder into its FATE Flow's volume."""
    for party, folder in folders.items():
        node(party, f"rm -rf {FOLDER}")
        subprocess.run(["docker", "cp", str(folder), f"testbed-{party}:{FOLDER}"], check=True, capture_output=True)
        node(party, f"chown -R 10001:10001 {FOLDER}")


def start(party: str, *argv: str) -> subprocess.Popen[str]:
    """Begin a script of the party's folder in its FATE Flow's container."""
    inside = ["docker", "exec", "--workdir", "/var/lib/fate/bench", "fate-flow", "python", *argv]
    return subprocess.Popen(
        ["docker", "exec", f"testbed-{party}", *inside], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(started: Mapping[str, subprocess.Popen[str]], seconds: float) -> dict[str, int]:
    """Wait until all have ended, within so many seconds together; their exit statuses, and what they said is shown."""
    deadline = time.monotonic() + seconds
    statuses = {}
    for party, process in started.items():
        said, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
        print(f"--- {party}: {' '.join(map(str, process.args))}\n{said}")
        statuses[party] = process.returncode
    return statuses


def upload() -> None:
    """Upload each party's rows to its FATE Flow."""
    statuses = finished({party: start(party, "job.py", "upload", ".") for party in ADDRESSES}, 180)
    assert set(statuses.values()) == {0}


@dataclass
class Watched:
    """A job that is followed by a watch at each party."""

    watches: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def stopped_within(self, seconds: float) -> dict[str, Any]:
        """Wait until no watch sees the job run any more; return each party's verdict."""
        statuses = finished(self.watches, seconds)
        assert 0 not in statuses.values()
        return {party: json.loads(node(party, f"cat {FOLDER}/verdict.json")) for party in ADDRESSES}


@contextmanager
def job() -> Iterator[Watched]:
    """Submit the job that was ordered, and watch it; nothing of it runs afterwards."""
    for party in ADDRESSES:
        node(party, f"rm -rf {FOLDER}/submitted.json {FOLDER}/verdict.json {FOLDER}/events")
    assert finished({GUEST: start(GUEST, "job.py", "submit", ".")}, 60) == {GUEST: 0}
    submitted = node(GUEST, f"cat {FOLDER}/submitted.json")
    for party in ADDRESSES:
        node(party, f"echo '{submitted}' >{FOLDER}/submitted.json")
    watched = Watched({party: start(party, "-u", "watch.py", "order.json") for party in ADDRESSES})
    try:
        yield watched
    finally:
        for process in watched.watches.values():
            process.kill()


WORKERS = """
import pathlib, sys
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        words = path.read_text().replace(chr(0), " ")
    except OSError:
        continue
    if "component execute" in words and sys.argv[1] in words:
        print(path.parent.name)
"""


def worker(party: str, role: str) -> int | None:
    """Find the process of HomoLR of a party, by its id on the node; the processes it has forked have greater ones."""
    pids = [int(word) for word in run_python(party, WORKERS, f"/{role}/{party}/lr_0/").split()]
    return min(pids, default=None)


def wait_for_worker(party: str, role: str) -> int:
    """Wait until a party's HomoLR runs and has begun its log; return its process."""
    log = f"find {VOLUME}/logs -path '*/{role}/{party}/lr_0/root/INFO' -size +0 -newer {FOLDER}/submitted.json"
    wait_until(lambda: worker(party, role) and node(party, log), 240, f"HomoLR of party {party} runs")
    pid = worker(party, role)
    assert pid
    return pid


CORES = f"""
import sqlite3, sys
computing = "WHERE f_engine_type = 'computing'"
with sqlite3.connect("{VOLUME}/fate_flow_sqlite.db", timeout=30) as database:
    if len(sys.argv) > 1:
        database.execute("UPDATE t_engine_registry SET f_remaining_cores = " + sys.argv[1] + " " + computing)
    (row,) = database.execute("SELECT f_cores, f_remaining_cores FROM t_engine_registry " + computing)
    print(*row)
"""


def all_is_free(party: str) -> bool:
    """Whether nothing of a job runs at a party but what tidies up after it, and all cores are free again."""
    whole, free = run_python(party, CORES).split()
    working = ("component execute", "component entrypoint")
    return whole == free and not any(words in line for words in working for line in processes(party).splitlines())


def record(run: Path) -> dict[str, Any]:
    """Return the case between hosts of a result folder."""
    cases: list[dict[str, Any]] = run_json(run)["cases"]
    return next(case for case in cases if case["id"] == CASE)


def epochs(run: Path) -> pd.DataFrame:
    """Return what a result folder has of the case's epochs, with the column ``who``, for example 9998/host."""
    table = store.read_csv(run, "epochs.csv")
    table = table[table["case"] == CASE]
    return table.assign(who=table["party"] + "/" + table["role"])


def resources(run: Path) -> pd.DataFrame:
    """Return what was sampled during the case."""
    table = store.read_csv(run, "resources.csv")
    return table[table["case"] == CASE]


LEFT = """
import pathlib, re, sys
patterns = re.compile(b"|".join(re.escape(word.encode()) for word in sys.argv[1:]))
for folder in ("/var/lib/docker/volumes", "/var/lib/federated-bench", "/tmp", "/root"):
    for path in pathlib.Path(folder).rglob("*"):
        try:
            if path.is_file() and patterns.search(path.read_bytes()):
                print(path)
        except FileNotFoundError:
            pass
"""


def holders(party: str, numbers: set[float]) -> list[str]:
    """List the files of a party's node in which one of the numbers stands, as text of single or double precision."""
    texts = {text for number in numbers for text in (str(np.float32(number)), repr(number))}
    return run_python(party, LEFT, *texts).split()


def own_numbers(folders: Mapping[str, Path]) -> dict[str, set[float]]:
    """Return numbers from each party's first rows that are in no other party's rows."""
    tables = {party: pd.read_csv(folder / f"{party}.csv", dtype="float32") for party, folder in folders.items()}
    all_of = {party: set(table.to_numpy().ravel().tolist()) for party, table in tables.items()}
    others = {party: set().union(*(all_of[other] for other in tables if other != party)) for party in tables}
    return {
        party: set(sorted(set(table.head(20).to_numpy().ravel().tolist()) - others[party], key=abs)[-10:])
        for party, table in tables.items()
    }
