"""The engines by name, and what each can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from bench.engines.contract import Job, Outcome
from bench.engines.federated.privacy import registry
from bench.errors import UserError
from bench.model.logistic import Training


@dataclass(frozen=True)
class Engine:
    """An entry of the registry. ``network``: how its parties talk to each other, if at all.

    ``learns``: who could learn what, as in a privacy mode's entry; empty where nothing is shared.
    An engine that runs on ``hosts`` is not run by this program: playbooks/bench.yml does that, through bench.run.hosts.
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
        "one process that holds all rows: the same optimiser, or scikit-learn's", "bench.engines.single.centralised"
    ),
    "local": Engine("each party alone, on its own rows only", "bench.engines.single.local"),
    "federated": Engine(
        "one process a party and one for the arbiter, gRPC on loopback between them",
        "bench.engines.federated.engine",
        tuple(registry.MODES),
        network="loopback",
    ),
    "fate": Engine(
        "FATE 2.2 itself on this machine: all parties behind a FATE Flow of its own (make fate)",
        "bench.engines.fate.engine",
        ("masked",),
        network="loopback",
        learns=_FATE_LEARNS,
    ),
    "fate_hosts": Engine(
        "FATE 2.2 on the hosts that site.yml made; ansible-playbook site.yml runs it",
        "bench.engines.fate.engine",
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
        return registry.complete(privacy, privacy_options, training, parties)
    if privacy_options:
        raise UserError(f"privacy_options: engine {engine} has none")
    return {}


def learns(engine: str, privacy: str) -> dict[str, str] | None:
    """Say who could learn what in a privacy mode of an engine: the arbiter, the parties, and what that assumes."""
    if engine == "federated":
        return dict(registry.MODES[privacy].learns)
    return dict(ENGINES[engine].learns) or None
