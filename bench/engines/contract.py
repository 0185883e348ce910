"""The engines: ways to train the same model on the same rows. A new one is a module with ``train`` and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.prepare import Prepared
from bench.measure.sampler import Samples
from bench.measure.spans import Recorder
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
