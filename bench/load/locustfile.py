r"""Locust's users for a service that answers as FATE-Serving does, and for a FATE Flow.

``python -m bench.load`` runs it and keeps what it measures. It works by itself, too, with all that locust offers:

    locust -f bench/load/locustfile.py --host http://127.0.0.1:8059 --target serving --case federated \
        --model-file results/<run>/models/federated.1.federated.json
    locust -f bench/load/locustfile.py --host http://10.0.0.5:8059 --target serving --case my-service --rows 100 \
        --model-file ... --token-file token.txt --headless --users 8 --run-time 30s
    locust -f bench/load/locustfile.py --host http://127.0.0.1:9380 --target flow

Without ``--rate`` the loop is closed: each user sends, waits for the answer, and sends again. With it the loop is open:
requests are due at a rate, whatever becomes of those before, and locust's response times count from when a request was
due. Users are then the connections that are ready; a request that is due while all of them wait for answers is sent
late.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import IO, Any

import gevent
import httptools
from gevent.event import Event
from locust import User, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser

from bench.load import exchange, record, requests
from bench.load.schedule import due_times


@events.init_command_line_parser.add_listener
def _options(parser: LocustArgumentParser) -> None:
    """Add what a service needs to be asked."""
    add = parser.add_argument
    add("--target", choices=("serving", "flow"), default="serving", help="what kind of service it is")
    add("--model-file", default="", help="a model file of a run: its features are what requests hold")
    add("--case", default="", help="the serviceId of requests")
    add("--rows", type=int, default=1, help="records in a request; above 1 they are batches")
    add("--raw", action="store_true", help="send the columns of the raw file instead of features")
    add("--token-file", default="", help="a file whose one line is sent as a bearer token")
    add("--rate", type=float, default=0.0, help="requests a second that are due (open loop); 0: closed loop")
    add("--ramp", type=float, default=0.0, help="seconds in which the rate grows from 0")
    add("--seconds", type=float, default=0.0, help="seconds at the full rate; 0: until locust is stopped")
    add("--answer-within", type=float, default=10.0, help="seconds that an answer may take")
    add("--seed", type=int, default=1, help="of the times at which requests are due")
    add("--records", default="", help="a file that takes every request's times")
    add("--parent", type=int, default=0, help="the process whose end ends this one, too")


@events.init.add_listener
def _follow_parent(environment: Environment, **_: Any) -> None:
    options: Any = environment.parsed_options
    if options.parent:
        gevent.spawn(_end_with_parent, options.parent)


class _Load:
    """What the users of a locust process share."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        to = exchange.address(environment.host or "")
        token = Path(options.token_file).read_text(encoding="ascii").strip() if options.token_file else None
        if options.target == "flow":
            calls = requests.flow()
        else:
            model = json.loads(Path(options.model_file).read_text(encoding="utf-8"))
            calls = requests.serving(model, options.case, options.rows, options.raw)
        self.names = list(dict.fromkeys(request.name for request in calls))
        self.turn = cycle(
            [
                (self.names.index(asks.name), asks, exchange.as_sent(to, asks.method, asks.path, asks.body, token))
                for asks in calls
            ]
        )
        self.to, self.options, self.environment = to, options, environment
        self.ready, self.start, self.left = Event(), 0.0, 0
        self.end = float("inf")
        self.due: Iterator[float] = iter(())
        # Closed when the test stops.
        self.records: IO[bytes] | None = Path(options.records).open("wb") if options.records else None  # noqa: SIM115

    def begin(self) -> None:
        """Let the users send."""
        options = self.options
        self.start = time.monotonic() + 0.1
        length = options.seconds or float("inf")
        if options.rate > 0:
            self.due = due_times(options.rate, options.ramp, length, options.seed)
        self.end = self.start + options.ramp + length
        if self.records is not None:
            about = {"start": self.start, "steady": self.start + options.ramp, "end": self.end, "names": self.names}
            Path(f"{options.records}.json").write_text(json.dumps(about), encoding="utf-8")
        self.ready.set()

    def note(
        self, place: int, asks: requests.Asked, times: tuple[float, float, float, float], code: int, size: int
    ) -> None:
        """Keep a request's times, and tell locust."""
        if self.records is not None:
            self.records.write(record.LAYOUT.pack(*times, code, place))
        self.environment.events.request.fire(
            request_type=asks.method,
            name=asks.name,
            response_time=(times[3] - times[0]) * 1e3,
            response_length=size,
            exception=None if code == requests.OK else RuntimeError(requests.error_name(code)),
            context={},
        )


def _end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone, however that ended."""
    while os.getppid() == parent:
        gevent.sleep(0.5)
    os._exit(1)


_LOADS: dict[Environment, _Load] = {}


@events.test_start.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    """Read what is to be asked; a closed loop begins at once, and its ramp is that of the users."""
    try:
        load = _LOADS[environment] = _Load(environment)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"error: what is to be asked cannot be read: {error!r}", file=sys.stderr, flush=True)
        os._exit(2)  # locust would go on without
    if load.options.rate <= 0:
        load.begin()


@events.spawning_complete.add_listener
def _all_there(**_: Any) -> None:
    """Begin an open loop when all its users are there."""
    for load in _LOADS.values():
        if not load.ready.is_set():
            load.begin()


@events.test_stop.add_listener
def _end(environment: Environment, **_: Any) -> None:
    load = _LOADS.pop(environment, None)
    if load is not None and load.records is not None:
        load.records.close()


class Caller(User):
    """A caller with one connection."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Make ready to connect."""
        self.load = _LOADS[self.environment]
        self.load.left += 1
        self.connection = exchange.Connection(self.load.to, self.load.options.answer_within)

    def on_stop(self) -> None:
        """Close the connection."""
        self.connection.close()

    @task
    def call(self) -> None:
        """Send requests until the time is over; then locust ends with the last caller."""
        load = self.load
        load.ready.wait()
        arrive = self.when_due if load.options.rate > 0 else self.at_once
        while arrive():
            pass
        load.left -= 1
        if not load.left:
            runner = load.environment.runner
            assert runner is not None
            gevent.spawn(runner.quit)
        raise StopUser

    def when_due(self) -> bool:
        """Take the next time at which a request is due and send it then, or now if that is past; False at the end."""
        offset = next(self.load.due, None)
        if offset is None:
            gevent.sleep(max(0.0, self.load.end - time.monotonic()))
            return False
        free = time.monotonic()
        due = self.load.start + offset
        if due > free:
            gevent.sleep(due - free)
        if free > self.load.end + record.AFTER:
            return False
        self.send(due, free)
        return True

    def at_once(self) -> bool:
        """Send a request now; False at the end."""
        now = time.monotonic()
        if now >= self.load.end:
            return False
        if self.send(now, now) == requests.NO_CONNECTION:
            gevent.sleep(0.01)  # it would spin otherwise
        return True

    def send(self, due: float, free: float) -> int:
        """Send the next request, wait for its answer and return its code."""
        place, asks, request = next(self.load.turn)
        body = b""
        sent = time.monotonic()
        try:
            status, body = self.connection.ask(request)
            code = requests.outcome(status, body)
        except exchange.TooLateError:
            code = requests.TOO_LATE
        except OSError:
            code = requests.NO_CONNECTION
        except httptools.HttpParserError:
            code = requests.UNREADABLE
        self.load.note(place, asks, (due, free, sent, time.monotonic()), code, len(body))
        return code
