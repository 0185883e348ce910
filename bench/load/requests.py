"""What is asked of each kind of service, and what its answers say. Without NumPy: it is used where locust runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from bench.i18n.language import gettext_noop

OK = 0
# What went wrong where no return code says so. HTTP statuses are negative: -404.
NO_CONNECTION, TOO_LATE, UNREADABLE = -1, -2, -3
_NAMES = {
    NO_CONNECTION: gettext_noop("connection failed"),
    TOO_LATE: gettext_noop("no answer in time"),
    UNREADABLE: gettext_noop("answer unreadable"),
}

SINGLE, BATCH = "/federation/v1/inference", "/federation/v1/batchInference"
VERSION, JOBS = "/v2/server/fateflow", "/v2/job/list/query?limit=10&page=1"
DISTINCT = 50  # records differ, so that nothing on the way can answer from memory


class Asked(NamedTuple):
    """A request, and under which name its answers are counted."""

    name: str
    method: str
    path: str
    body: bytes = b""


def error_name(code: int) -> str:
    """Say in words what a code other than 0 means."""
    if code in _NAMES:
        return _NAMES[code]
    return f"HTTP {-code}" if code < 0 else f"retcode {code}"


def flow() -> list[Asked]:
    """Return what is asked of a FATE Flow 2.x: its version and its latest jobs, in turn."""
    return [Asked("version", "GET", VERSION), Asked("job query", "GET", JOBS)]


def serving(model: Mapping[str, Any], service: str, rows: int, raw: bool, seed: int = 1) -> list[Asked]:
    """Return requests for the scores of made-up records: one record each, or batches of ``rows`` where that is > 1.

    ``model`` is the content of a model file (docs/results.md). Records hold its features, or with ``raw`` the columns
    of the file that it was trained on. Numbers are drawn from normal distributions with the training's means and
    deviations, without the sign; categories are drawn evenly.

    Raises KeyError, TypeError, ValueError or AttributeError where ``model`` is none.
    """
    make = maker(model, raw, seed)
    requests = []
    for number in range(DISTINCT):
        if rows == 1:
            content: dict[str, Any] = {"featureData": make(), "sendToRemoteFeatureData": {"id": str(number)}}
        else:
            content = {
                "batchDataList": [
                    {"index": index, "featureData": make(), "sendToRemoteFeatureData": {"id": str(index)}}
                    for index in range(rows)
                ]
            }
        body = json.dumps({"head": {"serviceId": service}, "body": content}, allow_nan=False).encode()
        requests.append(
            Asked("inference" if rows == 1 else "batchInference", "POST", SINGLE if rows == 1 else BATCH, body)
        )
    return requests


def maker(model: Mapping[str, Any], raw: bool, seed: int) -> Callable[[], dict[str, Any]]:
    """Return a function that makes up a record for a model each time it is called."""
    draw = random.Random(seed)  # noqa: S311
    preprocessing = model["preprocessing"]
    categories: Mapping[str, list[str]] = preprocessing.get("categories", {})
    rules: Mapping[str, str] = preprocessing.get("numbers", {})
    encoded = {f"{column}={value}" for column, values in categories.items() for value in values}
    moments = {
        name: (float(mean), float(deviation))
        for name, mean, deviation in zip(model["features"], model["means"], model["deviations"], strict=True)
        if name not in encoded
    }

    def make() -> dict[str, Any]:
        record: dict[str, Any] = {}
        for name, (mean, deviation) in moments.items():
            value = draw.gauss(mean, deviation)
            record[name] = _as_in_file(rules.get(name, "number"), value) if raw else round(abs(value), 4)
        for column, values in categories.items():
            chosen = draw.choice(values)
            if raw:
                record[column] = chosen
            else:
                record.update({f"{column}={value}": int(value == chosen) for value in values})
        return record

    return make


def _as_in_file(rule: str, value: float) -> str | float:
    """Write a number as the file does in which its column has this rule (bench/data/record.py)."""
    value = abs(value)
    if rule == "percent":
        return f"{value:.2f}%"
    if rule == "months":
        return " 60 months" if value > 48 else " 36 months"
    if rule == "years":
        return "10+ years" if value >= 10 else "< 1 year" if value < 1 else f"{value:.0f} years"
    return round(value, 2)


def outcome(status: int, body: bytes) -> int:
    """Return the code of an answer: 0 where it says that all is well, else the service's or HTTP's.

    FATE-Serving has ``retcode``, which its documents give four digits and its source three; any that is not 0 is an
    error, also that of a single record of a batch. FATE Flow has ``code``.
    """
    if status != 200:
        return -status
    try:
        answer = orjson.loads(body)
        codes = [answer["retcode"] if "retcode" in answer else answer["code"]]
        codes += [item["retcode"] for item in answer.get("batchDataList") or ()]
        code = next((code for code in map(int, codes) if code != OK), OK)
        return code if code >= OK else UNREADABLE
    except (ValueError, LookupError, TypeError, AttributeError):
        return UNREADABLE
