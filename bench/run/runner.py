"""Carry out a suite: data, repeats and cases in turn, each written down as soon as it is finished."""

from __future__ import annotations

import shlex
import shutil
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.data.table import Dataset
from bench.engines import registry
from bench.engines.contract import Job, Model, Outcome
from bench.errors import CaseError, UserError
from bench.i18n import language
from bench.i18n.messages import Line, distinct
from bench.measure import environment
from bench.measure.spans import chrome_events, epoch_rows
from bench.model.scoring import score
from bench.report import writer
from bench.results import repeats, store
from bench.results.record import (
    CaseRecord,
    DroppedOut,
    EnvironmentFacts,
    Member,
    Note,
    RunRecord,
    SlowDowns,
    SplitFacts,
    without_nulls,
)
from bench.results.view import RunView
from bench.run.progress import say, table
from bench.run.session import Session, load, new_record, prepare_repeat, reopen, skip_or_not, workspace
from bench.suites import schema
from bench.suites.schema import Case, Suite

_HOSTS = "cases between hosts belong to runs that are begun by: ansible-playbook site.yml --tags bench,collect"


def start(checked: Suite, out: Path, command: list[str], lang: str = language.DEFAULT) -> int:
    """Run a suite into a new folder below ``out`` and return the exit status.

    The report is in English, and in ``lang`` too.

    Raises UserError, leaving nothing behind, when the data cannot be read or do not fit the suite.
    """
    now = datetime.now().astimezone()
    load_before = environment.load_average()  # before reading and balancing data raise it
    made = [place for place in (out, *out.parents) if not place.exists()]
    folder = store.create(out, f"{now:%Y%m%d-%H%M%S}-{checked.name}")
    try:
        with workspace() as work:
            session = Session(checked, folder, work, load(checked, work), lang=lang)
            prepare_repeat(session, repeat=1)
            session.made = new_record(session, now, command, load_before)
            skip_or_not(session.record)
            if all(entry.status == "skipped" for entry in session.record.cases):
                raise UserError(str(session.record.cases[0].error))
            store.save(folder, session.record)
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
    record = store.load(folder)
    if record.plan is None:
        raise UserError(f"{folder}: this run does not hold its plan and cannot be resumed; start a new one")
    checked = schema.check(record.plan)
    skip_or_not(record)
    unfinished = [entry for entry in record.cases if entry.status in ("pending", "failed")]
    if not any(entry.network != "hosts" for entry in unfinished):
        # Written again: the run may have been killed between its last case and its report.
        pages = _write_reports(folder, lang)
        rest = f"; {_HOSTS}" if unfinished else ""
        print(f"nothing to resume: every case of this machine is finished{rest}\n{pages}")
        return 0
    with workspace() as work:
        session = reopen(folder, record, checked, work, lang)
        for entry in unfinished:
            if entry.network != "hosts":
                entry.status, entry.error = "pending", None
        store.keep_finished(folder, {entry.id: entry.repeats_done for entry in record.cases})
        return _execute(session)


def _execute(session: Session) -> int:
    """Run what is pending, repeat by repeat over all cases, so that slow drifts of the machine meet all alike."""
    record, checked = session.record, session.suite
    record.finished = None
    before = environment.slow_downs()
    try:
        for repeat in range(1, checked.repeats + 1):
            if not _pending(session, repeat):
                continue
            if repeat > 1 or not session.prepared:
                prepare_repeat(session, repeat)
            for case in _pending(session, repeat):
                run_repeat(session, case, repeat, registry.ENGINES[case.engine].train)
        note_end(record)
    finally:
        record.environment.load_after = environment.load_average() or []
        _note_slow_downs(record.environment, environment.slowed(before, environment.slow_downs()))
        store.save(session.folder, record)
        close(session)
    return 1 if any(entry.status == "failed" for entry in record.cases) else 0


def _note_slow_downs(facts: EnvironmentFacts, now: dict[str, float | None]) -> None:
    """Note what slowed the machine; of a run that was resumed, the worse."""
    earlier = msgspec.structs.asdict(facts.slowed)
    both = {key: [value for value in (now[key], earlier[key]) if value is not None] for key in now}
    facts.slowed = SlowDowns(**{key: max(values, default=None) for key, values in both.items()})


def note_end(record: RunRecord) -> None:
    """Note when the run was finished, unless something is still to be done."""
    if not any(entry.status == "pending" for entry in record.cases):
        record.finished = datetime.now().astimezone().isoformat(timespec="seconds")


def _pending(session: Session, repeat: int) -> list[Case]:
    """Return this machine's cases still to be run in a repeat.

    Every repeat begins with another one, so that none is always first.
    """
    cases = session.suite.cases
    shift = (repeat - 1) % len(cases)
    ordered = [*cases[shift:], *cases[:shift]]
    return [case for case in ordered if case.network != "hosts" and session.is_due(case, repeat)]


def close(session: Session) -> None:
    """Write the report and tell where it is, also for a run that was cut off."""
    pages = _write_reports(session.folder, session.lang)
    print(table(RunView(session.folder, session.record)))
    unfinished = [entry for entry in session.record.cases if entry.status in ("failed", "pending")]
    if any(entry.network != "hosts" for entry in unfinished):
        print(f"finish the rest with: python -m bench.run --resume {shlex.quote(str(session.folder))}")
    elif unfinished:
        print(_HOSTS)
    print(pages, flush=True)


def _write_reports(folder: Path, lang: str) -> str:
    """Write the report in English and in ``lang``; return a line for each page, where it is."""
    return "\n".join(f"report: {page}" for page in writer.render_all(folder, lang))


def label(session: Session, case: Case, repeat: int) -> str:
    """Name a repeat of a case for a line of progress."""
    return f"repeat {repeat} of {session.suite.repeats}: {case.id}"


def job_of(session: Session, case: Case, repeat: int) -> Job:
    """Return a repeat of a case as an engine is given it."""
    name = label(session, case, repeat)
    return Job(
        training=case.training,
        privacy=case.privacy,
        privacy_options=case.privacy_options,
        prepared=session.prepared[case.preparation],
        features=session.datasets[case.dataset].features,
        seed=session.suite.seed + repeat - 1,
        folder=session.work / f"{case.id}.{repeat}",
        time_limit=session.suite.time_limit,
        say=lambda line: say(f"{name}: {line}"),
    )


def run_repeat(session: Session, case: Case, repeat: int, train: Callable[[Job], Outcome]) -> None:
    """Run one repeat of a case; write down its result, or why it failed."""
    name, job = label(session, case, repeat), job_of(session, case, repeat)
    say(f"{name} ...")
    try:
        outcome = train(job)
    except Exception as error:  # an engine, or a privacy mode, can be other people's: the other cases go on
        logs = session.folder / "logs" / job.folder.name
        known = isinstance(error, CaseError)
        why = error if known else CaseError(f"{type(error).__name__}: {error}; {logs / 'traceback.txt'} says where")
        session.fail(case, repeat, why)
        _keep_logs(job.folder, logs)
        if not known:
            logs.mkdir(parents=True, exist_ok=True)
            store.write_text(logs / "traceback.txt", traceback.format_exc())
        say(f"{name} FAILED: {why}")
    else:
        _write_down(session, case, repeat, outcome)
        say(f"{name} trained in {outcome.training_seconds:.3g} s")
    store.save(session.folder, session.record)
    shutil.rmtree(job.folder, ignore_errors=True)


def _keep_logs(job: Path, place: Path) -> None:
    for log in sorted(job.glob("*/log.txt")):
        if log.stat().st_size:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, place / f"{log.parent.name}.txt")


def _write_down(session: Session, case: Case, repeat: int, outcome: Outcome) -> None:
    """Append the repeat to the CSV files, write its models, and bring the case's summaries up to date."""
    key = {"case": case.id, "repeat": repeat}
    scores = _write_models(session, case, key, outcome)
    _write_spans(session, case, key, outcome)
    store.append_rows(session.folder, "resources.csv", ({**key, **row} for row in outcome.samples.rows))
    prepared = session.prepared[case.preparation]
    splits = session.record.datasets[case.dataset].splits
    facts = msgspec.convert(without_nulls(prepared.facts), SplitFacts)
    splits.setdefault(case.split_id, msgspec.structs.replace(facts, title=case.split_title))
    figures = repeats.figures(outcome, scores, session.suite.warmup_epochs, case.training.local_epochs)
    # At once: an interrupt leaves the repeat either recorded or to be done again.
    session.replace(case, _with_repeat(session.case(case), repeat, outcome, figures, prepared.notes))
    _note_cost_of_measuring(session.record, outcome)


def _write_models(
    session: Session, case: Case, key: dict[str, Any], outcome: Outcome
) -> dict[str, dict[str, float | None]]:
    """Score every model of a repeat on the common test set, write both down, and return the scores."""
    prepared, dataset = session.prepared[case.preparation], session.datasets[case.dataset]
    scores = {}
    for model in outcome.models:
        scores[model.name] = score(prepared.X_test, prepared.y_test, model.weights, model.means, model.deviations)
        row = {**key, "model": model.name, "party": model.party, **scores[model.name]}
        store.append_rows(session.folder, "scores.csv", [row])
        path = session.folder / "models" / f"{case.id}.{key['repeat']}.{model.name}.json"
        store.write_json(path, {**key, "engine": case.engine, **_model(model, dataset)})
    return scores


def _write_spans(session: Session, case: Case, key: dict[str, Any], outcome: Outcome) -> None:
    """Append the epochs of a repeat to epochs.csv, and its spans to the trace."""
    events: list[dict[str, Any]] = []
    for number, party in enumerate(outcome.parties):
        who = {"party": party.party, "role": party.role}
        store.append_rows(session.folder, "epochs.csv", ({**key, **who, **row} for row in epoch_rows(party.recorder)))
        process = store.trace_process(session.suite.cases.index(case), key["repeat"], number)
        name = f"{case.id}, repeat {key['repeat']}: {party.party}/{party.role}"
        zero = outcome.samples.began if party.sampled_from is None else party.sampled_from
        events += chrome_events(party.recorder, process, name, zero or 0.0)
    store.append_events(session.folder / "trace.json", events)


def _with_repeat(
    entry: CaseRecord, repeat: int, outcome: Outcome, figures: dict[str, Any], notes: Sequence[Line]
) -> CaseRecord:
    """Return a case's record with a finished repeat added."""
    all_figures, done = [*entry.figures, figures], [*entry.repeats_done, repeat]
    lines = distinct([*notes, *outcome.notes])
    return msgspec.structs.replace(
        entry,
        **msgspec.structs.asdict(repeats.over_repeats(all_figures)),
        figures=all_figures,
        repeats_done=done,
        epochs_run=[*entry.epochs_run, outcome.epochs_run],
        parties=[Member(party.party, party.role) for party in outcome.parties],
        loss=entry.loss or list(outcome.losses or []),
        dropped_out=[*entry.dropped_out, *(DroppedOut(repeat, party) for party in outcome.dropped_out)],
        notes=[*entry.notes, *(Note(line, repeat) for line in lines)],
        status="ok" if len(done) == entry.repeats else entry.status,
    )


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


def _note_cost_of_measuring(record: RunRecord, outcome: Outcome) -> None:
    """Keep the largest share of a core that the sampler took in any repeat."""
    if outcome.samples.seconds:
        percent = 100.0 * outcome.samples.cpu_seconds / outcome.samples.seconds
        record.measuring.sampler_cpu_percent = max(percent, record.measuring.sampler_cpu_percent or 0.0)
