"""Start the processes of a repeat, watch their resources, and gather what they bring."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np

from bench.data.prepare import Shard
from bench.engines import processes
from bench.engines.contract import Job, Model, Outcome, PartyTrace
from bench.engines.processes import Worker
from bench.errors import CaseError
from bench.i18n.messages import as_line, distinct
from bench.measure.sampler import Sampler, Samples


def worker(job: Job, shard: Shard, module: str, **more: Any) -> Worker:
    """Describe the process that trains on ``shard``."""
    config = {
        "shard": str(shard.folder),
        "training": asdict(job.training),
        "features": job.features,
        "seed": job.seed,
        "measure": job.measure,
        **more,
    }
    return Worker(shard.party, shard.role, module, config, job.folder / f"{shard.party}-{shard.role}", shard.rows)


def launch(job: Job, workers: list[Worker], name_of: Callable[[Worker], str]) -> Outcome:
    """Run the workers of a repeat while their resources are sampled.

    ``name_of`` names the model that a worker trained; workers that share a name must have the same one, or a CaseError
    says so.
    """
    began = perf_counter()
    with ExitStack() as stack:
        samples = Samples()

        def on_start(pids: dict[str, int]) -> None:
            nonlocal samples
            if job.measure:
                samples = stack.enter_context(Sampler(pids))

        finished = processes.run(workers, job.time_limit, on_start)
    models: dict[str, Model] = {}
    results = [left.result for left in finished if "training_started" in left.result]
    trained = [result for result in results if "weights" in result]
    for member, left in zip(workers, finished, strict=True):
        if "weights" not in left.result:
            continue
        arrays = (np.array(left.result[key]) for key in ("weights", "means", "deviations"))
        model = Model(name_of(member), member.party, *arrays)
        if not np.array_equal(models.setdefault(model.name, model).weights, model.weights):
            raise CaseError(f"{member.name} ended with another model than the other parties")
    return Outcome(
        models=list(models.values()),
        parties=[
            PartyTrace(
                party=w.party,
                role=w.role,
                rows=w.rows,
                recorder=left.recorder,
                peak_rss=left.peak_rss,
                uss=left.uss,
                wire=left.result.get("wire"),
                operations=left.result.get("operations", {}),
            )
            for w, left in zip(workers, finished, strict=True)
        ],
        losses=trained[0]["losses"],
        epochs_run=trained[0]["epochs_run"],
        startup_seconds=min(result["training_started"] for result in results) - began,
        training_seconds=max(result["training_ended"] for result in results)
        - min(result["training_started"] for result in results),
        samples=samples,
        dropped_out=[party for left in finished for party in left.result.get("dropped_out", [])],
        notes=distinct(as_line(note) for left in finished for note in left.result.get("notes", [])),
    )
