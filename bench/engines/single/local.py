"""Each party alone on its own rows: what it gets without the others."""

from __future__ import annotations

from bench.engines.contract import Job, Outcome
from bench.engines.launch import launch, worker
from bench.measure.sampler import Samples


def train(job: Job) -> Outcome:
    """Train the parties' own models one after the other, so that they do not slow each other down."""
    outcomes: list[Outcome] = []
    samples = Samples()
    for shard in job.prepared.shards:
        outcome = launch(job, [worker(job, shard, "bench.engines.single.single_party")], lambda trained: trained.party)
        began = outcome.samples.began or 0.0
        samples.began = samples.began or began
        for row in outcome.samples.rows:
            row["t"] = round(row["t"] + began - samples.began, 3)
        samples.rows += outcome.samples.rows
        samples.seconds += outcome.samples.seconds
        samples.cpu_seconds += outcome.samples.cpu_seconds
        outcomes.append(outcome)
    slowest = max(outcomes, key=lambda outcome: outcome.training_seconds)
    return Outcome(
        models=[model for outcome in outcomes for model in outcome.models],
        parties=[party for outcome in outcomes for party in outcome.parties],
        losses=None,
        epochs_run=max(outcome.epochs_run or 0 for outcome in outcomes),
        startup_seconds=slowest.startup_seconds,
        training_seconds=slowest.training_seconds,
        samples=samples,
    )
