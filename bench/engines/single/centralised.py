"""One process that holds all rows: what training costs where nobody minds sharing data."""

from __future__ import annotations

from bench.engines.contract import Job, Outcome
from bench.engines.launch import launch, worker


def train(job: Job) -> Outcome:
    """Train on the rows of all parties, in a process of its own so that its CPU and memory can be told apart."""
    return launch(job, [worker(job, job.prepared.pooled, "bench.engines.single.single_party")], lambda _: "centralised")
