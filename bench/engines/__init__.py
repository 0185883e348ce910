"""The engines: ways to train the same model on the same rows. A new one is a module with ``train`` and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from bench.data.prepare import Prepared, Shard
from bench.engines import processes
from bench.engines.federated import privacy as federated_privacy
from bench.engines.processes import Worker
from bench.errors import CaseError, UserError
from bench.measure.resources import Sampler, Samples
from bench.measure.trace import Recorder
from bench.model.logistic import Array, Training


@dataclass(frozen=True)
class Job:
    """One repeat of one case, as an engine is given it. Files are written below ``folder`` only."""

    training: Training
    privacy: str
    privacy_options: dict[str, Any]
    prepared: Prepared
    features: list[str]
    seed: int
    folder: Path
    time_limit: float
    measure: bool = True
    say: Callable[[str], None] = lambda _: None  # a line of progress for whoever waits


@dataclass
class Model:
    """A model: ``weights`` (d + 1,), intercept last, for columns scaled by ``means`` and ``deviations`` (d,)."""

    name: str
    party: str
    weights: Array
    means: Array
    deviations: Array


@dataclass
class PartyTrace:
    """What one process recorded of itself; ``operations``: CPU seconds of each that its protection is made of.

    ``sampled_from``: when the sampler of its host began, on the clock of its spans; None where one sampler saw all.
    """

    party: str
    role: str
    rows: int | None
    recorder: Recorder
    peak_rss: int | None
    uss: int | None
    wire: dict[str, int] | None = None
    operations: dict[str, float] = field(default_factory=dict)
    sampled_from: float | None = None


@dataclass
class Outcome:
    """What a repeat brought; ``epochs_run`` is None for a solver without epochs, ``notes`` are lines for a reader.

    ``startup_seconds``: from the first process's start until training began. ``stages``: where a platform's job spends
    its time, its epochs among the rest, in seconds by name. ``lost``: parties that the others went on without.
    """

    models: list[Model]
    parties: list[PartyTrace]
    losses: list[float] | None
    epochs_run: int | None
    startup_seconds: float
    training_seconds: float
    samples: Samples = field(default_factory=Samples)
    notes: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Engine:
    """An entry of the registry. ``network``: how its parties talk to each other, if at all.

    ``learns``: who could learn what, as in bench.engines.federated.privacy.Mode; empty where nothing is shared.
    An engine that runs on ``hosts`` is not run by this program: playbooks/bench.yml does that, through bench.hosts.
    Its module may have ``missing()``, which says what this machine lacks for it, and ``unsuited(training)``, which
    says what setting it cannot do; None if nothing.
    """

    description: str
    module: str
    privacies: tuple[str, ...] = ("plain",)
    network: Literal["none", "loopback", "hosts"] = "none"
    learns: Mapping[str, str] = field(default_factory=dict)

    def train(self, job: Job) -> Outcome:
        """Run one repeat. Raises CaseError, naming the party at fault, when it cannot be finished."""
        outcome: Outcome = import_module(self.module).train(job)
        return outcome

    def missing(self) -> str | None:
        """Say what this machine lacks for the engine and what to do about it; None if nothing."""
        if self.network == "hosts":
            return None
        ask = getattr(import_module(self.module), "missing", None)
        return ask() if ask else None

    def unsuited(self, training: Training) -> str | None:
        """Say which setting the engine cannot do; None if it can do all."""
        ask = getattr(import_module(self.module), "unsuited", None)
        return ask(training) if ask else None


_FATE_LEARNS = {
    "arbiter": "the sum of all parties' weights and losses of each round, and each party's number of rows",
    "parties": "the average of the weights; of two parties, each can take away its own part",
    "assumes": "the arbiter colludes with nobody, and no party is lost: the job ends there",
}

ENGINES = {
    "centralised": Engine(
        "one process that holds all rows: the same optimiser, or scikit-learn's", "bench.engines.centralised"
    ),
    "local": Engine("each party alone, on its own rows only", "bench.engines.local"),
    "federated": Engine(
        "one process a party and one for the arbiter, gRPC on loopback between them",
        "bench.engines.federated.engine",
        tuple(federated_privacy.MODES),
        network="loopback",
    ),
    "fate": Engine(
        "FATE 2.2 itself on this machine: all parties behind a FATE Flow of its own (make fate)",
        "bench.engines.fate",
        ("masked",),
        network="loopback",
        learns=_FATE_LEARNS,
    ),
    "fate_hosts": Engine(
        "FATE 2.2 on the hosts that site.yml made; ansible-playbook site.yml runs it",
        "bench.engines.fate",
        ("masked",),
        network="hosts",
        learns=_FATE_LEARNS,
    ),
}


def check(
    engine: str, privacy: str, privacy_options: Mapping[str, Any], training: Training, parties: int | None
) -> dict[str, Any]:
    """Refuse what an engine cannot do; return the privacy options with their defaults.

    ``parties`` is None where only the data can tell. Raises UserError naming the setting and the choices.
    """
    if engine not in ENGINES:
        raise UserError(f"engine: {engine!r} is unknown; choose from {', '.join(ENGINES)}")
    if privacy not in ENGINES[engine].privacies:
        choices = ", ".join(ENGINES[engine].privacies)
        raise UserError(f"privacy: {privacy!r} cannot be had with engine {engine}; choose from {choices}")
    if training.solver != "own" and engine != "centralised":
        raise UserError(f"training.solver: {training.solver!r} is for engine centralised only")
    if engine == "federated" and training.aggregation == "fedsgd" and training.batch_size is not None:
        raise UserError("training.batch_size: FedSGD takes full batches; use aggregation: fedavg or leave it out")
    if wrong := ENGINES[engine].unsuited(training):
        raise UserError(wrong)
    if engine == "federated":
        return federated_privacy.complete(privacy, privacy_options, training, parties)
    if privacy_options:
        raise UserError(f"privacy_options: engine {engine} has none")
    return {}


def learns(engine: str, privacy: str) -> dict[str, str] | None:
    """Say who could learn what in a privacy mode of an engine: the arbiter, the parties, and what that assumes."""
    if engine == "federated":
        return dict(federated_privacy.MODES[privacy].learns)
    return dict(ENGINES[engine].learns) or None


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
        lost=[party for left in finished for party in left.result.get("lost", [])],
        notes=list(dict.fromkeys(note for left in finished for note in left.result.get("notes", []))),
    )
