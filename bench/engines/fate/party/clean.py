"""Take away what benchmarks have left at the FATE Flow of a party's host: clean.py FOLDER/order.json, in FATE's Python.

FATE keeps uploaded rows, and every component's output with rows in it, for ever: in its folders, and the first hundred
of each table in its database. Jobs of a benchmark that still run are stopped first, so that their cores are free again.
Works without a FATE Flow that answers; then a job that was running is stopped by the next benchmark.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import yaml
from watch import ENDED, SERVICE, Job, stop

# How long FATE may take to tidy up after a job that was stopped: its queues at the broker.
TIDY_SECONDS = 30.0


def main() -> int:
    """Stop, wait, and delete."""
    order_file = Path(sys.argv[1]).resolve()
    order = json.loads(order_file.read_text())
    home = order_file.parent.parent
    with closing(sqlite3.connect(home / "fate_flow_sqlite.db", timeout=30)) as database:
        jobs = find_jobs(database, order["table"]["namespace"])
        for job_id, running in jobs.items():
            if running:
                stop(Job(order_file.parent, order, job_id, yaml.safe_load(SERVICE.read_text())))
        wait_for(set(jobs))
        forget_tables(database, order["table"]["namespace"], list(jobs))
    for job_id in jobs:
        for folder in ("data", "jobs", "logs", "model"):
            for left in (home / folder).glob(f"{job_id}*"):
                shutil.rmtree(left, ignore_errors=True)
    print(f"{len(jobs)} jobs taken away")
    return 0


def find_jobs(database: sqlite3.Connection, namespace: str) -> dict[str, bool]:
    """Return the jobs that name the tables of benchmarks, uploads too, and whether a part of them is not ended."""
    query = "SELECT f_job_id, f_status FROM t_job WHERE f_dag LIKE ?"
    jobs: dict[str, bool] = {}
    for job_id, status in database.execute(query, (f'%"namespace": "{namespace}"%',)):
        jobs[job_id] = jobs.get(job_id, False) or status not in ENDED
    return jobs


def wait_for(jobs: set[str]) -> None:
    """Wait until the jobs' last processes are through."""
    deadline = time.monotonic() + TIDY_SECONDS
    while time.monotonic() < deadline and any(job_of(process) in jobs for process in psutil.process_iter()):
        time.sleep(0.5)


def job_of(process: psutil.Process) -> str | None:
    """Return the job that a process belongs to."""
    with suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.environ().get("FATE_JOB_ID")
    return None


def forget_tables(database: sqlite3.Connection, namespace: str, jobs: list[str]) -> None:
    """Delete what the database holds of the tables, and write it anew: deleted rows would stay in its file."""
    with database:
        for like in (namespace, *(f"{job_id}%" for job_id in jobs)):
            database.execute("DELETE FROM t_storage_table_meta WHERE f_namespace LIKE ?", (like,))
    database.execute("VACUUM")


if __name__ == "__main__":
    sys.exit(main())
