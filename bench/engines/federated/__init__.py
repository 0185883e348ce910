"""The embedded federated engine: a process for each party and one for the arbiter, gRPC on loopback between them.

It measures the algorithm without a platform around it. A party reads its own shard from its own folder; what leaves it
are sums over its rows.
"""

from __future__ import annotations

import secrets

from bench.engines import Job, Outcome, launch, worker
from bench.engines.processes import Worker

ARBITER = "10000"


def train(job: Job) -> Outcome:
    """Train over all parties; every one of them must end with the same weights."""
    shared = {"token": secrets.token_urlsafe(24), "address": str(job.folder / "arbiter.json")}
    arbiter = Worker(
        ARBITER,
        "arbiter",
        "bench.engines.federated.arbiter",
        {
            **shared,
            "features": job.features,
            "parties": {shard.party: shard.role for shard in job.prepared.shards},
            "measure": job.measure,
        },
        job.folder / f"{ARBITER}-arbiter",
    )
    parties = [worker(job, shard, "bench.engines.federated.party", **shared) for shard in job.prepared.shards]
    return launch(job, [*parties, arbiter], lambda _: "federated")
