"""Load tests: what is computed, and one connection."""

from __future__ import annotations

import math
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from helpers import LIMIT
from hypothesis import given, settings
from hypothesis import strategies as st
from load_helpers import GOOD, answering

from bench.load import exchange, knee, requests
from bench.load.knee import Outcome
from bench.load.memory_trend import growth
from bench.load.schedule import due_times

TOKEN = "a-token-of-the-tests-0123456789"


# --- what is computed ------------------------------------------------------------------------------------------------


@given(st.floats(1, 2000), st.floats(0, 3), st.floats(1, 5), st.integers(0, 10**6))
@settings(deadline=None, max_examples=50)
def test_requests_are_due_as_independent_callers_come(rate: float, ramp: float, seconds: float, seed: int) -> None:
    due = list(due_times(rate, ramp, seconds, seed))
    assert due == list(due_times(rate, ramp, seconds, seed))
    assert all(a <= b for a, b in pairwise(due))
    assert all(0 <= t < ramp + seconds for t in due)
    # A Poisson variable lies within six deviations of its mean but for one time in 10^9; some room where it is small.
    for found, expected in (
        (sum(t < ramp for t in due), rate * ramp / 2),
        (sum(t >= ramp for t in due), rate * seconds),
        (sum(t < ramp / 2 for t in due), rate * ramp / 8),
    ):
        assert abs(found - expected) <= 6 * math.sqrt(expected) + 12


@given(st.floats(1.1, 50_000), st.floats(1, 2000), st.integers(0, 2**20))
def test_the_knee_is_enclosed_whatever_fails_by_chance_once(limit: float, first: float, chance: int) -> None:
    tried: list[float] = []
    misses = iter(bool(chance >> bit & 1) for bit in range(20))

    def measure(rate: float) -> Outcome:
        again = bool(tried) and tried[-1] == rate
        tried.append(rate)
        if rate > limit or (not again and next(misses, False)):
            return Outcome.FAILS
        return Outcome.HOLDS

    found = knee.search(measure, first, 100_000)
    if first / 2**knee.HALVINGS > limit:
        assert found.ended == "none" and found.held is None
        return
    assert found.ended == "service" and found.held is not None and found.failed is not None
    assert found.held <= limit < found.failed <= found.held * (1 + knee.PRECISION)
    assert len(tried) < 80


@given(st.floats(1.1, 50_000), st.floats(1, 2000))
def test_a_generator_at_its_limit_is_never_called_the_knee(limit: float, first: float) -> None:
    found = knee.search(lambda rate: Outcome.HOLDS if rate <= limit else Outcome.GENERATOR, first, 100_000)
    assert found.ended == "generator"
    assert found.held is None or found.held <= limit


def test_a_search_ends_at_the_highest_rate_and_with_the_service() -> None:
    assert knee.search(lambda _: Outcome.HOLDS, 300, 1000) == (1000, None, None, "most")
    outcomes = iter([Outcome.HOLDS, Outcome.GONE])
    assert knee.search(lambda _: next(outcomes), 300, 1000) == (300, None, None, "gone")


@given(st.floats(2, 5000), st.floats(1, 20), st.floats(1, 2000))
def test_a_knee_between_a_busy_generator_and_a_service_that_fails_is_told_as_between(
    limit: float, wide: float, first: float
) -> None:
    """The generator is at its limit from ``limit`` on, up to the rate ``wide`` times that which the service fails."""

    def measure(rate: float) -> Outcome:
        return Outcome.HOLDS if rate <= limit else Outcome.GENERATOR if rate <= wide * limit else Outcome.FAILS

    found = knee.search(measure, first, 1e9)
    if found.ended == "generator":
        assert found.unclear is not None and limit < found.unclear <= wide * limit
        assert found.failed is None or found.failed > wide * limit
        assert found.held is None or found.held <= limit
    elif found.ended == "service":
        assert found.held is not None and found.failed is not None and found.unclear is None
        assert found.held <= limit <= wide * limit < found.failed <= found.held * (1 + knee.PRECISION)
    else:
        assert found.ended == "none" and found.unclear is None and first / 2**knee.HALVINGS > limit


@given(st.floats(-1e6, 1e6), st.integers(10, 3000), st.floats(1e8, 1e10), st.data())
@settings(max_examples=30)
def test_growth_is_the_slope_of_the_memory_whatever_one_sample_is(
    slope: float, samples: int, jump: float, data: st.DataObject
) -> None:
    seconds = [float(second) for second in range(samples)]
    resident = [1e10 + slope * second for second in seconds]
    resident[data.draw(st.integers(0, samples - 1))] += jump
    found = growth(seconds, resident)
    assert found is not None and found["samples"] == samples
    assert found["bytes_per_minute"] == pytest.approx(60 * slope, rel=1e-4, abs=1)
    assert growth(seconds[:9], [0.0] * 9) is None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b'{"retcode":0,"data":{"score":0.5}}', 0),
        (200, b'{"retcode":104,"retmsg":"no model"}', 104),
        (200, b'{"retcode":"1604","retmsg":"no model"}', 1604),  # as FATE-Serving's documents write it
        (200, b'{"retcode":0,"batchDataList":[{"retcode":0},{"retcode":102}]}', 102),
        (200, b'{"retcode":"0","batchDataList":[{"retcode":"0"},{"retcode":"102"}]}', 102),
        (200, b'{"retcode":0,"batchDataList":null}', 0),
        (200, b'{"retcode":-1}', requests.UNREADABLE),
        (200, b'{"code":0,"data":{}}', 0),
        (200, b'{"code":1001,"message":"no job"}', 1001),
        (200, b"<html>", requests.UNREADABLE),
        (200, b"[]", requests.UNREADABLE),
        (503, b"", -503),
    ],
)
def test_an_answer_s_code(status: int, body: bytes, code: int) -> None:
    assert requests.outcome(status, body) == code


# --- one connection --------------------------------------------------------------------------------------------------


def test_a_connection_reads_answers_of_every_length_and_opens_again() -> None:
    bodies = iter([GOOD, (200, b'{"retcode":0,"chunked":"yes"}', True), (404, b"", False), GOOD])
    with answering(lambda _: next(bodies)) as url:
        to = exchange.address(url)
        connection = exchange.Connection(to, 5)
        request = exchange.as_sent(to, "POST", "/x", b"{}", TOKEN)
        assert connection.ask(request) == GOOD[:2]
        assert connection.ask(request) == (200, b'{"retcode":0,"chunked":"yes"}')
        assert connection.ask(request) == (404, b"")
        connection.close()
        assert connection.ask(request) == GOOD[:2]
        connection.close()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", (200, b"to the end")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut", ConnectionResetError),
        (b"nonsense\r\n\r\n", exchange.httptools.HttpParserError),
        (b"", ConnectionResetError),
        (None, exchange.TooLateError),
    ],
)
def test_answers_that_are_cut_late_or_none(said: bytes | None, expected: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(1 << 16)
                if said is None:
                    link.recv(1)  # until the other side gives up
                else:
                    link.sendall(said)

        threading.Thread(target=answer, daemon=True).start()
        connection = exchange.Connection(exchange.Address("127.0.0.1", listener.getsockname()[1], False, ""), 0.5)
        if isinstance(expected, tuple):
            assert connection.ask(b"GET / HTTP/1.1\r\n\r\n") == expected
        else:
            with pytest.raises(expected):
                connection.ask(b"GET / HTTP/1.1\r\n\r\n")


# --- a connection by itself ------------------------------------------------------------------------------------------


@contextmanager
def scripted(*connections: list[bytes | None]) -> Iterator[exchange.Address]:
    """A server that gives, on its nth connection, one answer after the other; None is silence."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            held = []
            for answers in connections:
                link = listener.accept()[0]
                held.append(link)
                for answer in answers:
                    if not link.recv(1 << 16):
                        break
                    if answer is None:
                        break
                    link.sendall(answer)
                else:
                    link.close()
            over.wait(30)
            for link in held:
                link.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield exchange.Address("127.0.0.1", listener.getsockname()[1], False, "")
        finally:
            over.set()
            thread.join(30)


def said(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    with scripted([said(b"one")], [said(b"two")]) as to:
        connection = exchange.Connection(to, 10)
        assert connection.ask(REQUEST) == (200, b"one")
        assert connection.ask(REQUEST) == (200, b"two")
        connection.close()


def test_a_connection_that_was_reset_meanwhile_is_opened_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for text, reset in ((b"one", True), (b"two", False)):
                link = listener.accept()[0]
                link.recv(1 << 16)
                link.sendall(said(text))
                answered.wait(10)
                if reset:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.close()
                closed.set()

        answered, closed = threading.Event(), threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connection = exchange.Connection(exchange.Address("127.0.0.1", listener.getsockname()[1], False, ""), 10)
        assert connection.ask(REQUEST) == (200, b"one")
        answered.set()
        assert closed.wait(10)
        assert connection.ask(REQUEST) == (200, b"two")
        connection.close()
        thread.join(LIMIT)


def test_an_answer_that_breaks_off_is_an_error_and_not_asked_for_again() -> None:
    with scripted([said(b"one"), b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut"], [said(b"two")]) as to:
        connection = exchange.Connection(to, 10)
        assert connection.ask(REQUEST) == (200, b"one")
        with pytest.raises(ConnectionResetError):
            connection.ask(REQUEST)
        assert connection.ask(REQUEST) == (200, b"two")
        connection.close()


def test_a_late_answer_is_late_after_a_second_try_too_and_never_taken_for_the_next() -> None:
    with scripted([said(b"one")], [None], [said(b"three")]) as to:
        connection = exchange.Connection(to, 0.3)
        assert connection.ask(REQUEST) == (200, b"one")
        with pytest.raises(exchange.TooLateError):
            connection.ask(REQUEST)
        assert connection.ask(REQUEST) == (200, b"three")
        connection.close()
