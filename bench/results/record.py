"""What run.json says, as types; docs/results.md explains each word, docs/run.schema.json is made from this module.

Everything but the outline (OUTLINE) may be missing: what was not measured, or came later than the run, is None or
empty, never zero. Names that this version does not know are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bench.i18n.language import gettext_noop
from bench.i18n.messages import Line
from bench.stats.summaries import Summary

SCHEMA_VERSION = 3
OLDEST_VERSION = 2
OUTLINE = ("run_id", "suite", "environment", "datasets", "cases")

# What stands there is the user's or an engine's own: it is kept as it is, nulls included.
_KEPT = frozenset(("plan", "privacy_options", "training", "balance", "figures", "values"))
_OF_A_SUMMARY = ("median", "low", "high", "n")

STATES = (gettext_noop("ok"), gettext_noop("failed"), gettext_noop("pending"), gettext_noop("skipped"))
"""What a case's ``status`` can be."""


class SuiteFacts(msgspec.Struct):
    """Which suite was run."""

    name: str | None = None
    title: str | None = None
    description: str | None = None


class Revision(msgspec.Struct):
    """The kit's git revision; ``dirty``: there were changes that are not in it."""

    commit: str | None = None
    dirty: bool | None = None


class SlowDowns(msgspec.Struct):
    """What slowed the machine during the run: a share of the CPU time, and two counts."""

    stolen_share: float | None = None
    quota_periods: float | None = None
    heat_events: float | None = None


class EnvironmentFacts(msgspec.Struct):
    """The machine, its software, and what ran on it beside the kit. Memory in bytes."""

    cpu: str | None = None
    cores_logical: int | None = None
    cores_physical: int | None = None
    cores_available: int | None = None
    memory_bytes: int | None = None
    os: str | None = None
    kernel: str | None = None
    python: str | None = None
    packages: dict[str, str] = {}
    blas: str | None = None
    threads_per_process: int | None = None
    load_before: list[float] = []
    load_after: list[float] = []
    slowed: SlowDowns = msgspec.field(default_factory=SlowDowns)
    cpu_governor: str | None = None
    cpu_boost: bool | None = None
    virtualised: bool | str | None = None
    warnings: list[Line] = []
    conditions: list[Line] = []


class Measuring(msgspec.Struct):
    """The sampler of CPU and memory: samples a second, and what it took, in % of one core."""

    sampler_hertz: float | None = None
    sampler_cpu_percent: float | None = None


class FunnelStepFacts(msgspec.Struct):
    """What a step of preparation left of the raw table."""

    step: Line | None = None
    rows: int | None = None
    columns: int | None = None
    note: Line | None = None


class PartyRows(msgspec.Struct):
    """A party's training rows in the first repeat, by class, before and after balancing."""

    party: str
    role: str
    rows: int | None = None
    class_counts: list[int] = []
    rows_before_balance: int | None = None
    class_counts_before_balance: list[int] = []


class SplitFacts(msgspec.Struct):
    """How the rows were split in the first repeat."""

    title: Line | None = None
    train_rows: int | None = None
    test_rows: int | None = None
    test_class_counts: list[int] = []
    parties: list[PartyRows] = []


class DatasetFacts(msgspec.Struct):
    """A dataset after preparation; ``digest`` is the SHA-256 of features and labels."""

    name: str | None = None
    title: Line | None = None
    source: Line | None = None
    synthetic: bool | None = None
    rows: int | None = None
    features: int | None = None
    feature_names: list[str] = []
    class_names: list[str] = []
    class_counts: list[int] = []
    digest: str | None = None
    funnel: list[FunnelStepFacts] = []
    splits: dict[str, SplitFacts] = {}


class Member(msgspec.Struct):
    """A process of a case: who it trained for."""

    party: str
    role: str

    @property
    def key(self) -> str:
        """Its name in tables: party/role."""
        return f"{self.party}/{self.role}"


class Operation(msgspec.Struct):
    """An operation of a protection: how often an epoch, and the CPU seconds of one."""

    count: Summary | None = None
    seconds: Summary | None = None


class PartyTime(msgspec.Struct):
    """The times of one process, seconds an epoch."""

    epoch_seconds: Summary | None = None
    cpu_seconds: Summary | None = None
    attributed_share: Summary | None = None
    rows: Summary | None = None
    phases: dict[str, Summary] = {}
    cpu_phases: dict[str, Summary] = {}
    operations: dict[str, Operation] = {}


class Time(msgspec.Struct):
    """The times of a case; the epoch is that of ``critical_party``, which has the most rows."""

    epoch_seconds: Summary | None = None
    training_seconds: Summary | None = None
    startup_seconds: Summary | None = None
    attributed_share: Summary | None = None
    critical_party: str | None = None
    stages: dict[str, Summary] = {}
    by_party: dict[str, PartyTime] = {}


class PartyBytes(msgspec.Struct):
    """Bytes of messages an epoch."""

    epoch_sent: Summary | None = None
    epoch_received: Summary | None = None


class Wire(msgspec.Struct):
    """Bytes that the sockets carried in the whole case."""

    sent: Summary | None = None
    received: Summary | None = None


class Traffic(msgspec.Struct):
    """The bytes of a case: all parties together, without the arbiter, and each."""

    epoch_sent: Summary | None = None
    epoch_received: Summary | None = None
    by_party: dict[str, PartyBytes] = {}
    wire: Wire | None = None


class PartyResources(msgspec.Struct):
    """CPU over the epochs (% of one core, seconds) and peaks of memory (bytes) of one process."""

    cpu_percent: Summary | None = None
    cpu_seconds: Summary | None = None
    rss_peak_bytes: Summary | None = None
    uss_peak_bytes: Summary | None = None


class Resources(msgspec.Struct):
    """CPU and memory by process."""

    by_party: dict[str, PartyResources] = {}


class DroppedOut(msgspec.Struct):
    """A party that the others went on without."""

    repeat: int
    party: str


class Note(msgspec.Struct):
    """A note on a case, and the repeat that it is of."""

    line: Line
    repeat: int | None = None


class CaseRecord(msgspec.Struct):
    """One case: its settings, its state, and the summaries of its finished repeats.

    ``kind``: who held the rows, "centralised" (one process all of them), "local" (each party alone) or "federated".
    ``platform``: the product that it trained on, empty for the kit itself. ``protected``: whether the privacy mode
    protects anything.
    """

    id: str
    title: str | None = None
    engine: str | None = None
    platform: str | None = None
    kind: str | None = None
    privacy: str | None = None
    protected: bool | None = None
    privacy_options: dict[str, Any] = {}
    visibility: dict[str, Line] = {}
    dataset: str | None = None
    split: str | None = None
    balance: dict[str, Any] | None = None
    network: str | None = None
    training: dict[str, Any] = {}
    parties: list[Member] = []
    epochs: int | None = None
    epochs_run: list[int | None] = []
    warmup_epochs: int | None = None
    repeats: int | None = None
    repeats_done: list[int] = []
    status: str | None = None
    error: str | None = None
    dropped_out: list[DroppedOut] = []
    metrics: dict[str, Summary] = {}
    models: dict[str, dict[str, Summary]] = {}
    time: Time | None = None
    bytes: Traffic | None = None
    resources: Resources | None = None
    loss: list[float | None] = []
    notes: list[Note] = []
    figures: list[dict[str, Any]] = []


class RunRecord(msgspec.Struct):
    """The whole of run.json."""

    schema_version: int
    run_id: str
    suite: SuiteFacts
    environment: EnvironmentFacts
    datasets: dict[str, DatasetFacts]
    cases: list[CaseRecord]
    kit_version: str | None = None
    created: str | None = None
    finished: str | None = None
    command: list[str] = []
    plan: dict[str, Any] | None = None
    revision: Revision | None = None
    measuring: Measuring = msgspec.field(default_factory=Measuring)


def from_json(content: Mapping[str, Any]) -> RunRecord:
    """Return the typed content of a run.json of this schema or an older one.

    Raises ValueError naming the part that has another shape than docs/results.md gives it.
    """
    known = _upgraded(content) if content.get("schema_version") == OLDEST_VERSION else content
    try:
        return msgspec.convert({**dict.fromkeys(OUTLINE), **without_nulls(known)}, RunRecord)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def to_json(record: RunRecord) -> dict[str, Any]:
    """Return what run.json holds of a run."""
    content: dict[str, Any] = msgspec.to_builtins(record)
    return content


def without_nulls(tree: Any) -> Any:
    """Leave out what is null, and summaries that are not whole: they are not measured."""
    if isinstance(tree, Mapping):
        is_summary = "median" in tree or (tree and {*tree} <= {*_OF_A_SUMMARY, "values"})
        if is_summary and any(tree.get(key) is None for key in _OF_A_SUMMARY):
            return None
        cleaned = {key: value if key in _KEPT else without_nulls(value) for key, value in tree.items()}
        return {key: value for key, value in cleaned.items() if value is not None}
    return [without_nulls(value) for value in tree] if isinstance(tree, list) else tree


def _upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run of schema version 2 in the words of version 3. Lines recorded as sentences stay sentences."""

    def renamed(case: Any) -> Any:
        if not isinstance(case, Mapping):
            return case
        learns = case.get("learns") or {}
        words = {"arbiter": "arbiter", "parties": "parties", "assumes": "assumptions"}
        seen = {words[key]: line for key, line in learns.items() if key in words}
        engine, notes = case.get("engine"), case.get("notes")
        return {
            **case,
            "kind": engine if engine in ("centralised", "local") else "federated",
            "platform": "FATE" if engine in ("fate", "fate_hosts") else "",
            "protected": case.get("privacy") not in (None, "plain"),
            "visibility": seen,
            "dropped_out": case.get("lost_parties"),
            "notes": [{"line": line} for line in notes] if isinstance(notes, list) else notes,
        }

    cases = content.get("cases")
    known = {**content, "schema_version": SCHEMA_VERSION}
    return {**known, "cases": [renamed(case) for case in cases] if isinstance(cases, list) else cases}
