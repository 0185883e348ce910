"""Put a service under load: ``python -m bench.load`` (docs/load.md)."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import cli
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.load import exchange, jobs, measurement, options, preflight, requests, step, watch
from bench.load.measurement import LoadTest
from bench.load.step import Target, Times
from bench.measure import environment
from bench.report.sections.load import maximum
from bench.report.writer import render_all
from bench.results import load_tests, store
from bench.results.record import RunRecord
from bench.serve.service import model_file, read_token
from bench.stats import formatting


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    return options.parser()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    chosen = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the latter: its terminal was closed
        signal.signal(number, signal.default_int_handler)
    try:
        return cli.exit_status(lambda: _load(chosen, list(sys.argv[1:] if arguments is None else arguments)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _load(chosen: argparse.Namespace, words: list[str]) -> int:
    """Do the load test and return the exit status.

    Raises UserError where it cannot be done.
    """
    run = store.load(chosen.run)
    load_tests.load(chosen.run)  # one that is damaged is told now, not after the first step
    options.check(chosen)
    load_before = environment.load_average()
    try:
        to = exchange.address(chosen.url)
    except ValueError as error:
        raise UserError(f"{chosen.url}: is no address of a service; {error}") from None
    token = None if chosen.token_file is None else read_token(chosen.token_file)
    calls, of_locust = _asked(chosen, run)
    bound = (chosen.p99 or options.BOUND_MS[chosen.target]) / 1e3
    times = Times(chosen.ramp, chosen.hold or chosen.seconds or options.SECONDS, max(options.ANSWER_SECONDS, 2 * bound))
    alone = preflight.check(to, chosen.url, chosen.target, calls, token, times.answer)
    options.check_size(chosen, alone, times)
    searched = chosen.loop == "open" and not chosen.rate
    first = options.first_rate(alone, bound, times) if searched else None
    target = Target(chosen.url, of_locust, watch.source(to, chosen.url, token), token)
    facts = _facts(chosen, words, calls, target, bound, times, alone, load_before)
    test = LoadTest(chosen.run, facts)
    print(f"{facts['name']}: {chosen.loop} loop; a request takes {alone * 1e3:.3g} ms by itself", flush=True)

    def gone() -> bool:
        return not preflight.answers(to, calls[0], token, times.answer)

    status, failure = 0, None
    try:
        with _jobs(chosen, run, to, token, facts):
            if first is not None:
                measurement.find_knee(test, target, first, bound, times, gone)
            elif chosen.rate:
                measurement.at_rates(test, target, chosen.rate, bound, times, gone)
            else:
                measurement.with_users(test, target, chosen.users or options.USERS, times, gone)
            if chosen.hold:
                measurement.fit_memory(test)
        facts["complete"] = facts["stopped"] is None
        status = 0 if facts["complete"] else 1
    except KeyboardInterrupt:
        facts["stopped"], status = gettext_noop("interrupted"), 130
    except UserError as error:
        facts["stopped"], failure = str(error), error
    finally:
        facts["environment"]["load_after"] = environment.load_average()
        if test.steps:
            test.save()
    if failure is not None and not test.steps:
        raise failure
    status = _end(chosen.run, facts, status)
    return status if failure is None else 1


def _end(folder: Path, facts: dict[str, Any], status: int) -> int:
    """Say what came of it and write the report again."""
    if facts["stopped"]:
        print(f"{facts['stopped']}; finished steps: {len(facts['steps'])}", file=sys.stderr)
    if not facts["steps"]:
        return status
    if facts["knee"]:
        print(f"maximum sustainable throughput: {maximum(load_tests.typed(facts))}".replace(formatting.SPACE, " "))
    if facts["memory"]:
        memory = facts["memory"]
        print(
            f"memory: {memory['first_bytes'] / 1e6:.1f} MB at first, {memory['last_bytes'] / 1e6:.1f} MB at last; "
            f"a slope of {memory['bytes_per_minute'] / 1e3:+.1f} kB a minute"
        )
    for job in facts["jobs"] or []:
        print(f"job {job.get('job_id', 'refused')}: {job.get('status') or job.get('error')}")
    print(f"{folder / 'load.json'}\n{render_all(folder)[0]}")
    return status


def _asked(chosen: argparse.Namespace, run: RunRecord) -> tuple[list[requests.Asked], tuple[str, ...]]:
    """Return the requests, and the options with which the locust file makes the same."""
    if chosen.target == "flow":
        return requests.flow(), ("--target", "flow")
    path = model_file(chosen.run, run, chosen.case, chosen.repeat, chosen.model)
    service = chosen.service_id or chosen.case
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        if chosen.raw and "numbers" not in model["preprocessing"]:
            raise UserError(
                f"--raw: the columns of the file that {chosen.case!r} was trained on are its features; leave it out"
            )
        calls = requests.serving(model, service, chosen.rows, chosen.raw)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is no model of this kit ({error!r}); the run must be repeated") from error
    of_locust = ["--target", "serving", "--model-file", str(path.resolve()), "--case", service]
    return calls, (*of_locust, "--rows", str(chosen.rows), *(["--raw"] if chosen.raw else []))


@contextmanager
def _jobs(
    chosen: argparse.Namespace, run: RunRecord, to: exchange.Address, token: str | None, facts: dict[str, Any]
) -> Iterator[None]:
    """Submit jobs while the block runs, where the target is a FATE Flow; they stand in ``facts``."""
    if chosen.target != "flow" or not chosen.jobs_per_minute:
        yield
        return
    roles = [{party.role: party.party for party in case.parties} for case in run.cases]
    known = {"guest": "9999", "host": "9998"}
    found = next((parties for parties in roles if known.keys() <= parties.keys()), known)
    with jobs.submitting(to, token, (found["guest"], found["host"]), chosen.jobs_per_minute) as submitted:
        facts["jobs"] = submitted
        yield


def _facts(
    chosen: argparse.Namespace,
    words: list[str],
    calls: list[requests.Asked],
    target: Target,
    bound: float,
    times: Times,
    alone: float,
    load_before: list[float] | None,
) -> dict[str, Any]:
    """Return what load.json says of a load test that has no steps yet."""
    machine = environment.describe(2, load_before)
    serving = chosen.target == "serving"
    kind = "hold" if chosen.hold else "rates" if chosen.rate else "knee" if chosen.loop == "open" else "users"
    model = chosen.case if chosen.model is None else f"{chosen.case}.{chosen.model}"
    named = [model, *([f"repeat-{chosen.repeat}"] if chosen.repeat else [])]
    where = urlsplit(target.url).netloc
    records = ["single" if chosen.rows == 1 else f"batch-{chosen.rows}", *(["raw"] if chosen.raw else [])]
    return {
        "name": "-".join([chosen.target, *([*named, *records] if serving else []), chosen.loop, kind, where]),
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "bench.load", *words]),
        "target": chosen.target,
        "url": chosen.url,
        "loop": chosen.loop,
        "kind": kind,
        "model": model if serving else None,
        "repeat": chosen.repeat,
        "arrivals": "poisson" if chosen.loop == "open" else None,
        "request": {
            "calls": list(dict.fromkeys(f"{asks.method} {asks.path}" for asks in calls)),
            "rows": chosen.rows if serving else None,
            "raw": chosen.raw if serving else None,
            "bytes": round(sum(len(asks.body) for asks in calls) / len(calls)),
        },
        "bound_seconds": bound if chosen.loop == "open" else None,
        "tolerance": step.SHORTFALL if chosen.loop == "open" else None,
        "ramp_seconds": times.ramp,
        "steady_seconds": times.steady,
        "answer_seconds": times.answer,
        "alone_seconds": alone,
        "server_measured": None if target.server is None else target.server.how,
        "generator_here": watch.is_here(exchange.address(chosen.url).host),
        "environment": {
            key: machine[key]
            for key in ("cpu", "cores_available", "memory_bytes", "os", "python", "load_before", "load_after")
        },
        "complete": False,
        "stopped": None,
        "steps": [],
        "knee": None,
        "memory": None,
        "jobs_per_minute": None if serving else chosen.jobs_per_minute,
        "jobs": None,
    }


if __name__ == "__main__":
    sys.exit(main())
