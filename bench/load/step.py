"""One step of a load test: locust at one rate, or with one number of users, and what came of it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.load import record, requests
from bench.load.schedule import due_times
from bench.load.watch import GENERATOR, SERVER, Source, Watched, watched

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
ROOT = Path(__file__).resolve().parents[2]
RECORD = np.dtype([(name, f"<{letter}") for name, letter in record.FIELDS.items()])

FEWEST_CONNECTIONS, MOST_CONNECTIONS = 16, 1000
SPAWN_RATE = 1000  # users a second; they are there before an open loop begins
# What is held against a step in an open loop.
SHORTFALL = 0.05  # share of the requests due that may be unanswered when the time is over ...
FEW = 3  # ... or this number, where the share is less
# What makes a step the generator's failure, not the service's.
FULL_CORE = 90.0  # CPU of the generator, % of one core
LATE_SHARE = 0.2  # p99 of what it was late by itself, as a share of the bound
END_SECONDS = 60.0  # for locust to start and end, beyond the step's own time

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """What is asked, and where: ``options`` are the locust file's own."""

    url: str
    options: tuple[str, ...]
    server: Source | None
    token: str | None


@dataclass(frozen=True)
class Times:
    """Seconds of a step: ``ramp`` is left out of its figures; ``answer`` is how long an answer may take."""

    ramp: float
    steady: int
    answer: float


def open_loop(
    target: Target, rate: float, bound: float, times: Times, attempt: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask at ``rate`` requests/s; return the step and its seconds, docs/results.md. ``bound`` is p99's, in seconds.

    Each ``attempt`` at a rate draws its own times at which requests are due.

    There are twice as many users as requests would be on their way if each took as long as the bound.

    Raises UserError where locust does not run.
    """
    users = min(MOST_CONNECTIONS, max(FEWEST_CONNECTIONS, math.ceil(2 * rate * bound)))
    seed = round(rate * 1000) + 1_000_003 * attempt
    options = ["--rate", repr(rate), "--ramp", repr(times.ramp), "--seed", str(seed)]
    records, about, seen = _run(target, users, SPAWN_RATE, options, times)
    due = about["start"] + np.fromiter(due_times(rate, times.ramp, times.steady, seed), float)
    step, seconds = _summary(records, due, about, seen, times)
    steady = _steady(records, about)
    unsent = due[len(records) :]  # times are taken in their order
    unsent = unsent[unsent >= about["steady"]]
    # What was never sent would have waited at least until no more was sent.
    waited = np.concatenate([steady["done"] - steady["due"], about["end"] + record.AFTER - unsent])
    step = {"loop": "open", "rate": rate, "users": users, **step, "from_due": percentiles(waited)}
    step["unsent"], step["requests"] = len(unsent), len(waited)
    step["rate_offered"] = step["requests"] / times.steady
    step["late"] = percentiles(steady["sent"] - np.maximum(steady["due"], steady["free"]))
    step["failed"] = why_failed(step, bound, times.steady)
    step["generator_limited"] = bool(step["failed"]) and generator_limited(step, bound)
    return step, seconds


def closed_loop(target: Target, users: int, times: Times) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask with ``users`` callers that each wait for their answer; return the step and its seconds.

    Raises UserError where locust does not run.
    """
    records, about, seen = _run(
        target, users, users / times.ramp if times.ramp else SPAWN_RATE, ["--ramp", repr(times.ramp)], times
    )
    step, seconds = _summary(records, records["due"], about, seen, times)
    steady = _steady(records, about)
    step = {"loop": "closed", "rate": None, "users": users, **step, "rate_offered": None, "late": None}
    step["from_due"] = percentiles(steady["done"] - steady["due"])
    step["unsent"], step["requests"] = 0, len(steady)
    step["failed"] = _no_answers(step)
    step["generator_limited"] = (_cpu_of_generator(step) or 0.0) >= FULL_CORE
    return step, seconds


def why_failed(step: Mapping[str, Any], bound: float, seconds: float) -> str | None:
    """Say why a step of an open loop does not hold its rate; None where it does."""
    if said := _no_answers(step):
        return said
    if step["from_due"]["p99"] > bound:
        return gettext_noop("p99 above bound")
    short = step["requests"] - step["rate_achieved"] * seconds
    return gettext_noop("too few answers") if short > max(SHORTFALL * step["requests"], FEW) else None


def _no_answers(step: Mapping[str, Any]) -> str | None:
    """Say why a step of either loop is none to tell latencies of."""
    return gettext_noop("errors") if step["errors"] else None if step["requests"] else gettext_noop("no requests")


def generator_limited(step: Mapping[str, Any], bound: float) -> bool:
    """Say whether what sends the requests was at its limit, so that nothing can be told of the service.

    That is a core, its own delays, or its connections: where all there may be wait for answers that come in time.
    """
    late, due, sent = ((step[since] or {"p99": 0.0})["p99"] for since in ("late", "from_due", "from_sent"))
    used_up = step["users"] == MOST_CONNECTIONS and sent <= bound < due
    return (_cpu_of_generator(step) or 0.0) >= FULL_CORE or late > LATE_SHARE * bound or used_up


def _cpu_of_generator(step: Mapping[str, Any]) -> float | None:
    """Return the generator's CPU, in % of one core."""
    cpu: float | None = (step["generator"] or {}).get("cpu_percent")
    return cpu


def percentiles(values: Numbers) -> dict[str, float] | None:
    """Return p50, p90, p99 and the largest (NumPy's linear interpolation); None where there are no values."""
    if not len(values):
        return None
    found = np.percentile(values, [50, 90, 99, 100])
    return dict(zip(("p50", "p90", "p99", "max"), map(float, found), strict=True))


def _run(
    target: Target, users: int, spawn_rate: float, options: list[str], times: Times
) -> tuple[NDArray[Any], dict[str, Any], Watched]:
    """Run locust, and return what it recorded, about what, and what was seen meanwhile."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
        folder = Path(name)
        argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
        argv += ["--host", target.url, "--users", str(users), "--spawn-rate", repr(float(spawn_rate))]
        argv += ["--exit-code-on-error", "0", "--loglevel", "ERROR", "--records", str(folder / "records")]
        argv += ["--parent", str(os.getpid()), *_token(target, folder)]
        argv += ["--seconds", repr(times.steady), "--answer-within", repr(times.answer), *target.options, *options]
        process = subprocess.Popen(
            argv,
            env=_environment(folder),
            cwd=folder,  # locust reads a configuration from the folder that it starts in
            stdin=subprocess.DEVNULL,
            stdout=(folder / "out").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the kit, which ends locust then
        )
        try:
            with watched(process.pid, target.server, target.token) as seen:
                process.wait(times.ramp + times.steady + times.answer + END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"{target.url}: locust did not end within {error.timeout:.0f} s ({_last_words(folder)}); "
                "try a lower rate"
            ) from None
        finally:
            with suppress(OSError):
                process.kill()
            process.wait()
        try:
            about = json.loads((folder / "records.json").read_text(encoding="utf-8"))
            records = np.fromfile(folder / "records", RECORD)
        except (OSError, ValueError) as error:
            raise UserError(
                f"locust did not run: {_last_words(folder)}; try: {sys.executable} -m locust --version"
            ) from error
        return records, about, seen


def _last_words(folder: Path) -> str:
    """Return the last line that locust wrote."""
    return ((folder / "out").read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


def _token(target: Target, folder: Path) -> list[str]:
    """Write the token for locust, since the file that it came from may be readable once only; return the option."""
    if target.token is None:
        return []
    path = folder / "token"
    path.write_text(target.token, encoding="ascii")  # the folder is this user's alone
    return ["--token-file", str(path)]


def _environment(folder: Path) -> dict[str, str]:
    """Return locust's environment: it finds the kit, and takes no settings of the person's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "HOME": str(folder)}


def _steady(records: NDArray[Any], about: Mapping[str, Any]) -> NDArray[Any]:
    """Return the requests that were due after the ramp and before the end."""
    mine: NDArray[Any] = records[(records["due"] >= about["steady"]) & (records["due"] < about["end"])]
    return mine


def _summary(
    records: NDArray[Any], due: Numbers, about: Mapping[str, Any], seen: Watched, times: Times
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what both loops have in common, and the step second by second; ``due`` is when requests were.

    Errors are counted of all requests that ended after the ramp: where a service hangs, none of those that were due
    after it may have been sent.
    """
    steady = _steady(records, about)
    ended = records["code"][records["done"] >= about["steady"]]
    in_time = (records["done"] >= about["steady"]) & (records["done"] < about["end"])
    codes, counts = np.unique(ended[ended != requests.OK], return_counts=True)
    step = {
        "ramp_seconds": times.ramp,
        "steady_seconds": times.steady,
        "rate_achieved": int(np.count_nonzero(in_time & (records["code"] == requests.OK))) / times.steady,
        "errors": {requests.error_name(int(code)): int(n) for code, n in zip(codes, counts, strict=True)},
        "from_sent": percentiles(steady["done"] - steady["sent"]),
        "by_request": {
            name: {"requests": len(mine), "from_due": percentiles(mine["done"] - mine["due"])}
            for place, name in enumerate(about["names"])
            for mine in [steady[steady["name"] == place]]
        },
        "server": _used(seen, SERVER, about),
        "generator": _used(seen, GENERATOR, about),
        "machine_cpu_percent": (_used(seen, "", about) or {}).get("cpu_percent"),
    }
    return step, _by_second(records, due, about, seen, times)


def _used(seen: Watched, who: str, about: Mapping[str, Any]) -> dict[str, float | None] | None:
    """Return mean CPU (% of one core) and highest resident memory (bytes) after the ramp; None if not measured."""
    mine = [(cpu, rss) for t, name, cpu, rss in seen.samples if name == who and about["steady"] <= t < about["end"]]
    cpus, memory = (
        [value for value in column if value is not None] for column in (zip(*mine, strict=True) if mine else ([], []))
    )
    if not cpus and not memory:
        return None
    return {"cpu_percent": float(np.mean(cpus)) if cpus else None, "rss_bytes": max(memory) if memory else None}


def _by_second(
    records: NDArray[Any], due: Numbers, about: Mapping[str, Any], seen: Watched, times: Times
) -> list[dict[str, Any]]:
    """Return a row a second: requests by when they were due, answers and errors by when they came.

    Seconds count from the end of the ramp, and are negative in it; the first of a ramp may be cut.
    """
    rows = []
    bounds = range(-math.ceil(times.ramp), times.steady)
    edges = about["steady"] + np.array([*bounds, times.steady])
    fell_due = np.histogram(due, edges)[0]
    good = records["code"] == requests.OK
    answered, errors = (np.histogram(records["done"][which], edges)[0] for which in (good, ~good))
    records = records[np.argsort(records["due"])]
    places = np.searchsorted(records["due"], edges)
    samples: dict[tuple[str, int], list[tuple[float | None, float | None]]] = {}
    for t, name, cpu, rss in seen.samples:
        samples.setdefault((name, math.floor(t - about["steady"])), []).append((cpu, rss))
    for place, second in enumerate(bounds):
        mine = records[places[place] : places[place + 1]]
        waits, sent = (percentiles(mine["done"] - mine[since]) or {} for since in ("due", "sent"))
        at = {who: samples.get((who, second), []) for who in (SERVER, GENERATOR)}
        rows.append(
            {
                "second": second,
                "phase": "ramp" if second < 0 else "steady",
                "due": int(fell_due[place]),
                "answered": int(answered[place]),
                "errors": int(errors[place]),
                "p50_due": waits.get("p50"),
                "p99_due": waits.get("p99"),
                "p99_sent": sent.get("p99"),
                "server_cpu_percent": _mean([cpu for cpu, _ in at[SERVER]]),
                "server_rss_bytes": max((rss for _, rss in at[SERVER] if rss is not None), default=None),
                "generator_cpu_percent": _mean([cpu for cpu, _ in at[GENERATOR]]),
            }
        )
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
