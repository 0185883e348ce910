"""Carry out a suite: data, repeats and cases in turn, each written down as soon as it is finished."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from bench.data import kinds
from bench.data.prepare import Prepared, prepare
from bench.data.table import Dataset
from bench.engines import registry
from bench.engines.contract import Job, Model, Outcome
from bench.engines.fate import hosts
from bench.errors import CaseError, UserError
from bench.i18n import language
from bench.measure import environment
from bench.measure.sampler import HERTZ
from bench.measure.spans import chrome_events, epoch_rows
from bench.model.metrics import score
from bench.results import repeats, store
from bench.stats import formatting, summaries
from bench.suites import schema
from bench.suites.schema import Case, Suite

_ROOT = Path(__file__).resolve().parents[2]
_HOSTS = "cases between hosts belong to runs that are begun by: ansible-playbook site.yml --tags bench,collect"


@dataclass
class _Session:
    """What the parts of a run share. ``run`` is run.json as it will be saved; ``work`` is gone afterwards.

    ``lang`` is the language of the report that is wanted beside the English one.
    """

    suite: Suite
    folder: Path
    work: Path
    run: dict[str, Any]
    datasets: dict[str, Dataset]
    prepared: dict[tuple[str, str], Prepared] = field(default_factory=dict)
    lang: str = language.DEFAULT

    def record(self, case: Case) -> dict[str, Any]:
        """Return the case's entry in run.json."""
        found: dict[str, Any] = next(entry for entry in self.run["cases"] if entry["id"] == case.id)
        return found


def start(checked: Suite, out: Path, command: list[str], lang: str = language.DEFAULT) -> int:
    """Run a suite into a new folder below ``out`` and return the exit status.

    The report is in English, and in ``lang`` too.

    Raises UserError, leaving nothing behind, when the data cannot be read or do not fit the suite.
    """
    now = datetime.now().astimezone()
    load = environment.load_average()  # before reading and balancing data raise it
    made = [place for place in (out, *out.parents) if not place.exists()]
    folder = store.create(out, f"{now:%Y%m%d-%H%M%S}-{checked.name}")
    try:
        with _workspace() as work:
            session = _Session(checked, folder, work, {}, _load(checked, work), lang=lang)
            _prepare(session, repeat=1)
            session.run = _new_run(session, now, command, load)
            _skip_or_not(session.run)
            if all(entry["status"] == "skipped" for entry in session.run["cases"]):
                raise UserError(session.run["cases"][0]["error"])
            store.save(folder, session.run)
            return _execute(session)
    except BaseException:
        if not (folder / "run.json").exists():
            shutil.rmtree(folder)
            with suppress(OSError):  # another run may have begun there
                for place in made:
                    place.rmdir()
        raise


def resume(folder: Path, lang: str = language.DEFAULT) -> int:
    """Run what an earlier run left unfinished or failed, and return the exit status.

    Raises UserError when the folder is no run or the data have changed since.
    """
    run = store.load(folder)
    if run["schema_version"] < store.SCHEMA_VERSION:
        raise UserError(f"{folder}: this run was begun by an older version of the kit; start a new one")
    if "plan" not in run:
        raise UserError(f"{folder}: this run does not hold its plan and cannot be resumed; start a new one")
    checked = schema.check(run["plan"])
    _skip_or_not(run)
    unfinished = [entry for entry in run["cases"] if entry["status"] in ("pending", "failed")]
    if not any(entry["network"] != "hosts" for entry in unfinished):
        # Written again: the run may have been killed between its last case and its report.
        pages = _write_reports(folder, lang)
        rest = f"; {_HOSTS}" if unfinished else ""
        print(f"nothing to resume: every case of this machine is finished{rest}\n{pages}")
        return 0
    with _workspace() as work:
        session = _reopen(folder, run, checked, work)
        session.lang = lang
        for entry in unfinished:
            if entry["network"] != "hosts":
                entry["status"], entry["error"] = "pending", None
        store.keep_finished(folder, {entry["id"]: entry["repeats_done"] for entry in run["cases"]})
        return _execute(session)


def _reopen(folder: Path, run: dict[str, Any], checked: Suite, work: Path) -> _Session:
    """Load the data of a run again; raises UserError when they are not what they were."""
    session = _Session(checked, folder, work, run, _load(checked, work))
    for name, dataset in session.datasets.items():
        if _facts(checked, name, dataset) != {**run["datasets"][name], "splits": {}}:
            raise UserError(f"{folder}: dataset {name} has changed since ({dataset.source}); start a new run")
    _note_other_environment(run)
    return session


def _skip_or_not(run: dict[str, Any]) -> None:
    """Mark as skipped the cases whose engine this machine lacks, with the reason; those it has by now are pending."""
    for entry in run["cases"]:
        if entry["status"] in ("pending", "skipped"):
            lacks = registry.ENGINES[entry["engine"]].missing()
            entry.update(status="skipped" if lacks else "pending", error=lacks)


def _note_other_environment(run: dict[str, Any]) -> None:
    """Warn in the run when it goes on with another machine, other versions or other code than it began with."""
    began, now = run["environment"], environment.describe(1, None)
    facts = ("cpu", "cores_available", "memory_bytes", "os", "kernel", "python", "packages")
    other = [fact for fact in facts if began.get(fact) != now[fact]]
    revision = environment.revision(_ROOT)
    if run.get("revision") != revision:
        other.append(f"code ({revision['commit'][:12] if revision else 'no git checkout'})")
    if other:
        began["warnings"].append(f"the run was resumed with another {', '.join(other)}: its repeats are not alike")


@contextmanager
def _workspace() -> Iterator[Path]:
    """Give a temporary folder, readable by this user only, for shards and processes; it is gone afterwards.

    A run that was killed outright leaves its folder, with rows of the data in it: the next run takes it away.
    """
    for left in Path(tempfile.gettempdir()).glob("bench-run-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"bench-run-{os.getpid()}-") as name:
        yield Path(name)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _load(checked: Suite, work: Path) -> dict[str, Dataset]:
    loaded = {}
    for name in dict.fromkeys(case.dataset for case in checked.cases):
        options = checked.datasets[name]
        began = perf_counter()
        _say(f"data: {kinds.describe(options)} ...")
        loaded[name] = kinds.load(options, work)
        rows, columns = loaded[name].X.shape
        _say(f"data: {rows:,} rows x {columns} features in {perf_counter() - began:.1f} s")
    return loaded


def _prepare(session: _Session, repeat: int) -> None:
    """Split and balance the data of one repeat, once for all cases that share it; each repeat has its own seed.

    Raises UserError in the first repeat when the data do not fit a case. In a later one only the cases of that split
    fail: it is a matter of chance there.
    """
    shutil.rmtree(session.work / "rows", ignore_errors=True)
    session.prepared = {}
    _say(f"repeat {repeat} of {session.suite.repeats}: splitting and balancing ...")
    for place, key in enumerate(dict.fromkeys(case.preparation for case in session.suite.cases)):
        cases = [case for case in session.suite.cases if case.preparation == key]
        dataset, split, balance = session.datasets[cases[0].dataset], cases[0].split, cases[0].balance
        seed, folder = session.suite.seed + repeat - 1, session.work / "rows" / str(place)
        try:
            session.prepared[key] = prepare(dataset, split, balance, session.suite.test_share, seed, folder)
        except UserError as error:
            if not session.run:
                raise
            for case in cases:
                if session.record(case)["status"] == "pending":
                    session.record(case).update(status="failed", error=f"repeat {repeat}: {error}")
                    _say(f"repeat {repeat} of {session.suite.repeats}: {case.id} FAILED: {error}")


def _new_run(session: _Session, now: datetime, command: list[str], load: list[float] | None) -> dict[str, Any]:
    checked = session.suite
    most = max(len(session.prepared[case.preparation].shards) + 1 for case in checked.cases)
    together = any(case.network == "loopback" for case in checked.cases)
    return {
        "schema_version": store.SCHEMA_VERSION,
        "run_id": session.folder.name,
        "created": now.isoformat(timespec="seconds"),
        "finished": None,
        "command": command,
        "suite": {"name": checked.name, "title": checked.title, "description": checked.description},
        "plan": checked.plan,
        "revision": environment.revision(_ROOT),
        "environment": environment.describe(most if together else 1, load),
        "measuring": {"sampler_hertz": HERTZ, "sampler_cpu_percent": None},
        "datasets": {name: _facts(checked, name, dataset) for name, dataset in session.datasets.items()},
        "cases": [_new_case(case, checked) for case in checked.cases],
    }


def _facts(checked: Suite, name: str, dataset: Dataset) -> dict[str, Any]:
    ones = int(dataset.y.sum())
    return {
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
        "funnel": [asdict(step) for step in dataset.funnel],
        "splits": {},
    }


def _digest(dataset: Dataset) -> str:
    """Return the SHA-256 of features and labels, without copying them: they can be most of the memory."""
    digest = hashlib.sha256(np.ascontiguousarray(dataset.X).data)
    digest.update(np.ascontiguousarray(dataset.y).data)
    return digest.hexdigest()


def _new_case(case: Case, checked: Suite) -> dict[str, Any]:
    measured = ("metrics", "models", "time", "bytes", "resources", "loss")
    return {
        "id": case.id,
        "title": case.title,
        "engine": case.engine,
        "privacy": case.privacy,
        "privacy_options": case.privacy_options,
        "learns": registry.learns(case.engine, case.privacy),
        "dataset": case.dataset,
        "split": case.split_id,
        "balance": asdict(case.balance),
        "network": case.network,
        "training": case.training.as_dict(),
        "parties": [],
        "epochs": case.training.as_dict()["epochs"],
        "epochs_run": [],
        "warmup_epochs": checked.warmup_epochs,
        "repeats": checked.repeats,
        "repeats_done": [],
        "status": "pending",
        "error": None,
        "lost_parties": [],
        **dict.fromkeys(measured),
        "notes": [],
        "figures": [],
    }


def _execute(session: _Session) -> int:
    """Run what is pending, repeat by repeat over all cases, so that slow drifts of the machine meet all alike."""
    run, checked = session.run, session.suite
    run["finished"] = None
    before = environment.slow_downs()
    try:
        for repeat in range(1, checked.repeats + 1):
            if not _pending(session, repeat):
                continue
            if repeat > 1 or not session.prepared:
                _prepare(session, repeat)
            for case in _pending(session, repeat):
                _run_repeat(session, case, repeat, registry.ENGINES[case.engine].train)
        _note_end(run)
    finally:
        run["environment"]["load_after"] = environment.load_average()
        _note_slow_downs(run["environment"], environment.slowed(before, environment.slow_downs()))
        store.save(session.folder, run)
        _close(session)
    return 1 if any(entry["status"] == "failed" for entry in run["cases"]) else 0


def _note_slow_downs(facts: dict[str, Any], now: dict[str, float | None]) -> None:
    """Note what slowed the machine; of a run that was resumed, the worse."""
    earlier = facts.get("slowed") or {}
    facts["slowed"] = {
        key: max((value for value in (now[key], earlier.get(key)) if value is not None), default=None) for key in now
    }


def _note_end(run: dict[str, Any]) -> None:
    """Note when the run was finished, unless something is still to be done."""
    if not any(entry["status"] == "pending" for entry in run["cases"]):
        run["finished"] = datetime.now().astimezone().isoformat(timespec="seconds")


def _pending(session: _Session, repeat: int) -> list[Case]:
    """Return this machine's cases still to be run in a repeat.

    Every repeat begins with another one, so that none is always first.
    """
    cases = session.suite.cases
    shift = (repeat - 1) % len(cases)
    return [
        case for case in [*cases[shift:], *cases[:shift]] if case.network != "hosts" and _is_due(session, case, repeat)
    ]


def _is_due(session: _Session, case: Case, repeat: int) -> bool:
    record = session.record(case)
    return record["status"] == "pending" and repeat not in record["repeats_done"]


def _close(session: _Session) -> None:
    """Write the report and tell where it is, also for a run that was cut off."""
    pages = _write_reports(session.folder, session.lang)
    print(_table(session.run))
    unfinished = [entry for entry in session.run["cases"] if entry["status"] in ("failed", "pending")]
    if any(entry["network"] != "hosts" for entry in unfinished):
        print(f"finish the rest with: python -m bench.run --resume {shlex.quote(str(session.folder))}")
    elif unfinished:
        print(_HOSTS)
    print(pages, flush=True)


def _write_reports(folder: Path, lang: str) -> str:
    """Write the report in English and in ``lang``; return a line for each page, where it is."""
    from bench.report import writer  # takes seconds to import

    return "\n".join(f"report: {page}" for page in writer.render_all(folder, lang))


def _label(session: _Session, case: Case, repeat: int) -> str:
    return f"repeat {repeat} of {session.suite.repeats}: {case.id}"


def _job(session: _Session, case: Case, repeat: int) -> Job:
    label = _label(session, case, repeat)
    return Job(
        training=case.training,
        privacy=case.privacy,
        privacy_options=case.privacy_options,
        prepared=session.prepared[case.preparation],
        features=session.datasets[case.dataset].features,
        seed=session.suite.seed + repeat - 1,
        folder=session.work / f"{case.id}.{repeat}",
        time_limit=session.suite.time_limit,
        say=lambda line: _say(f"{label}: {line}"),
    )


def _run_repeat(session: _Session, case: Case, repeat: int, train: Callable[[Job], Outcome]) -> None:
    """Run one repeat of a case; write down what it brought, or why it failed."""
    record, label, job = session.record(case), _label(session, case, repeat), _job(session, case, repeat)
    _say(f"{label} ...")
    try:
        outcome = train(job)
    except CaseError as error:
        record["status"], record["error"] = "failed", f"repeat {repeat}: {error}"
        _keep_logs(job.folder, session.folder / "logs" / job.folder.name)
        _say(f"{label} FAILED: {error}")
    else:
        _write_down(session, case, repeat, outcome)
        _say(f"{label} trained in {outcome.training_seconds:.3g} s")
    store.save(session.folder, session.run)
    shutil.rmtree(job.folder, ignore_errors=True)


def _keep_logs(job: Path, place: Path) -> None:
    for log in sorted(job.glob("*/log.txt")):
        if log.stat().st_size:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, place / f"{log.parent.name}.txt")


def order_hosts(folder: Path, repeat: int, orders: Path) -> dict[str, Any]:
    """Write what each host needs for a repeat of the run's cases on hosts; return the cases and their parties.

    Raises UserError when the folder is no run, or its data have changed since.
    """
    with _hosts_session(folder, repeat) as (session, cases):
        for case in cases:
            hosts.order(_job(session, case, repeat), f"{case.id}.{repeat}", orders / case.id)
        store.save(session.folder, session.run)
        parties = {case.id: [shard.party for shard in session.prepared[case.preparation].shards] for case in cases}
        return {"repeats": session.suite.repeats, "cases": parties, "time_limit": session.suite.time_limit}


def collect_hosts(folder: Path, repeat: int, orders: Path) -> list[str]:
    """Add to the run what the hosts brought for a repeat, write its report, and return what failed, a line each."""
    with _hosts_session(folder, repeat) as (session, cases):
        session.run["finished"] = None
        for case in cases:
            _run_repeat(session, case, repeat, partial(hosts.collect, orders=orders / case.id))
        _note_end(session.run)
        store.save(session.folder, session.run)
        _close(session)
        return [
            f"{entry['id']}: {entry['error']}"
            for entry in session.run["cases"]
            if entry["status"] == "failed" and any(entry["id"] == case.id for case in cases)
        ]


@contextmanager
def _hosts_session(folder: Path, repeat: int) -> Iterator[tuple[_Session, list[Case]]]:
    """Open a run and prepare the data of a repeat; give the cases on hosts that are still to be run in it."""
    run = store.load(folder)
    checked = schema.check(run["plan"])
    with _workspace() as work:
        session = _reopen(folder, run, checked, work)
        cases = [case for case in checked.cases if case.network == "hosts" and _is_due(session, case, repeat)]
        if cases:
            _prepare(session, repeat)
        yield session, [case for case in cases if session.record(case)["status"] == "pending"]


def _write_down(session: _Session, case: Case, repeat: int, outcome: Outcome) -> None:
    """Append the repeat to the CSV files, write its models, and bring the case's summaries up to date."""
    record, folder = session.record(case), session.folder
    prepared, dataset = session.prepared[case.preparation], session.datasets[case.dataset]
    key = {"case": case.id, "repeat": repeat}
    scores = {}
    for model in outcome.models:
        scores[model.name] = score(prepared.X_test, prepared.y_test, model.weights, model.means, model.deviations)
        store.append_rows(
            folder, "scores.csv", [{**key, "model": model.name, "party": model.party, **scores[model.name]}]
        )
        path = folder / "models" / f"{case.id}.{repeat}.{model.name}.json"
        store.write_json(path, {**key, "engine": case.engine, **_model(model, dataset)})
    events = []
    for number, party in enumerate(outcome.parties):
        who = {"party": party.party, "role": party.role}
        store.append_rows(folder, "epochs.csv", ({**key, **who, **row} for row in epoch_rows(party.recorder)))
        process = store.trace_process(session.suite.cases.index(case), repeat, number)
        name = f"{case.id}, repeat {repeat}: {party.party}/{party.role}"
        zero = outcome.samples.began if party.sampled_from is None else party.sampled_from
        events += chrome_events(party.recorder, process, name, zero or 0.0)
    store.append_events(folder / "trace.json", events)
    store.append_rows(folder, "resources.csv", ({**key, **row} for row in outcome.samples.rows))
    warmup, local_epochs = session.suite.warmup_epochs, case.training.local_epochs
    figures = [*record["figures"], repeats.figures(outcome, scores, warmup, local_epochs)]
    done = [*record["repeats_done"], repeat]
    session.run["datasets"][case.dataset]["splits"].setdefault(case.split_id, prepared.facts)
    record.update(  # at once: an interrupt leaves the repeat either recorded or to be done again
        **repeats.over_repeats(figures),
        figures=figures,
        repeats_done=done,
        epochs_run=[*record["epochs_run"], outcome.epochs_run],
        parties=[{"party": party.party, "role": party.role} for party in outcome.parties],
        loss=record["loss"] or outcome.losses,
        lost_parties=[
            *record.get("lost_parties", []),
            *({"repeat": repeat, "party": party} for party in outcome.lost),
        ],
        notes=list(
            dict.fromkeys(
                [*record["notes"], *(f"repeat {repeat}: {note}" for note in [*prepared.notes, *outcome.notes])]
            )
        ),
        status="ok" if len(done) == session.suite.repeats else record["status"],
    )
    _note_cost_of_measuring(session.run, outcome)


def _model(model: Model, dataset: Dataset) -> dict[str, Any]:
    return {
        "model": model.name,
        "features": dataset.features,
        "coefficients": model.weights[:-1].tolist(),
        "intercept": float(model.weights[-1]),
        "means": model.means.tolist(),
        "deviations": model.deviations.tolist(),
        "threshold": 0.5,
        "class_names": list(dataset.class_names),
        "preprocessing": dataset.preprocessing,
    }


def _note_cost_of_measuring(run: dict[str, Any], outcome: Outcome) -> None:
    """Keep the largest share of a core that the sampler took in any repeat."""
    samples, measuring = outcome.samples, run["measuring"]
    if samples.seconds:
        percent = 100.0 * samples.cpu_seconds / samples.seconds
        measuring["sampler_cpu_percent"] = max(percent, measuring["sampler_cpu_percent"] or 0.0)


def _table(run: dict[str, Any]) -> str:
    """Return the short table that ends a run: one line a case, medians over repeats, times of the critical party."""
    all_times = [_times(entry) for entry in run["cases"]]
    unit = formatting.time_unit(value["median"] for times in all_times for value in times if value)
    times_of = ("epoch", "computing", "communicating", "waiting")
    rows = [("case", "status", *(f"{name} ({unit.name})" for name in times_of), "specificity", "AUC")]
    for entry, times in zip(run["cases"], all_times, strict=True):
        scores = [summaries.dig(entry, "metrics", name) for name in ("specificity", "auc")]
        rows.append(
            (
                entry["id"],
                entry["status"],
                *(formatting.in_unit(value["median"], unit) if value else "-" for value in times),
                *(formatting.score(value["median"]) if value else "-" for value in scores),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)  # words to the left, numbers to the right
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    failed = [f"{entry['id']}: {entry['error']}" for entry in run["cases"] if entry["status"] in ("failed", "skipped")]
    return "\n".join(["", *lines, *failed, ""])


def _times(entry: dict[str, Any]) -> list[dict[str, Any] | None]:
    """Return a case's epoch, computing, communicating and waiting (summaries, seconds)."""
    from bench.results import selection  # takes seconds to import, and comes with the report

    _, parts = selection.anatomy(entry)
    whole = summaries.dig(entry, "time", "epoch_seconds")
    return [whole, *(parts.get(name) for name in ("computing", "communicating", "waiting"))]
