"""A trained model as a web service (ASGI): asked and answering as FATE-Serving is, but with one whole model.

Paths, shapes and return codes are those of FATE-Serving 2.1 (its documents "inference/single" and "inference/batch",
and its StatusCode.java). Whatever stands in a request, the answer is HTTP 200 with a ``retcode``; 401, 404 and 405 are
for callers that have no token or ask for what is not here, and carry a ``retcode`` too.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.data.record import RecordError, plain_reader, reader
from bench.model.logistic import Array, row_probability, rows_probability

# The codes of FATE-Serving that this service has a use for.
OK = 0
BAD_REQUEST = 100  # GUEST_PARAM_ERROR
BAD_FEATURES = 102  # GUEST_FEATURE_ERROR
NO_MODEL = 104  # MODEL_NULL
SYSTEM_ERROR = 110
NOT_FOUND = 122  # SERVICE_NOT_FOUND
UNSUPPORTED = 125  # HOST_UNSUPPORTED_COMMAND_ERROR
NOT_AUTHORISED = 129  # PROXY_AUTH_ERROR

MOST_ROWS = 300  # FATE-Serving's batch.inference.max
MOST_BYTES = 4 << 20  # 300 rows of 300 features as JSON take half of it
MOST_DROPPED = 64 << 20  # of a body that is too large: read and dropped, so that the caller gets to read the answer
BODY_SECONDS = 30
BUCKETS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)  # seconds

CALLS = ("inference", "batchInference")
INFERENCE, BATCH, HEALTH = "/federation/v1/inference", "/federation/v1/batchInference", "/health"

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Served:
    """A model in memory, under the name ``service``; ``read`` turns a record into a row of its features.

    ``weights`` are its coefficients, its intercept, and the training's means and standard deviations; ``arrays`` are
    the same.
    ``about`` is what answers say of the model; ``opening`` and ``closing`` stand before and after the score in an
    answer to a single inference, ``batch_opening`` before the scores of a batch.
    """

    service: str
    read: Callable[[Mapping[str, Any]], list[float]]
    read_plain: Callable[[Sequence[Mapping[str, Any]]], Array | None]
    weights: tuple[list[float], float, list[float], list[float]]
    arrays: tuple[Array, float, Array, Array]
    about: dict[str, Any]
    opening: bytes
    closing: bytes
    batch_opening: bytes

    def score(self, record: Mapping[str, Any]) -> float:
        """Return the probability of class 1.

        Raises RecordError where the record cannot be scored.
        """
        row = self.read(record)
        score = row_probability(row, *self.weights)
        if score != score:  # NaN: two infinities met
            raise RecordError("a value is too large to be scored")
        return score

    def scores(self, records: Sequence[Mapping[str, Any]]) -> list[float] | None:
        """Return the probabilities of many records, in half the time; None where one of them must be looked at."""
        X = self.read_plain(records)
        if X is None:
            return None
        scores = rows_probability(X, *self.arrays)
        return None if any(score != score for score in scores) else scores


Answer = Callable[[Served, bytes], tuple[bytes, int]]
"""Turns a request's body into the answer, and tells how many rows were scored."""


class _RefusedError(Exception):
    """A request that cannot be answered: (return code, message)."""


class _GoneError(Exception):
    """The caller closed the connection."""


class _UnreadError(Exception):
    """A body that was not taken in, and why."""


def served(service: str, model_id: str, version: str, model: Mapping[str, Any]) -> Served:
    """Make a model ready to answer. ``model`` is the content of a model file (docs/results.md), already checked."""
    coefficients, means, deviations = (
        [float(value) for value in model[name]] for name in ("coefficients", "means", "deviations")
    )
    intercept = float(model["intercept"])
    about = {"modelId": model_id, "modelVersion": version, "timestamp": time.time_ns() // 1_000_000}
    return Served(
        service=service,
        read=reader(model["preprocessing"]),
        read_plain=plain_reader(model["preprocessing"]),
        weights=(coefficients, intercept, means, deviations),
        arrays=(np.array(coefficients), intercept, np.array(means), np.array(deviations)),
        about=about,
        opening=b'{"retcode":0,"retmsg":"","data":{"score":',
        closing=b"," + orjson.dumps(about)[1:] + b',"flag":0}',
        batch_opening=b'{"retcode":0,"retmsg":"","data":%b,"flag":0' % orjson.dumps(about),
    )


def application(model: Served, description: Mapping[str, Any], token: str | None) -> ASGIApp:
    """Return the service. With a ``token``, everything but its health asks for it."""
    figures = _Figures()
    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "serviceId": model.service, **model.about})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def openapi(_: Request) -> Response:
        return JSONResponse(description)

    calls = {INFERENCE: _Call(model, single, figures), BATCH: _Call(model, batch, figures)}
    pages = [Route(HEALTH, health), Route("/metrics", metrics), Route("/openapi.json", openapi)]
    pages += [Route(path, call, methods=["POST"]) for path, call in calls.items()]
    app = Starlette(routes=pages, exception_handlers={HTTPException: _no_such_thing})
    app.router.redirect_slashes = False
    return _Front(app, calls, token, figures)


def single(model: Served, body: bytes) -> tuple[bytes, int]:
    """Answer a single inference.

    Raises _RefusedError where the request cannot be answered.
    """
    content = _content(model, body)
    _check_remote(content)
    record = content.get("featureData")
    if type(record) is not dict:
        raise _RefusedError(BAD_REQUEST, "no feature data: body.featureData must be an object")
    try:
        score = model.score(record)
    except RecordError as error:
        raise _RefusedError(BAD_FEATURES, str(error)) from None
    return b"%b%b%b" % (model.opening, repr(score).encode(), model.closing), 1


def batch(model: Served, body: bytes) -> tuple[bytes, int]:
    """Answer a batch inference; a record that cannot be scored gets a return code of its own.

    Raises _RefusedError where the request as a whole cannot be answered.
    """
    records = _records(_content(model, body))
    scores = model.scores([record for _, record in records])
    if scores is not None:
        return _all_scored(model, [index for index, _ in records], scores), len(records)
    results: dict[str, dict[str, Any]] = {}
    scored = 0
    for index, record in records:
        try:
            outcome = {"retcode": OK, "retmsg": "", "data": {"score": model.score(record)}}
            scored += 1
        except RecordError as error:
            outcome = {"retcode": BAD_FEATURES, "retmsg": str(error), "data": {}}
        results[str(index)] = {"index": index, **outcome}
    both = {"batchDataList": list(results.values()), "singleInferenceResultMap": results}
    return orjson.dumps({"retcode": OK, "retmsg": "", "data": model.about, "flag": 0, **both}), scored


def _all_scored(model: Served, indexes: list[int], scores: list[float]) -> bytes:
    """Return the answer to a batch whose records all have a score: the same, in a third of the time."""
    texts = orjson.dumps(scores)[1:-1].split(b",")
    items = [
        b'{"index":%d,"retcode":0,"retmsg":"","data":{"score":%b}}' % pair for pair in zip(indexes, texts, strict=True)
    ]
    by_index = [b'"%d":%b' % pair for pair in zip(indexes, items, strict=True)]
    return b'%b,"batchDataList":[%b],"singleInferenceResultMap":{%b}}' % (
        model.batch_opening,
        b",".join(items),
        b",".join(by_index),
    )


def _content(model: Served, body: bytes) -> dict[str, Any]:
    """Read a request, check whom it asks, and return its body."""
    try:
        request = orjson.loads(body)  # refuses NaN, infinities and numbers that would become one
    except orjson.JSONDecodeError as error:
        raise _RefusedError(BAD_REQUEST, f"the request is not JSON: {error}") from None
    head = request.get("head") if type(request) is dict else None
    if type(head) is not dict:
        raise _RefusedError(BAD_REQUEST, "no head: the request must be an object that has head, an object")
    service = head.get("serviceId")
    if service != model.service:
        if type(service) is not str or not service.strip():
            raise _RefusedError(BAD_REQUEST, "no service id: head.serviceId must be a text")
        raise _RefusedError(NO_MODEL, f"no model under this service id; head.serviceId must be {model.service!r}")
    content = request.get("body")
    if type(content) is not dict:
        raise _RefusedError(BAD_REQUEST, "no body: the request must have body, an object")
    return content


_NOTHING: dict[str, Any] = {}


def _check_remote(content: Mapping[str, Any]) -> None:
    """Check what a federation of models would send to the other party; here nothing is sent."""
    if type(content.get("sendToRemoteFeatureData", _NOTHING)) is not dict:
        raise _RefusedError(BAD_REQUEST, "no send to remote feature data: sendToRemoteFeatureData must be an object")


def _records(content: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Check a batch and return its records, each with its index."""
    items = content.get("batchDataList")
    if type(items) is not list or not 1 <= len(items) <= MOST_ROWS:
        raise _RefusedError(BAD_REQUEST, f"body.batchDataList must be a list of 1 to {MOST_ROWS} records")
    records: dict[int, dict[str, Any]] = {}
    for place, item in enumerate(items):
        where = f"body.batchDataList[{place}]"
        record = item.get("featureData") if type(item) is dict else None
        if type(record) is not dict:
            raise _RefusedError(BAD_REQUEST, f"{where} must be an object that has featureData, an object")
        _check_remote(item)
        index = item.get("index")
        if type(index) is not int or not -(2**31) <= index < 2**31:
            raise _RefusedError(BAD_REQUEST, f"{where}.index must be a whole number of 32 bits")
        if index in records:
            raise _RefusedError(BAD_REQUEST, f"{where}.index: {index} stands twice in the batch")
        records[index] = record
    return list(records.items())


class _Call:
    """One of the two calls, as an ASGI application: without the framework's request and response, which take time."""

    def __init__(self, model: Served, answer: Answer, figures: _Figures) -> None:
        self._model, self._answer, self._figures = model, answer, figures
        self._name = CALLS[answer is batch]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, code, rows, headers = time.perf_counter(), OK, 0, [_JSON]
        try:
            answer, rows = self._answer(self._model, await _body(receive))
        except _RefusedError as error:
            code, message = error.args
            answer = _failure(self._name, code, message)
        except _GoneError:
            return
        except _UnreadError as error:
            code, answer, headers = BAD_REQUEST, _failure(self._name, BAD_REQUEST, str(error)), [_JSON, _CLOSE]
        except Exception:
            _log.exception("a request to %s could not be answered", scope["path"])
            code, answer = SYSTEM_ERROR, _failure(self._name, SYSTEM_ERROR, "system error; the service's log says more")
        self._figures.add(self._name, code, rows, time.perf_counter() - start)
        headers.append((b"content-length", b"%d" % len(answer)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes:
    """Read a request's body."""
    message = await receive()
    if message.get("more_body"):
        return await _long_body(message, receive)
    if message["type"] == "http.disconnect":
        raise _GoneError
    body: bytes = message.get("body", b"")
    return body


async def _long_body(message: MutableMapping[str, Any], receive: Receive) -> bytes:
    """Read a body that comes in parts; what is too large is read and dropped, up to a bound."""
    parts, size = [message.get("body", b"")], len(message.get("body", b""))
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while message.get("more_body") and size <= MOST_DROPPED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneError
                part = message.get("body", b"")
                size += len(part)
                if size <= MOST_BYTES:
                    parts.append(part)
                else:
                    parts.clear()
    except TimeoutError:
        raise _UnreadError(f"the request did not arrive within {BODY_SECONDS} s") from None
    if size > MOST_BYTES:
        raise _UnreadError(f"the request is larger than {MOST_BYTES} bytes")
    return b"".join(parts)


def _failure(call: str, code: int, message: str) -> bytes:
    """Return the answer to a request that failed, as FATE-Serving shapes it."""
    batched: dict[str, Any] = {"batchDataList": [], "singleInferenceResultMap": {}} if call == CALLS[1] else {}
    return orjson.dumps({"retcode": code, "retmsg": message, "data": {}, "flag": 0, **batched})


def _no_such_thing(_: Request, error: Exception) -> Response:
    """Answer what asks for a path or a method that is not here."""
    assert isinstance(error, HTTPException)
    code = UNSUPPORTED if error.status_code == 405 else NOT_FOUND
    return Response(_failure("", code, error.detail), error.status_code, error.headers, "application/json")


class _Front:
    """Lets through only who knows the token, where there is one; the service's health is for everybody.

    The two calls go straight to their answers: the framework's routing and middleware take as long as a score does.
    """

    def __init__(self, app: ASGIApp, calls: Mapping[str, ASGIApp], token: str | None, figures: _Figures) -> None:
        self._app, self._calls, self._figures = app, calls, figures
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if self._token is not None and path != HEALTH and not self._knows(scope["headers"], self._token):
            self._figures.requests["", NOT_AUTHORISED] += 1
            text = _failure(
                "", NOT_AUTHORISED, "no token, or a wrong one; send the header Authorization: Bearer <token>"
            )
            headers = {"www-authenticate": "Bearer", "connection": "close"}
            await Response(text, 401, headers, "application/json")(scope, receive, send)
            return
        app = self._calls.get(path, self._app) if scope["method"] == "POST" else self._app
        await app(scope, receive, send)

    @staticmethod
    def _knows(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bool:
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        return hmac.compare_digest(token.strip(), wanted) and scheme.lower() == b"bearer"


class _Figures(Collector):
    """What the service counts, for Prometheus; the library's own counters would take longer than a score does."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self._rows: Counter[str] = Counter()
        self._seconds = dict.fromkeys(CALLS, 0.0)
        self._buckets = {call: [0] * (len(BUCKETS) + 1) for call in CALLS}

    def add(self, call: str, code: int, rows: int, seconds: float) -> None:
        """Count an answer."""
        self.requests[call, code] += 1
        self._rows[call] += rows
        self._seconds[call] += seconds
        self._buckets[call][bisect_left(BUCKETS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        """Give the figures in the library's form."""
        requests = CounterMetricFamily("bench_serve_requests", "Requests answered", labels=["call", "retcode"])
        rows = CounterMetricFamily("bench_serve_rows", "Rows scored", labels=["call"])
        seconds = HistogramMetricFamily("bench_serve_seconds", "From a request's head to its answer", labels=["call"])
        for (call, code), count in self.requests.items():
            requests.add_metric([call, str(code)], count)
        for call, counts in self._buckets.items():
            rows.add_metric([call], self._rows[call])
            up_to = [sum(counts[: place + 1]) for place in range(len(counts))]
            bounds = [*map(str, BUCKETS), "+Inf"]
            seconds.add_metric([call], list(zip(bounds, up_to, strict=True)), self._seconds[call])
        yield from (requests, rows, seconds)
