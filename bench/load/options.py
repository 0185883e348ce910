"""The command line of a load test: its options, and whether they go together."""

from __future__ import annotations

import argparse
import importlib.util
import math
from pathlib import Path

from bench import cli
from bench.errors import UserError
from bench.load import jobs, measurement
from bench.load.step import Times
from bench.serve.app import MOST_ROWS

BOUND_MS = {"serving": 50.0, "flow": 1000.0}
USERS = (1, 2, 4, 8, 16)
SECONDS = 5
JOBS_A_MINUTE = 1.0
ANSWER_SECONDS = 10.0
FEWEST_REQUESTS = 10  # of a search's first step
LONGEST_SECONDS, LONGEST_HOLD = 600, 24 * 3600
MOST_SENT = 20_000.0  # requests/s that locust can send on a core
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = cli.argument_parser(
        "load", "Find out how many requests a second a service holds, at what latency, with what resources.", EXAMPLES
    )
    add = made.add_argument
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
    add(
        "--rate",
        type=float,
        nargs="+",
        metavar="R",
        help="open loop: requests/s; default: search for the maximum sustainable throughput",
    )
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
    return made


def check(chosen: argparse.Namespace) -> None:
    """Check options, and fill in those that were not given.

    Raises UserError where one is wrong, lacks another or would change nothing.
    """
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
    chosen.rows = chosen.rows or 1
    chosen.jobs_per_minute = JOBS_A_MINUTE if chosen.jobs_per_minute is None else chosen.jobs_per_minute


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


def check_size(chosen: argparse.Namespace, alone: float, times: Times) -> None:
    """Refuse a step whose requests would not fit into memory; raises UserError."""
    rate = max(chosen.users or USERS) / alone if chosen.loop == "closed" else max(chosen.rate or (0.0,))
    rate = min(rate, MOST_SENT)
    if rate * times.steady > MOST_REQUESTS:
        option = "--hold" if chosen.hold else "--seconds"
        raise UserError(
            f"{option}: a step of about {rate * times.steady:,.0f} requests is more than the {MOST_REQUESTS:,} that "
            "can be evaluated; ask for less"
        )


def first_rate(alone: float, bound: float, times: Times) -> float:
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
