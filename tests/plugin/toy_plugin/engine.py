"""An engine: each party trains alone to the end, and the models are averaged once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.engines.contract import Engine, Job, Model, Outcome
from bench.engines.launch import launch, worker
from bench.engines.processes import Worker
from bench.errors import UserError
from bench.model.logistic import Training

_PROCESS = "bench.engines.single.single_party"


class OneShot(Engine):
    """One-shot averaging (Zinkevich et al. 2010, "Parallelized stochastic gradient descent")."""

    name, kind = "one_shot", "federated"
    description = "each party trains alone, and their models are averaged once"
    parties = (2, 10)

    def check_training(self, training: Training) -> None:
        """Refuse what has no sense with a single round."""
        if training.aggregation != "fedavg":
            raise UserError("training.aggregation: engine one_shot averages models; use aggregation: fedavg")

    def train(self, job: Job) -> Outcome:
        """Train the parties side by side, and average their models, weighted by rows."""
        shards = job.prepared.shards
        alone = launch(job, [worker(job, shard, _PROCESS) for shard in shards], _party)
        shares = np.array([shard.rows for shard in shards]) / sum(shard.rows for shard in shards)
        raw = np.array([_in_raw_units(model) for model in alone.models])
        average = shares @ raw
        zeros, ones = np.zeros(len(average) - 1), np.ones(len(average) - 1)
        return replace(alone, models=[Model(self.name, shards[0].party, average, zeros, ones)], losses=None)


class Fragile(Engine):
    """What happens when an engine has a bug: its cases fail, and the others go on."""

    name, kind = "fragile", "federated"
    description = "fails in a way that it should not"

    def train(self, job: Job) -> Outcome:
        """Fail."""
        raise RuntimeError("a bug of somebody else's")


def _party(trained: Worker) -> str:
    return trained.party


def _in_raw_units(model: Model) -> np.ndarray:
    """Return the weights for columns that are not scaled: each party has scaled by its own means and deviations."""
    slopes = model.weights[:-1] / model.deviations
    return np.append(slopes, model.weights[-1] - slopes @ model.means)
