"""The engines with one data holder a training: all rows in one place, or each party alone."""

from __future__ import annotations

from bench.engines.contract import Engine, Job, Outcome
from bench.engines.launch import launch, worker
from bench.measure.sampler import Samples
from bench.model.logistic import SOLVERS

_PROCESS = "bench.engines.single.single_party"


class Centralised(Engine):
    """One process that holds all rows: what training costs where nobody minds sharing data."""

    name, kind, order = "centralised", "centralised", 10
    description = "one process that holds all rows: the same optimiser, or scikit-learn's"
    solvers = SOLVERS

    def train(self, job: Job) -> Outcome:
        """Train on the rows of all parties, in a process of its own so that its CPU and memory can be told apart."""
        return launch(job, [worker(job, job.prepared.pooled, _PROCESS)], lambda _: self.name)


class Local(Engine):
    """Each party alone on its own rows: what it gets without the others."""

    name, kind, order = "local", "local", 11
    description = "each party alone, on its own rows only"

    def train(self, job: Job) -> Outcome:
        """Train the parties' own models one after the other, so that they do not slow each other down."""
        outcomes: list[Outcome] = []
        samples = Samples()
        for shard in job.prepared.shards:
            outcome = launch(job, [worker(job, shard, _PROCESS)], lambda trained: trained.party)
            samples.append(outcome.samples)
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


ENGINES = (Centralised(), Local())
