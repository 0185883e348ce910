"""What a FATE job left in its folders, one of each FATE Flow that took part, read back into an Outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.engines.contract import Job, Model, Outcome, PartyTrace
from bench.engines.fate import spans
from bench.engines.fate.order import ARBITER, Scaling
from bench.errors import CaseError
from bench.i18n.language import gettext_noop
from bench.measure.sampler import Samples
from bench.measure.spans import Recorder
from bench.model.logistic import Array

# Names of the job's tasks, as party/job.py gives them.
_READER, _TRAINER, _EVALUATION = "reader_0", "lr_0", "eval_0"
_EPOCHS = gettext_noop("HomoLR: epochs")
_MOMENTS = {"process": "began", "epoch": "first epoch", "trained": "trained", "ended": "ended"}
_LOGS = ("flow.log", "watch.log", "std.log", "ERROR", "fate-flow.log", "fate-rabbitmq.log", "fate-router.log")
_LOG_LINES = 200


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file holds; an empty mapping where there is none or it is damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file with one on each line, without those that were cut off."""
    found = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def check(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise CaseError unless every watch (party -> verdict.json) saw the job succeed; say what the best witness says.

    A party knows better what is wrong at its own place than the others, to whom it is only silent.
    """
    failed = {party: verdict for party, verdict in verdicts.items() if verdict.get("status") != "success"}
    told = sorted(
        (verdict for verdict in failed.values() if verdict.get("fault")), key=lambda verdict: not verdict["own"]
    )
    if told:
        raise CaseError(str(told[0]["fault"]))
    for party, verdict in failed.items():
        ended = f"the job ended as {verdict['status']}" if verdict else "its watch left no verdict"
        raise CaseError(f"party {party}: {ended}")


def read(job: Job, folders: Mapping[str, Path], scale: Scaling, before: Mapping[str, float]) -> Outcome:
    """Return the outcome of a job that succeeded; ``folders`` has the folder of each party's FATE Flow.

    ``before`` names the seconds of what this program did before the rows were uploaded. Raises CaseError when
    something is missing, or when the parties did not end with one model.
    """
    distinct = list(dict.fromkeys(folders.values()))
    fetched = [read_json(folder / "fetched.json") for folder in distinct]
    weights = _common_model(job, fetched)
    roles = [*((shard.party, shard.role, shard.rows) for shard in job.prepared.shards), (ARBITER, "arbiter", None)]
    events = _events(distinct) if job.measure else []
    recorders = spans.recorders(events) if job.measure else {}
    missing = [f"party {party} ({role})" for party, role, _ in roles if f"{party}/{role}" not in recorders]
    if job.measure and missing:
        raise CaseError(f"{missing[0]} left no measurements: its FATE Flow did not load the probe")
    guest = next(shard.party for shard in job.prepared.shards if shard.role == "guest")
    uploads = [read_json(folder / "upload.json").get("seconds", {}) for folder in distinct]
    longest = max((seconds for upload in uploads for seconds in upload.values()), default=0.0)
    stages = {**before, gettext_noop("upload of the rows"): longest, **_stages(events, fetched, guest)}
    training = stages.get(_EPOCHS, 0.0)
    costs = {folder: _cost_of_sampling(folder) for folder in distinct}
    return Outcome(
        models=[Model("federated", guest, weights, scale.means, scale.deviations)],
        parties=[
            PartyTrace(
                party,
                role,
                rows,
                recorders.get(f"{party}/{role}", Recorder()),
                None,
                None,
                sampled_from=costs[folders[party]].get("began"),
            )
            for party, role, rows in roles
        ],
        losses=_losses(job, recorders),
        epochs_run=max((recorder.epochs[-1].epoch for recorder in recorders.values() if recorder.epochs), default=None),
        startup_seconds=_until(stages, _EPOCHS),
        training_seconds=training,
        samples=_samples(costs),
        notes=[", ".join(f"{name} {version}" for name, version in fetched[0].get("versions", {}).items())],
        stages=stages,
    )


def _events(folders: list[Path]) -> list[dict[str, Any]]:
    return [event for folder in folders for path in sorted(folder.glob("events/*.jsonl")) for event in read_lines(path)]


def _common_model(job: Job, fetched: list[dict[str, Any]]) -> Array:
    """Return the weights that all parties with rows ended with; FATE trains every column that is not declared."""
    found = {party: np.array(weights) for left in fetched for party, weights in left.get("models", {}).items()}
    first: Array | None = None
    for shard in job.prepared.shards:
        who = f"party {shard.party} ({shard.role})"
        if shard.party not in found:
            raise CaseError(f"{who} left no model")
        weights = found[shard.party]
        if len(weights) != len(job.features) + 1:
            columns, features = len(weights) - 1, len(job.features)
            raise CaseError(f"{who} trained {columns} columns, not {features} features")
        if not np.isfinite(weights).all():
            raise CaseError(f"{who}: training diverged; lower learning_rate")
        first = weights if first is None else first
        if not np.array_equal(first, weights):
            raise CaseError(f"{who} ended with another model than the other parties")
    assert first is not None
    return first


def _losses(job: Job, recorders: Mapping[str, Recorder]) -> list[float] | None:
    """Return the parties' common loss per epoch: theirs, weighted by rows; None where one did not record it."""
    rows = sum(shard.rows for shard in job.prepared.shards)
    of_parties = []
    for shard in job.prepared.shards:
        recorder = recorders.get(f"{shard.party}/{shard.role}")
        losses = [epoch.loss for epoch in recorder.epochs if epoch.epoch > 0] if recorder else []
        if not losses or None in losses:
            return None
        of_parties.append(np.array(losses, dtype=float) * (shard.rows / rows))
    return [float(loss) for loss in np.sum(of_parties, axis=0)]


def _stages(events: list[dict[str, Any]], fetched: list[dict[str, Any]], guest: str) -> dict[str, float]:
    """Say where the job's time went at the guest, in seconds: FATE Flow's tasks, and what HomoLR's worker did when.

    FATE Flow's own times (milliseconds of the host's clock) and the worker's (monotonic) are never subtracted from each
    other; only their durations are.
    """
    left = next((left for left in fetched if guest in left.get("models", {})), {})
    tasks = {task["task"]: task["seconds"] for task in left.get("tasks", []) if task["role"] == "guest"}
    stages = {gettext_noop("reading the table"): tasks.get(_READER)}
    moments = _moments(events, guest)
    trainer = tasks.get(_TRAINER)
    if moments and trainer is not None:
        stages |= {
            gettext_noop("HomoLR: FATE Flow around its worker"): trainer - (moments["ended"] - moments["began"]),
            gettext_noop("HomoLR: start of its worker"): moments["fit"] - moments["began"],
            gettext_noop("HomoLR: set-up"): moments["first epoch"] - moments["fit"],
            _EPOCHS: moments["trained"] - moments["first epoch"],
            gettext_noop("HomoLR: prediction and output"): moments["ended"] - moments["trained"],
        }
    else:
        stages["HomoLR"] = trainer
    stages[gettext_noop("evaluation")] = tasks.get(_EVALUATION)
    whole = left.get("job_seconds")
    if whole is not None and None not in tasks.values():
        stages[gettext_noop("scheduling between tasks")] = whole - sum(tasks.values())
    return {name: seconds for name, seconds in stages.items() if seconds is not None}


def _moments(events: list[dict[str, Any]], guest: str) -> dict[str, float] | None:
    """Return when the guest's worker began, was in HomoLR, in its first epoch, through with it, and at its end."""
    mine, moments = False, dict[str, float]()
    for event in events:  # a worker's events follow its first, "process"
        if event["e"] == "process":
            mine = (event["party"], event["role"]) == (guest, "guest")
        if not mine:
            continue
        if event["e"] == "segment" and event["what"] == "start":
            moments["fit"] = event["t"] + event["d"]
        elif event["e"] in _MOMENTS:
            moments.setdefault(_MOMENTS[event["e"]], event["t"])
    return moments if {"fit", *_MOMENTS.values()} <= set(moments) else None


def _until(stages: Mapping[str, float], name: str) -> float:
    """Add up the stages before one."""
    names = list(stages)
    return sum(stages[before] for before in (names[: names.index(name)] if name in names else names))


def _cost_of_sampling(folder: Path) -> dict[str, float]:
    """Return what a watch wrote of its sampler: when it began, its seconds and CPU seconds; empty without samples."""
    return next((line for line in read_lines(folder / "samples.jsonl") if "party" not in line), {})


def _samples(costs: Mapping[Path, Mapping[str, float]]) -> Samples:
    """Put together what the watches sampled; their own cost is that of the most expensive."""
    rows = [line for folder in costs for line in read_lines(folder / "samples.jsonl") if "party" in line]
    costliest = max(costs.values(), key=lambda cost: cost.get("cpu_seconds", 0.0), default={})
    return Samples(rows, None, costliest.get("seconds", 0.0), costliest.get("cpu_seconds", 0.0))


def gather_logs(folder: Path, log: Path) -> None:
    """Put the ends of FATE's logs of a failure, as far as they are in ``folder``, into one file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as together:
        for path in sorted(folder.rglob("*")):
            if path.name in _LOGS and path.is_file():
                lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                together.writelines(f"{line}\n" for line in [f"--- {path.relative_to(folder)}", *lines] if lines)
