"""The thesis's job in a federation of FATE 1.8 to 1.11 (KubeFATE): ``python -m bench.fate1.client``.

The federation exists already, and each party has its table there: Reader, DataTransform, HomoLR, Evaluation are run by
FATE Flow's REST API. Nothing is installed there, so no probe either: what comes back is FATE's own account (seconds of
each task, loss, evaluation, model), no times per phase. docs/fate.md says what could be tried out and what could not.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from time import perf_counter
from typing import Any

import jinja2

from bench.errors import CaseError, UserError
from bench.fate1 import flow as rest
from bench.fate1.flow import ENDED, TORCH_SINCE, Flow, NoAnswerError, Task
from bench.model.logistic import OPTIMISERS, Training

_TEMPLATES = jinja2.Environment(  # noqa: S701 - JSON, not HTML: every value goes through tojson
    loader=jinja2.FileSystemLoader(Path(str(resources.files("bench") / "templates" / "fate1"))),
    undefined=jinja2.StrictUndefined,
)
PRIVACIES = ("masked", "paillier_host")
_SMALLEST_BATCH = 10

EXAMPLES = """\
examples:
  python -m bench.fate1.client --flow 192.168.52.132:9380 --table experiment/loans
  python -m bench.fate1.client --flow 192.168.52.132:9380 --table bench/rows 9999=bench/rows_of_guest
  python -m bench.fate1.client --flow 192.168.52.132:9380 --table experiment/loans \\
      --privacy paillier_host --optimiser sgd --learning-rate 0.15 --epochs 10 --json
  python -m bench.fate1.client --flow node:9380 --guest 1 --host 2 3 --arbiter 2 --table bench/rows --label ill

The job runs on tables that were uploaded before, each at its own party. What is printed is FATE's own account. There
are no seconds per phase and no result folder, because no probe can be loaded into a federation from outside.

exit status: 0 the job succeeded, 1 it failed or was stopped, 2 wrong input, 130 interrupted (the job is stopped)
"""

Say = Callable[[str], None]


class EndedError(CaseError):
    """The job has ended without success, so there is nothing to stop."""


@dataclass(frozen=True)
class Federation:
    """Who takes part, and under which (namespace, name) each party with rows has its table."""

    tables: dict[str, tuple[str, str]]
    guest: str = "9999"
    hosts: tuple[str, ...] = ("9998", "10000")
    arbiter: str = "10000"

    def __post_init__(self) -> None:
        """Refuse what FATE could not run.

        Raises UserError naming the party.
        """
        clients = (self.guest, *self.hosts)
        for party in (*clients, self.arbiter):
            if not (party.isascii() and party.isdigit() and party[0] != "0" and len(party) < 10):
                raise UserError(f"party {party!r}: FATE 1.x takes whole positive numbers as party ids")
        for party in clients:
            if clients.count(party) > 1:
                raise UserError(f"party {party}: trains twice; name the guest and each host once")
            if not all(self.tables.get(party, ("",))):
                raise UserError(f"party {party}: no table is named for it; --table NAMESPACE/NAME is for all parties")


@dataclass(frozen=True)
class Paillier:
    """The hosts' encrypted training of FATE 1.8 and 1.9.

    ``key_length`` in bits; a host has its model encrypted anew after every ``re_encrypt_batches`` batches.
    """

    key_length: int = 1024
    re_encrypt_batches: int = 2


@dataclass
class Result:
    """What a job brought, by FATE's own account; None is what it did not tell.

    ``seconds``: of the whole job and of each task, each by its party's own clock. ``losses``: the guest's, over its own
    rows. ``weights``: by feature; they and ``intercept`` are for the columns as they stand in the tables.
    """

    job: str
    version: str
    seconds: float | None
    tasks: list[Task]
    losses: list[float] | None
    epochs_run: int | None
    converged: bool | None
    metrics: dict[str, float]
    weights: dict[str, float] | None
    intercept: float | None


def render(
    federation: Federation,
    training: Training,
    version: str,
    label: str = "y",
    paillier: Paillier | None = None,
    time_limit: float = 3600.0,
) -> dict[str, Any]:
    """Return the body of a submission: the job's ``dsl`` and ``runtime_conf``.

    FATE itself stops the job one minute after ``time_limit`` (seconds), should this program be gone by then. Raises
    UserError naming a setting that this version of FATE cannot do.
    """
    _check(training, version, paillier)
    values = {
        **vars(federation),
        "training": training,
        "label": label,
        "timeout": math.ceil(time_limit) + 60,
        "paillier": paillier,
    }
    dsl, conf = (_TEMPLATES.get_template(f"{name}.json.j2").render(values) for name in ("dsl", "conf"))
    return {"dsl": json.loads(dsl), "runtime_conf": json.loads(conf)}


def _check(training: Training, version: str, paillier: Paillier | None) -> None:
    if training.solver != "own":
        raise UserError("training.solver: FATE's HomoLR has its own; leave it out")
    if training.aggregation != "fedavg" or training.local_epochs != 1:
        raise UserError(
            "training.aggregation: FATE's HomoLR averages weights every epoch; use aggregation: fedavg, local_epochs: 1"
        )
    if training.batch_size is not None and training.batch_size < _SMALLEST_BATCH:
        raise UserError(f"training.batch_size: FATE 1.x takes {_SMALLEST_BATCH} rows or more, or all of them")
    if paillier is None:
        return
    if rest.number(version) >= TORCH_SINCE:
        raise UserError(f"privacy: FATE {version} has no Paillier mode in HomoLR (1.8 and 1.9 have); choose masked")
    if training.optimiser != "sgd":
        raise UserError(f"training.optimiser: FATE's Paillier mode knows sgd only, not {training.optimiser}")
    if paillier.key_length < 1024 or paillier.re_encrypt_batches < 1:
        raise UserError("privacy: the key must have 1024 bits or more, and be renewed after one batch or more")


def upload(
    flow: Flow,
    file: Path,
    namespace: str,
    name: str,
    partitions: int = 4,
    *,
    time_limit: float = 600.0,
    interval: float = 5.0,
) -> None:
    """Send a CSV (first line: names, first column: ids) to a party's own FATE Flow and wait until it is a table there.

    Raises UserError without the file, CaseError when there is a table of that name or the rows cannot be stored.
    """
    job = rest.start_upload(flow, file, namespace, name, partitions)
    wait(flow, job, "local", "0", time_limit=time_limit, stall_limit=time_limit, interval=interval)


def wait(
    flow: Flow,
    job: str,
    role: str,
    party: str,
    *,
    time_limit: float,
    stall_limit: float,
    answer_limit: float = 60.0,
    interval: float = 5.0,
    version: str = "",
    say: Say = lambda _: None,
) -> None:
    """Wait until the job has succeeded, and stop it when it is stuck or Ctrl-C is pressed.

    Stuck is: not ended after ``time_limit`` seconds; for ``stall_limit`` seconds no task began or ended and no loss was
    logged; for ``answer_limit`` seconds no answer from FATE Flow. Raises CaseError: one line that names the party at
    fault and says whether the job could be stopped.
    """
    began = answered = changed = perf_counter()
    seen: Any = None
    tasks: list[Task] = []
    try:
        while True:
            try:
                status, _, tasks = rest.query(flow, job, role, party)
                epochs = len(rest.losses(flow, job, party) or []) if role == "guest" else 0
                answered, trouble = perf_counter(), ""
            except NoAnswerError as error:
                trouble = str(error)
            else:
                if _succeeded(job, status, tasks):
                    return
                state = (status, epochs, [task.status for task in tasks])
                if state != seen:
                    seen, changed = state, answered
                    say(_progress(status, epochs, tasks))
            now = perf_counter()
            if trouble and now - answered > answer_limit:
                raise CaseError(f"job {job}: party {party} ({role}): {trouble}")
            if now - changed > stall_limit:
                where = _stuck(tasks) + _silent(flow, tasks, party, version)
                raise CaseError(f"job {job}: no progress for {stall_limit:g} s: {trouble or where}")
            if now - began > time_limit:
                raise CaseError(f"job {job}: not done in {time_limit:g} s (time limit): {trouble or _stuck(tasks)}")
            time.sleep(interval)
    except EndedError:
        raise
    except CaseError as error:
        raise CaseError(f"{error}; {rest.stop(flow, job)}") from None
    except KeyboardInterrupt:
        say(f"job {job}: {rest.stop(flow, job)}")
        raise


def _succeeded(job: str, status: str, tasks: list[Task]) -> bool:
    """Tell whether the job has succeeded. Raises EndedError when it has ended otherwise, naming task and party."""
    if status == "success" or status not in ENDED:
        return status == "success"
    failed = [task for task in tasks if task.status in ("failed", "timeout")]
    # When a task fails at one party FATE ends it at the others, too: the one that says why comes first.
    failed.sort(key=lambda task: not task.error)
    if not failed:
        raise EndedError(f"job {job} ended as {status}, and no task says why; look into FATE Flow's logs of the job")
    first = failed[0]
    if first.error:
        raise EndedError(f"job {job} ended as {status}: {first.component} failed at {first.where}: {first.error}")
    where = " and ".join(task.where for task in failed if task.component == first.component)
    raise EndedError(
        f"job {job} ended as {status}: {first.component} failed at {where}; look into FATE Flow's logs there"
    )


def _progress(status: str, epochs: int, tasks: list[Task]) -> str:
    running = sorted({task.component for task in tasks if task.status == "running"}, key=rest.position)
    return f"{status}: {', '.join(running)}{f', {epochs} losses logged' if epochs else ''}" if running else status


def _stuck(tasks: list[Task]) -> str:
    """Say where the job hangs: at the parties that are behind the others in the first task that has not ended."""
    unfinished = [task for task in tasks if task.status not in ENDED]
    if not unfinished:
        return "no task is left to run" if tasks else "it has no tasks"
    running = [task for task in unfinished if task.status == "running"]
    if not running:
        return f"{unfinished[0].component} does not begin; a party may lack free cores"
    here = [task for task in unfinished if task.component == running[0].component]
    behind = [task.where for task in here if task.status != "running"]
    if behind:
        return f"{here[0].component} has not begun at {' and '.join(behind)}"
    return f"{here[0].component} is running at {' and '.join(task.where for task in here)}"


def _silent(flow: Flow, tasks: list[Task], own: str, version: str) -> str:
    """Name the parties whose FATE Flow does not answer the guest's, where that can be asked."""
    if rest.number(version) < TORCH_SINCE:
        return ""
    silent = [party for party in sorted({task.party for task in tasks} - {own}) if not rest.reaches(flow, party)]
    return "".join(f"; FATE Flow of party {party} does not answer the guest's" for party in silent)


def fetch(flow: Flow, job: str, federation: Federation, version: str) -> Result:
    """Return what the guest's FATE Flow tells of a job that has succeeded."""
    of = {"job_id": job, "role": "guest", "party_id": federation.guest}
    model = rest.tracked(flow, "output/model", {**of, "component_name": "homo_lr_0"})
    model = model if isinstance(model, dict) else {}
    _, seconds, tasks = rest.query(flow, job, "guest", federation.guest)
    converged = model.get("isConverged")
    return Result(
        job=job,
        version=version,
        seconds=seconds,
        tasks=tasks,
        losses=rest.losses(flow, job, federation.guest) or _numbers(model.get("lossHistory")),
        epochs_run=_epochs(model.get("iters"), version),
        converged=converged if isinstance(converged, bool) else None,
        metrics=_summary(rest.tracked(flow, "metric/all", {**of, "component_name": "evaluation_0"})),
        weights=_weights(model),
        intercept=_number(model.get("intercept")),
    )


def _epochs(iterations: Any, version: str) -> int | None:
    """Return the passes over the rows. To 1.9 ``iters`` is their number; since 1.10 the index of the last, from 0."""
    if isinstance(iterations, bool) or not isinstance(iterations, int):
        return None
    return iterations + 1 if rest.number(version) >= TORCH_SINCE else iterations


def _weights(model: dict[str, Any]) -> dict[str, float] | None:
    """Return the coefficients in the order of the table's columns, or None unless there is a number for each."""
    weights, header = model.get("weight"), model.get("header")
    if not isinstance(weights, dict) or not isinstance(header, list) or not header:
        return None
    numbers = {str(name): _number(weights.get(name)) for name in header}
    return None if None in numbers.values() else {name: value for name, value in numbers.items() if value is not None}


def _summary(metrics: Any) -> dict[str, float]:
    """Return the numbers of an evaluation's summary (AUC, KS); the curves are left where they are."""
    found: dict[str, float] = {}
    for names in metrics.values() if isinstance(metrics, dict) else []:
        for entry in names.values() if isinstance(names, dict) else []:
            meta, data = (entry.get("meta"), entry.get("data")) if isinstance(entry, dict) else (None, None)
            if isinstance(meta, dict) and meta.get("metric_type") == "EVALUATION_SUMMARY" and isinstance(data, list):
                pairs = {str(pair[0]): _number(pair[1]) for pair in data if isinstance(pair, list) and len(pair) == 2}
                found |= {name: value for name, value in pairs.items() if value is not None}
    return found


def _numbers(values: Any) -> list[float] | None:
    numbers = [_number(value) for value in values] if isinstance(values, list) else []
    return [number for number in numbers if number is not None] or None


def _number(value: Any) -> float | None:
    """Return a number, which protocol buffers write as text when it is not finite, or None for what is none."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def run(
    flow: Flow,
    federation: Federation,
    training: Training,
    label: str = "y",
    paillier: Paillier | None = None,
    *,
    time_limit: float = 3600.0,
    stall_limit: float = 600.0,
    interval: float = 5.0,
    say: Say = lambda _: None,
) -> Result:
    """Run the job on tables that are there and return what it brought.

    Raises UserError for settings, CaseError (one line that names the party) when it fails, is stuck or has no answer.
    """
    version = rest.version_of(flow)
    body = render(federation, training, version, label, paillier, time_limit)
    rest.check_table(flow, *federation.tables[federation.guest])
    job = rest.submit(flow, body)
    say(f"job {job}, FATE {version}")
    limits = {"time_limit": time_limit, "stall_limit": stall_limit, "interval": interval}
    wait(flow, job, "guest", federation.guest, **limits, version=version, say=say)
    return fetch(flow, job, federation, version)


def table(result: Result) -> str:
    """Write the result for a reader."""
    rows = [("task", "party", "status", "seconds")]
    rows += [(t.component, f"{t.party} ({t.role})", t.status, _shown(t.seconds, ".1f")) for t in result.tasks]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"job {result.job} of FATE {result.version} succeeded in {_shown(result.seconds, '.1f')} s", ""]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    first, last = (result.losses[0], result.losses[-1]) if result.losses else (None, None)
    lines += ["", f"epochs run      {_shown(result.epochs_run)}"]
    lines += [f"converged       {_shown(None if result.converged is None else ('no', 'yes')[result.converged])}"]
    lines += [f"loss            {_shown(first, '.6f')} first, {_shown(last, '.6f')} last (the guest's rows)"]
    lines += [f"{name:<15} {value:.6f} (the guest's rows)" for name, value in sorted(result.metrics.items())]
    lines += [f"coefficients    {_shown(len(result.weights) if result.weights else None)} (--json shows them)"]
    return "\n".join(lines)


def _shown(value: float | str | None, form: str = "") -> str:
    return "-" if value is None else format(value, form)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run the job, print what it brought, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        result = run(
            _address(options.flow),
            Federation(_tables(options), options.guest, tuple(options.host), options.arbiter),
            _training(options),
            options.label,
            Paillier(options.key_length, options.re_encrypt_batches) if options.privacy == "paillier_host" else None,
            time_limit=options.time_limit,
            stall_limit=options.stall_limit,
            interval=min(5.0, options.stall_limit / 4),
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except (UserError, CaseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(json.dumps(asdict(result), indent=2) if options.json else table(result))
    return 0


def _address(text: str) -> Flow:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UserError(f"--flow: {text!r} is not HOST:PORT, for example 192.168.52.132:9380")
    return Flow(host.strip("[]"), int(port))


def _tables(options: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """Return each party's table: NAMESPACE/NAME is for all, PARTY=NAMESPACE/NAME for one."""
    clients = [options.guest, *options.host]
    common: dict[str, tuple[str, str]] = {}
    own: dict[str, tuple[str, str]] = {}
    for text in options.table:
        party, sign, place = text.partition("=")
        if not party.isdigit():  # the sign belongs to the table's name
            sign, place = "", text
        namespace, _, name = place.partition("/")
        if not namespace or not name:
            raise UserError(f"--table: {text!r} is not NAMESPACE/NAME or PARTY=NAMESPACE/NAME")
        if not sign:
            common = dict.fromkeys(clients, (namespace, name))
        elif party in clients:
            own[party] = (namespace, name)
        else:
            raise UserError(f"--table: {text!r}: {party!r} is not one of {', '.join(clients)}")
    return {**common, **own}


def _training(options: argparse.Namespace) -> Training:
    return Training(
        optimiser=options.optimiser,
        learning_rate=options.learning_rate,
        alpha=options.alpha,
        epochs=options.epochs,
        batch_size=options.batch_size,
        tolerance=options.tolerance,
        aggregation="fedavg",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fate1.client",
        description="Run the thesis's HomoLR job in a federation of FATE 1.8 to 1.11 and print what FATE tells of it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, usual, paillier = parser.add_argument, Training(), Paillier()
    add("--flow", required=True, metavar="HOST:PORT", help="the guest's FATE Flow, HTTP (KubeFATE: port 9380)")
    add(
        "--table",
        required=True,
        nargs="+",
        metavar="T",
        help="NAMESPACE/NAME at all parties, PARTY=NAMESPACE/NAME at one",
    )
    add("--guest", default="9999", metavar="ID", help="default: %(default)s")
    add("--host", nargs="+", default=["9998", "10000"], metavar="ID", help="default: 9998 10000")
    add("--arbiter", default="10000", metavar="ID", help="default: %(default)s")
    add("--label", default="y", metavar="L", help="the column of 0 and 1; default: %(default)s")
    add("--optimiser", default=usual.optimiser, choices=OPTIMISERS, help="default: %(default)s")
    add("--learning-rate", type=float, default=usual.learning_rate, metavar="R", help="default: %(default)s")
    add("--alpha", type=float, default=usual.alpha, metavar="A", help="L2 penalty; default: %(default)s")
    add("--epochs", type=int, default=usual.epochs, metavar="N", help="at most; default: %(default)s")
    add("--batch-size", type=int, metavar="N", help="rows of a mini-batch; default: all")
    add("--tolerance", type=float, default=0.0, metavar="T", help="stop when the loss changes by less; default: do not")
    add("--privacy", default="masked", choices=PRIVACIES, help="secure aggregation, or Paillier's mode of 1.8 and 1.9")
    add("--key-length", type=int, default=paillier.key_length, metavar="BITS", help="Paillier's; default: %(default)s")
    add("--re-encrypt-batches", type=int, default=paillier.re_encrypt_batches, metavar="N", help="default: %(default)s")
    add("--time-limit", type=_positive, default=3600.0, metavar="S", help="seconds for the job; default: %(default)g")
    add(
        "--stall-limit",
        type=_positive,
        default=600.0,
        metavar="S",
        help="seconds without progress; default: %(default)g",
    )
    add("--json", action="store_true", help="print JSON, with every loss and coefficient")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside: as with Ctrl-C, the job is stopped
    sys.exit(main())
