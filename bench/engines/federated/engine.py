"""The embedded federated engine: a process for each party and one for the arbiter, gRPC on loopback between them.

It measures the algorithm without a platform around it. A party reads its own shard from its own folder; what leaves it
are sums over its rows.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.data.prepare import Shard
from bench.engines.contract import Engine, Job, Outcome, Privacy
from bench.engines.federated.privacy.registry import MODES
from bench.engines.launch import launch, worker
from bench.engines.processes import Worker
from bench.errors import CaseError, UserError
from bench.measure.environment import cores_available
from bench.model.logistic import Training

ARBITER = "10000"


class Federated(Engine):
    """The embedded engine."""

    name, kind, network, order = "federated", "federated", "loopback", 20
    description = "one process a party and one for the arbiter, gRPC on loopback between them"

    @property
    def privacy_modes(self) -> Mapping[str, Privacy]:
        """All that the registry knows."""
        return MODES

    def check_training(self, training: Training) -> None:
        """Refuse mini-batches with FedSGD: each would need a round."""
        if training.aggregation == "fedsgd" and training.batch_size is not None:
            raise UserError("training.batch_size: FedSGD takes full batches; use aggregation: fedavg or leave it out")

    def resolve_options(
        self, privacy: str, options: Mapping[str, Any], training: Training, parties: int | None
    ) -> dict[str, Any]:
        """Return the mode's options with its defaults, as far as the mode takes them."""
        settings = super().resolve_options(privacy, options, training, parties)
        MODES[privacy].check(settings, training, parties)
        return settings

    def train(self, job: Job) -> Outcome:
        """Train over all parties; all that are left at the end must have the same weights.

        Raises CaseError, naming the party at fault, or the option that does not suit the number of parties.
        """
        return train(job)


ENGINE = Federated()


def train(job: Job) -> Outcome:
    """Run the parties' processes and the arbiter's."""
    shards, mode = job.prepared.shards, MODES[job.privacy]
    try:
        options = ENGINE.resolve_options(job.privacy, job.privacy_options, job.training, len(shards))
    except UserError as error:
        raise CaseError(str(error)) from error
    options = mode.resolve(options, job.training)
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
        parties.append(replace(trained, may_drop_out=mode.tolerates_dropout))
    outcome = launch(job, [*parties, arbiter], lambda _: ENGINE.name)
    outcome.notes += mode.notes(options)
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
