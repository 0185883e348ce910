"""The embedded federated engine: a process for each party and one for the arbiter, gRPC on loopback between them.

It measures the algorithm without a platform around it. A party reads its own shard from its own folder; what leaves it
are sums over its rows.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace

from bench.data.prepare import Shard
from bench.engines.contract import Job, Outcome
from bench.engines.federated.privacy.registry import MODES, complete
from bench.engines.launch import launch, worker
from bench.engines.processes import Worker
from bench.errors import CaseError, UserError
from bench.measure.environment import cores_available

ARBITER = "10000"


def train(job: Job) -> Outcome:
    """Train over all parties; all that are left at the end must have the same weights.

    Raises CaseError, naming the party at fault, or the option that does not suit the number of parties.
    """
    shards, mode = job.prepared.shards, MODES[job.privacy]
    module = mode.load()
    try:
        options = complete(job.privacy, job.privacy_options, job.training, len(shards))
    except UserError as error:
        raise CaseError(str(error)) from error
    options = getattr(module, "settle", lambda given, _: given)(options, job.training)
    shared = {
        "token": secrets.token_urlsafe(24),
        "address": str(job.folder / "arbiter.json"),
        "parties": {shard.party: shard.role for shard in shards},
        "privacy": job.privacy,
        "privacy_options": options,
    }
    arbiter = Worker(
        ARBITER,
        "arbiter",
        "bench.engines.federated.arbiter",
        {**shared, "features": job.features, "local_epochs": job.training.local_epochs, "measure": job.measure},
        job.folder / f"{ARBITER}-arbiter",
    )
    cores = share_cores(shards)
    # As many parties as cores, at the same time: an operation takes longer where all cores are busy, as in an epoch.
    timing = sorted(shards, key=lambda shard: -shard.rows)[: cores_available()]
    parties = []
    for shard in shards:
        more = {"core": cores.get(shard.party), "calibrate": job.measure and shard in timing}
        trained = worker(job, shard, "bench.engines.federated.party", **shared, **more)
        parties.append(replace(trained, may_be_lost=mode.outlives))
    outcome = launch(job, [*parties, arbiter], lambda _: "federated")
    outcome.notes += getattr(module, "warnings", lambda _: [])(options)
    return outcome


def share_cores(shards: Sequence[Shard]) -> dict[str, int]:
    """Give each party a core, rows spread evenly, where there are more parties than cores; else leave it to the system.

    A scheduler that sometimes puts the largest party together with another, and sometimes not, would be measured as
    a slow epoch. Largest first, each to the core with the fewest rows (Graham 1969). The arbiter is free to run
    anywhere.
    """
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not available or len(shards) <= len(available):
        return {}
    rows = dict.fromkeys(available, 0)
    chosen: dict[str, int] = {}
    for shard in sorted(shards, key=lambda shard: -shard.rows):
        core = min(rows, key=lambda core: rows[core])
        chosen[shard.party] = core
        rows[core] += shard.rows
    return chosen
