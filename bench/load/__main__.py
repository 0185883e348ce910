"""Put a service under load: ``python -m bench.load`` (docs/load.md)."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from bench import command, figures, results
from bench.errors import UserError
from bench.load import asked, exchange, jobs, measurement, preflight, step, store, watch
from bench.load.measurement import LoadTest
from bench.load.step import Target, Times
from bench.measure import environment
from bench.serve import model_file, read_token
from bench.serve_app import MOST_ROWS

BOUND_MS = {"serving": 50.0, "flow": 1000.0}
USERS = (1, 2, 4, 8, 16)
SECONDS = 5
JOBS_A_MINUTE = 1.0
ANSWER_SECONDS = 10.0
FEWEST_REQUESTS = 10  # of a search's first step
LONGEST_SECONDS, LONGEST_HOLD = 600, 24 * 3600
MOST_REQUESTS = 20_000_000  # of a step: their times take 40 bytes each, and some copies

EXAMPLES = """\
examples:
  python -m bench.serve results/20261124-140501-quick --case federated &
  python -m bench.load --target serving http://127.0.0.1:8059 --run results/20261124-140501-quick --case federated
  python -m bench.load --target serving http://127.0.0.1:8059 --run RUN --case federated --rows 100 --p99 200
  python -m bench.load --target serving http://127.0.0.1:8059 --run RUN --case federated --loop closed --users 1 8 32
  python -m bench.load --target serving http://127.0.0.1:8059 --run RUN --case federated --rate 500 --hold 600
  python -m bench.load --target flow http://127.0.0.1:9380 --run RUN --jobs-per-minute 2

Writes load.json and load.csv into the run folder, and its report again.
Exit status: 0 done, 1 the service stopped answering or jobs run still, 2 wrong input, 130 interrupted. Finished steps
are kept in every case.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="Find out how many requests a second a service holds, at what latency, with what resources.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--target",
        choices=tuple(BOUND_MS),
        required=True,
        help="serving: answers as FATE-Serving does; flow: FATE Flow 2.x",
    )
    add("url", metavar="URL", help="where the service is: http://HOST:PORT")
    add("--run", metavar="RUN", type=Path, required=True, help="the run folder that takes the results")
    add("--case", metavar="ID", help="serving: the case whose model is served; its model file says what is asked")
    add("--repeat", type=int, metavar="N", help="serving: the repeat it was trained in; default: the first finished")
    add("--model", metavar="NAME", help="serving: which model, where the case has several")
    add("--service-id", metavar="S", help="serving: the serviceId of requests; default: the case's id")
    add("--rows", type=int, metavar="N", help="serving: records in a request; default: 1, above they are batches")
    add("--raw", action="store_true", help="serving: send columns of the raw file instead of features")
    add("--token-file", type=Path, metavar="F", help="a file whose one line is sent as a bearer token")
    add("--loop", choices=("open", "closed"), default="open", help="open: requests are due at a rate (default)")
    add("--rate", type=float, nargs="+", metavar="R", help="open loop: requests/s; default: search the knee")
    add("--users", type=int, nargs="+", metavar="N", help=f"closed loop: callers; default: {' '.join(map(str, USERS))}")
    add("--p99", type=float, metavar="MS", help="open loop: what p99 may be; default: 50, for flow 1000")
    add("--seconds", type=int, metavar="S", help=f"what is measured of each step, whole; default: {SECONDS}")
    add("--ramp", type=float, default=2.0, metavar="S", help="before that, left out of the figures; default: 2")
    add("--hold", type=int, metavar="S", help="instead: one step of S seconds, and whether memory grows in it")
    add(
        "--jobs-per-minute",
        type=float,
        metavar="J",
        help=f"flow: toy jobs that are submitted meanwhile; 0: none, default: {JOBS_A_MINUTE:g}, at most "
        f"{jobs.MOST_A_MINUTE:g}",
    )
    chosen = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the latter: its terminal was closed
        signal.signal(number, _interrupt)
    try:
        return command.exit_status(lambda: _load(chosen, list(sys.argv[1:] if arguments is None else arguments)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _load(chosen: argparse.Namespace, words: list[str]) -> int:
    """Do the load test and return the exit status.

    Raises UserError where it cannot be done.
    """
    run = results.load(chosen.run)
    store.load(chosen.run)  # one that is damaged is told now, not after the first step
    _check(chosen)
    chosen.rows = chosen.rows or 1
    chosen.jobs_per_minute = JOBS_A_MINUTE if chosen.jobs_per_minute is None else chosen.jobs_per_minute
    load_before = environment.load_average()
    try:
        to = exchange.address(chosen.url)
    except ValueError as error:
        raise UserError(f"{chosen.url}: is no address of a service; {error}") from None
    token = None if chosen.token_file is None else read_token(chosen.token_file)
    requests, options = _asked(chosen, run)
    bound = (chosen.p99 or BOUND_MS[chosen.target]) / 1e3
    times = Times(chosen.ramp, chosen.hold or chosen.seconds or SECONDS, max(ANSWER_SECONDS, 2 * bound))
    alone = preflight.check(to, chosen.url, chosen.target, requests, token, times.answer)
    _check_size(chosen, alone, times)
    target = Target(chosen.url, options, watch.source(to, chosen.url, token), token)
    facts = _facts(chosen, words, requests, target, bound, times, alone, load_before)
    test = LoadTest(chosen.run, facts)
    print(f"{facts['name']}: {chosen.loop} loop; a request takes {alone * 1e3:.3g} ms by itself", flush=True)

    def gone() -> bool:
        return not preflight.answers(to, requests[0], token, times.answer)

    status, failure = 0, None
    try:
        with _jobs(chosen, run, to, token, facts):
            if chosen.loop == "closed":
                measurement.with_users(test, target, chosen.users or USERS, times, gone)
            elif chosen.rate:
                measurement.at_rates(test, target, chosen.rate, bound, times, gone)
            else:
                measurement.find_knee(test, target, _first_rate(alone, bound, times), bound, times, gone)
            if chosen.hold:
                measurement.fit_memory(test)
        facts["complete"] = facts["stopped"] is None
        status = 0 if facts["complete"] else 1
    except KeyboardInterrupt:
        facts["stopped"], status = "interrupted", 130
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
    # Late, since it brings what draws the report along.
    from bench import load_page
    from bench.report import render_all

    if facts["knee"]:
        print(f"knee: {load_page.knee(facts)}".replace(figures.SPACE, " "))
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


def _first_rate(alone: float, bound: float, times: Times) -> float:
    """Return the rate at which a search begins: a quarter of what the service answers one request after the other.

    Raises UserError where a request by itself is slower than the bound, or a step would hold too few of them.
    """
    if alone > bound:
        raise UserError(
            f"--p99: a request takes {alone * 1e3:.3g} ms by itself, more than the bound of {bound * 1e3:g} ms; "
            "give a higher one"
        )
    rate = float(f"{1 / (4 * alone):.1g}")
    if rate * times.steady < FEWEST_REQUESTS:
        raise UserError(
            f"--seconds: a request takes {alone:.3g} s by itself, so a step of {times.steady} s says too little; "
            f"give at least {math.ceil(FEWEST_REQUESTS / rate)}"
        )
    return rate


def _check_size(chosen: argparse.Namespace, alone: float, times: Times) -> None:
    """Refuse a step whose requests would not fit into memory; raises UserError."""
    rate = max(chosen.users or USERS) / alone if chosen.loop == "closed" else max(chosen.rate or (0.0,))
    if rate * times.steady > MOST_REQUESTS:
        option = "--hold" if chosen.hold else "--seconds"
        raise UserError(
            f"{option}: a step of about {rate * times.steady:,.0f} requests is more than the {MOST_REQUESTS:,} that "
            "can be evaluated; ask for less"
        )


def _check_applies(chosen: argparse.Namespace) -> None:
    """Refuse options that would change nothing; raises UserError."""
    for_serving = ("case", "repeat", "model", "service_id", "rows", "raw")
    of_other = for_serving if chosen.target == "flow" else ("jobs_per_minute",)
    other = "serving" if chosen.target == "flow" else "flow"
    without = [(name, f"goes with --target {other} only; leave it out") for name in of_other]
    if chosen.loop == "closed":
        without += [
            ("rate", "a closed loop has no rate; choose its number of callers with --users"),
            ("p99", "a closed loop has no bound; leave it out"),
        ]
    else:
        without.append(("users", "an open loop has a rate, not users; give --rate, or --loop closed"))
    if chosen.hold is not None:
        without.append(("seconds", "--hold says how long; leave it out"))
    for name, why in without:
        if (given := getattr(chosen, name)) is not None and given is not False:
            raise UserError(f"--{name.replace('_', '-')}: {why}")


def _check(chosen: argparse.Namespace) -> None:
    """Check the options that go together; raises UserError."""
    _check_applies(chosen)
    if importlib.util.find_spec("locust") is None:
        raise UserError("locust is not installed; install it: make load, or pip install 'federated-bench[load]'")
    if chosen.target == "serving" and chosen.case is None:
        raise UserError("--case: is needed with --target serving; name the case whose model is served")
    within = [("--rate", rate, 0.01, measurement.MOST_RATE, "requests/s") for rate in chosen.rate or ()]
    within += [("--users", users, 1, measurement.MOST_USERS, "callers") for users in chosen.users or ()]
    within += [
        ("--rows", chosen.rows, 1, MOST_ROWS, "records, the most of a batch"),
        ("--seconds", chosen.seconds, 1, LONGEST_SECONDS, "s; --hold takes longer ones"),
        ("--ramp", chosen.ramp, 0, 3600, "s"),
        # The generator itself is late by up to 2 ms, which must be little beside the bound.
        ("--p99", chosen.p99, 10, 600_000, "ms"),
        ("--hold", chosen.hold, 10, LONGEST_HOLD, "s"),
        ("--jobs-per-minute", chosen.jobs_per_minute, 0, jobs.MOST_A_MINUTE, "jobs a minute"),
    ]
    for option, value, least, most, unit in within:
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            raise UserError(f"{option}: {value:g} is not between {least:g} and {most:,.0f} {unit}")
    if chosen.hold is not None and len((chosen.rate if chosen.loop == "open" else chosen.users) or ()) != 1:
        needed = "--rate" if chosen.loop == "open" else "--users"
        raise UserError(f"--hold: goes with one {needed}; give it")


def _asked(chosen: argparse.Namespace, run: dict[str, Any]) -> tuple[list[asked.Asked], tuple[str, ...]]:
    """Return the requests, and the options with which the locust file makes the same."""
    if chosen.target == "flow":
        return asked.flow(), ("--target", "flow")
    path = model_file(chosen.run, run, chosen.case, chosen.repeat, chosen.model)
    service = chosen.service_id or chosen.case
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        if chosen.raw and "numbers" not in model["preprocessing"]:
            raise UserError(
                f"--raw: the columns of the file that {chosen.case!r} was trained on are its features; leave it out"
            )
        requests = asked.serving(model, service, chosen.rows, chosen.raw)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is no model of this kit ({error!r}); the run must be repeated") from error
    options = [
        "--target",
        "serving",
        "--model-file",
        str(path.resolve()),
        "--case",
        service,
        "--rows",
        str(chosen.rows),
    ]
    return requests, (*options, *(["--raw"] if chosen.raw else []))


@contextmanager
def _jobs(
    chosen: argparse.Namespace, run: dict[str, Any], to: exchange.Address, token: str | None, facts: dict[str, Any]
) -> Iterator[None]:
    """Submit jobs while the block runs, where the target is a FATE Flow; they stand in ``facts``."""
    if chosen.target != "flow" or not chosen.jobs_per_minute:
        yield
        return
    roles = [{party["role"]: str(party["party"]) for party in case.get("parties") or []} for case in run["cases"]]
    known = {"guest": "9999", "host": "9998"}
    found = next((parties for parties in roles if known.keys() <= parties.keys()), known)
    with jobs.submitting(to, token, (found["guest"], found["host"]), chosen.jobs_per_minute) as submitted:
        facts["jobs"] = submitted
        yield


def _facts(
    chosen: argparse.Namespace,
    words: list[str],
    requests: list[asked.Asked],
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
            "calls": list(dict.fromkeys(f"{asks.method} {asks.path}" for asks in requests)),
            "rows": chosen.rows if serving else None,
            "raw": chosen.raw if serving else None,
            "bytes": round(sum(len(asks.body) for asks in requests) / len(requests)),
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
