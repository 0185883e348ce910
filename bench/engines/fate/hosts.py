"""FATE on hosts of its own: the folder that each party's host is given, and the Outcome of what the hosts sent back.

In between, playbooks/bench.yml takes the folders to the hosts and runs the scripts in them.
"""

from __future__ import annotations

from pathlib import Path

from bench.engines.contract import Job, Outcome
from bench.engines.fate import order as orders_of_jobs
from bench.engines.fate import outcome
from bench.errors import CaseError

FLOW = "127.0.0.1:9380"  # seen from the container that a party's FATE Flow runs in


def order(job: Job, name: str, folder: Path) -> None:
    """Fill ``folder``/<party> for each party that holds rows: those rows and no others'. ``name`` is the tables'."""
    scale = orders_of_jobs.scaling(job.prepared.shards)
    for shard in job.prepared.shards:
        place = folder / shard.party
        orders_of_jobs.scripts(place, probe=job.measure)
        orders_of_jobs.write(job, name, [shard.party], place, scale, FLOW)


def collect(job: Job, orders: Path) -> Outcome:
    """Return what the hosts brought into ``orders``/<party>; raises CaseError, naming the party, if the job failed."""
    folders = {shard.party: orders / shard.party for shard in job.prepared.shards}
    verdicts = {party: outcome.read_json(folder / "verdict.json") for party, folder in folders.items()}
    try:
        outcome.check(verdicts)
        return outcome.read(job, folders, orders_of_jobs.scaling(job.prepared.shards), {})
    except CaseError:
        for party, folder in folders.items():
            outcome.gather_logs(folder, job.folder / party / "log.txt")
        raise
