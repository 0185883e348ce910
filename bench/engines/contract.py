"""What an engine is: a way to train the same model on the same rows; and what it is given and returns.

A new engine is a module in bench/engines with an instance of Engine, a folder there with one in its ``engine.py``, or
an entry point of another distribution (docs/engines.md has an example). From then on suites can name it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.data.prepare import Prepared
from bench.errors import CaseError, UserError
from bench.i18n.messages import Line
from bench.measure.sampler import Samples
from bench.measure.spans import Recorder
from bench.model.logistic import Array, Training
from bench.plugins import Plugin

GROUP = "federated_bench.engines"

Kind = Literal["centralised", "local", "federated"]
"""Who holds the rows: one process all of them, each party alone its own, or each its own in a training together."""

Network = Literal["none", "loopback", "hosts"]
"""How the parties of an engine talk to each other."""


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
    """Result of a repeat; ``epochs_run`` is None for a solver without epochs, ``notes`` are lines for a reader.

    ``startup_seconds``: from the first process's start until training began. ``stages``: where a platform's job spends
    its time, its epochs among the rest, in seconds by name. ``dropped_out``: parties that the others went on without.
    """

    models: list[Model]
    parties: list[PartyTrace]
    losses: list[float] | None
    epochs_run: int | None
    startup_seconds: float
    training_seconds: float
    samples: Samples = field(default_factory=Samples)
    notes: list[Line] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    dropped_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Visibility:
    """What the ``arbiter`` and the other ``parties`` can see of a party's rows, and the ``assumptions`` of that.

    Each is a sentence marked with gettext_noop.
    """

    arbiter: str
    parties: str
    assumptions: str


class Privacy(Plugin):
    """A privacy mode as pages show it: its name, what it protects, and who can see what.

    ``description`` is a line for --list. ``protects``: whether messages are protected at all. ``options``: its settings
    and their defaults. ``visibility`` is None where no party sends anything.
    """

    description: str
    protects: bool
    visibility: Visibility | None = None
    options: Mapping[str, Any] = {}


class Unprotected(Privacy):
    """The one mode of an engine that has no messages to protect."""

    name, description, protects = "plain", "no messages, so nothing to protect", False


class Engine(Plugin):
    """A way to train the model. ``name`` is what suites call it, ``description`` a line for --list.

    ``platform``: the product it runs, where that is not the kit. ``solvers``: what ``training.solver`` may be.
    ``parties``: the fewest and the most parties it can train with; None: any number.
    """

    description: str
    kind: Kind
    network: Network = "none"
    platform: str = ""
    solvers: tuple[str, ...] = ("own",)
    parties: tuple[int, int | None] = (2, None)

    @property
    def privacy_modes(self) -> Mapping[str, Privacy]:
        """Its privacy modes by name."""
        return {Unprotected.name: _UNPROTECTED}

    def missing(self) -> str | None:
        """Say what this machine lacks for the engine and what to do about it; None if nothing."""
        return None

    def check_training(self, training: Training) -> None:
        """Raise UserError naming the setting that the engine cannot train with, and what may stand there."""

    def resolve_options(
        self, privacy: str, options: Mapping[str, Any], training: Training, parties: int | None
    ) -> dict[str, Any]:
        """Return the options of a privacy mode with their defaults; ``parties`` is None where only the data can tell.

        Raises UserError naming the option that is wrong and what may stand there.
        """
        defaults = self.privacy_modes[privacy].options
        unknown = sorted(set(options) - set(defaults))
        if unknown:
            offered = f"choose from {', '.join(defaults)}" if defaults else "it has none"
            raise UserError(f"privacy_options: {unknown[0]!r} is no option of {privacy}; {offered}")
        return {**defaults, **options}

    @abstractmethod
    def train(self, job: Job) -> Outcome:
        """Run one repeat. Raises CaseError, naming the party at fault, when it cannot be finished."""


class HostsEngine(Engine):
    """An engine whose parties have a machine each: playbooks/bench.yml takes orders there and brings results back."""

    network: Network = "hosts"

    def train(self, job: Job) -> Outcome:
        """Refuse: this program does not run on the hosts."""
        raise CaseError(f"engine {self.name} runs on hosts: ansible-playbook site.yml --tags bench,collect")

    @abstractmethod
    def write_order(self, job: Job, name: str, folder: Path) -> None:
        """Fill ``folder``/<party> with what that party's host needs, its rows and no others'; ``name`` is the job's."""

    @abstractmethod
    def collect(self, job: Job, folder: Path) -> Outcome:
        """Return the result of a repeat from what the hosts left in ``folder``/<party>.

        Raises CaseError, naming the party at fault, when the job failed.
        """


_UNPROTECTED = Unprotected()
