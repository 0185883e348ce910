"""A run in the making: its suite, its folder, its data, and the record that becomes run.json."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
import psutil

from bench.data import kinds
from bench.data.prepare import Prepared, prepare
from bench.data.table import Dataset
from bench.engines import registry
from bench.errors import UserError
from bench.i18n import language
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.measure import environment
from bench.measure.sampler import HERTZ
from bench.results.record import (
    SCHEMA_VERSION,
    CaseRecord,
    DatasetFacts,
    EnvironmentFacts,
    Measuring,
    Revision,
    RunRecord,
    SuiteFacts,
    without_nulls,
)
from bench.run.progress import say
from bench.suites.schema import Case, Suite

RESUMED = Message(
    "resumed_elsewhere", gettext_noop("the run was resumed with another {facts}: its repeats are not alike")
)


@dataclass
class Session:
    """What the parts of a run share. ``record`` is run.json as it will be saved, None until the data are known.

    ``work`` is gone afterwards. ``lang`` is the language of the report that is wanted beside the English one.
    """

    suite: Suite
    folder: Path
    work: Path
    datasets: dict[str, Dataset]
    made: RunRecord | None = None
    prepared: dict[tuple[str, str], Prepared] = field(default_factory=dict)
    lang: str = language.DEFAULT

    @property
    def record(self) -> RunRecord:
        """The record of the run."""
        assert self.made is not None
        return self.made

    def case(self, case: Case) -> CaseRecord:
        """Return the case's entry in the record."""
        return next(entry for entry in self.record.cases if entry.id == case.id)

    def replace(self, case: Case, entry: CaseRecord) -> None:
        """Put another entry in the place of the case's."""
        self.record.cases[next(i for i, old in enumerate(self.record.cases) if old.id == case.id)] = entry

    def fail(self, case: Case, repeat: int, error: Exception) -> None:
        """Note that a repeat of the case failed, and why."""
        entry = self.case(case)
        entry.status, entry.error = "failed", f"repeat {repeat}: {error}"

    def is_due(self, case: Case, repeat: int) -> bool:
        """Say whether a repeat of a case is still to be run."""
        entry = self.case(case)
        return entry.status == "pending" and repeat not in entry.repeats_done


@contextmanager
def workspace() -> Iterator[Path]:
    """Give a temporary folder, readable by this user only, for shards and processes; it is gone afterwards.

    A run that was killed outright leaves its folder, with rows of the data in it: the next run takes it away.
    """
    for left in Path(tempfile.gettempdir()).glob("bench-run-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"bench-run-{os.getpid()}-") as name:
        yield Path(name)


def load(checked: Suite, work: Path) -> dict[str, Dataset]:
    """Read the datasets of a suite.

    Raises UserError when they cannot be used.
    """
    loaded = {}
    for name in dict.fromkeys(case.dataset for case in checked.cases):
        options = checked.datasets[name]
        began = perf_counter()
        say(f"data: {kinds.describe(options)} ...")
        loaded[name] = kinds.load(options, work)
        rows, columns = loaded[name].X.shape
        say(f"data: {rows:,} rows x {columns} features in {perf_counter() - began:.1f} s")
    return loaded


def prepare_repeat(session: Session, repeat: int) -> None:
    """Split and balance the data of one repeat, once for all cases that share it; each repeat has its own seed.

    Raises UserError in the first repeat when the data do not fit a case. In a later one only the cases of that split
    fail: it is a matter of chance there.
    """
    shutil.rmtree(session.work / "rows", ignore_errors=True)
    session.prepared = {}
    say(f"repeat {repeat} of {session.suite.repeats}: splitting and balancing ...")
    for place, key in enumerate(dict.fromkeys(case.preparation for case in session.suite.cases)):
        cases = [case for case in session.suite.cases if case.preparation == key]
        dataset, split, balance = session.datasets[cases[0].dataset], cases[0].split, cases[0].balance
        seed, folder = session.suite.seed + repeat - 1, session.work / "rows" / str(place)
        try:
            session.prepared[key] = prepare(dataset, split, balance, session.suite.test_share, seed, folder)
            for case in cases:
                registry.check_parties(case.engine, len(session.prepared[key].shards))
        except UserError as error:
            if session.made is None:
                raise
            for case in cases:
                if session.case(case).status == "pending":
                    session.fail(case, repeat, error)
                    say(f"repeat {repeat} of {session.suite.repeats}: {case.id} FAILED: {error}")


def new_record(session: Session, now: datetime, command: list[str], load_before: list[float] | None) -> RunRecord:
    """Return the record of a run whose data are loaded and prepared, and whose cases are pending."""
    checked = session.suite
    most = max(len(session.prepared[case.preparation].shards) + 1 for case in checked.cases)
    together = any(case.network == "loopback" for case in checked.cases)
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=session.folder.name,
        kit_version=environment.version_of(environment.KIT),
        created=now.isoformat(timespec="seconds"),
        command=command,
        suite=SuiteFacts(checked.name, checked.title, checked.description),
        plan=checked.plan,
        revision=revision(),
        environment=environment_facts(most if together else 1, load_before),
        measuring=Measuring(HERTZ),
        datasets={name: facts(checked, name, dataset) for name, dataset in session.datasets.items()},
        cases=[_new_case(case, checked) for case in checked.cases],
    )


def environment_facts(processes: int, load_before: list[float] | None) -> EnvironmentFacts:
    """Return what the record keeps of the machine; ``processes`` share it, ``load_before`` was its load average."""
    return msgspec.convert(without_nulls(environment.describe(processes, load_before)), EnvironmentFacts)


def revision() -> Revision | None:
    """Return the git revision of the kit; None where it is in no checkout."""
    found = environment.revision()
    return msgspec.convert(without_nulls(found), Revision) if found else None


def facts(checked: Suite, name: str, dataset: Dataset) -> DatasetFacts:
    """Return what the record keeps of a dataset before it is split."""
    ones = int(dataset.y.sum())
    content: dict[str, Any] = {
        "name": dataset.name,
        "title": kinds.describe(checked.datasets[name]),
        "source": dataset.source,
        "synthetic": dataset.synthetic,
        "rows": len(dataset.y),
        "features": len(dataset.features),
        "feature_names": dataset.features,
        "class_names": list(dataset.class_names),
        "class_counts": [len(dataset.y) - ones, ones],
        "digest": _digest(dataset),
        "funnel": [vars(step) for step in dataset.funnel],
    }
    return msgspec.convert(without_nulls(content), DatasetFacts)


def _digest(dataset: Dataset) -> str:
    """Return the SHA-256 of features and labels, without copying them: they can be most of the memory."""
    digest = hashlib.sha256(np.ascontiguousarray(dataset.X).data)
    digest.update(np.ascontiguousarray(dataset.y).data)
    return digest.hexdigest()


def _new_case(case: Case, checked: Suite) -> CaseRecord:
    engine = registry.ENGINES[case.engine]
    mode = engine.privacy_modes[case.privacy]
    return CaseRecord(
        id=case.id,
        title=case.title,
        engine=case.engine,
        privacy=case.privacy,
        privacy_options=case.privacy_options,
        platform=engine.platform,
        kind=engine.kind,
        protected=mode.protects,
        visibility=asdict(mode.visibility) if mode.visibility else {},
        dataset=case.dataset,
        split=case.split_id,
        balance=asdict(case.balance),
        network=case.network,
        training=case.training.as_dict(),
        epochs=case.training.as_dict()["epochs"],
        warmup_epochs=checked.warmup_epochs,
        repeats=checked.repeats,
        status="pending",
    )


def reopen(folder: Path, record: RunRecord, checked: Suite, work: Path, lang: str = language.DEFAULT) -> Session:
    """Load the data of a run again; raises UserError when they are not what they were."""
    session = Session(checked, folder, work, load(checked, work), record, lang=lang)
    for name, dataset in session.datasets.items():
        now, then = facts(checked, name, dataset), record.datasets[name]
        if any(getattr(now, key) != getattr(then, key) for key in ("digest", "feature_names", "class_names")):
            raise UserError(f"{folder}: dataset {name} has changed since ({dataset.source}); start a new run")
    _note_other_environment(record)
    return session


def skip_or_not(record: RunRecord) -> None:
    """Mark as skipped the cases whose engine this machine lacks, with the reason; those it has by now are pending."""
    for entry in record.cases:
        if entry.status in ("pending", "skipped"):
            lacks = registry.ENGINES[str(entry.engine)].missing()
            entry.status, entry.error = "skipped" if lacks else "pending", lacks


def _note_other_environment(record: RunRecord) -> None:
    """Warn in the run when it goes on with another machine, other versions or other code than it began with."""
    began, now = record.environment, environment_facts(1, None)
    names = ("cpu", "cores_available", "memory_bytes", "os", "kernel", "python", "packages", "blas")
    # What an older version did not record is not known to have been another.
    now.packages = {name: now.packages.get(name, "") for name in began.packages}
    known = [name for name in names if getattr(began, name) is not None]
    other = [name for name in known if getattr(began, name) != getattr(now, name)]
    code = revision()
    if record.revision != code:
        other.append(f"code ({str(code.commit)[:12] if code else 'no git checkout'})")
    if other:
        began.warnings.append(RESUMED.of(facts=", ".join(other)))
