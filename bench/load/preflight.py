"""What is asked and where, checked before the load: a wrong address or token is one line, not thousands of errors."""

from __future__ import annotations

import json
import ssl
import statistics
import time
from typing import Any

import httptools
import orjson

from bench.errors import UserError
from bench.load import requests
from bench.load.exchange import Address, Connection, TooLateError, as_sent
from bench.load.requests import Asked

TRIES = 10  # requests one after the other, to know how long one takes
VERSION_1 = "/v1/version/get"


def check(to: Address, url: str, target: str, calls: list[Asked], token: str | None, seconds: float) -> float:
    """Ask a few times, one after the other; return the median seconds until the answer.

    Raises UserError where nobody answers within ``seconds``, or not as a service of this kind does.
    """
    connection = Connection(to, seconds)
    taken = []
    try:
        for number in range(TRIES):
            asks = calls[number % len(calls)]
            began = time.monotonic()
            status, body = connection.ask(as_sent(to, asks.method, asks.path, asks.body, token))
            taken.append(time.monotonic() - began)
            if (code := requests.outcome(status, body)) != requests.OK:
                raise UserError(f"{url}: {_refused(to, target, asks, code, body)}")
    except TooLateError:
        raise UserError(f"{url}: no answer within {seconds:g} s; is it the right address?") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", None) or error.reason or error
        raise UserError(
            f"{url}: no secure connection ({reason}); correct http or https, or let this machine trust the service's "
            "certificate (SSL_CERT_FILE)"
        ) from None
    except (OSError, UnicodeError) as error:  # the latter: a name that no host can have
        reason = getattr(error, "strerror", None) or str(error) or "it closes the connection"
        raise UserError(f"{url}: nobody answers there ({reason}); start the service, or correct the address") from None
    except httptools.HttpParserError:
        raise UserError(f"{url}: what answers there is no HTTP service; correct the address") from None
    finally:
        connection.close()
    return statistics.median(taken)


def answers(to: Address, asks: Asked, token: str | None, seconds: float) -> bool:
    """Say whether the service answers at all."""
    connection = Connection(to, seconds)
    try:
        connection.ask(as_sent(to, asks.method, asks.path, asks.body, token))
    except TooLateError:
        return True  # it is slow, but takes connections
    except (OSError, httptools.HttpParserError):
        return False
    finally:
        connection.close()
    return True


def _refused(to: Address, target: str, asks: Asked, code: int, body: bytes) -> str:
    """Say what an answer that is none means, and what to do."""
    kind = "FATE-Serving" if target == "serving" else "FATE Flow"
    if code in (-401, -403):
        return f"the service wants another token (HTTP {-code}); name the file that holds it with --token-file"
    if code == -404 and target == "flow" and _is_version_1(to):
        return "this is FATE Flow 1.x, whose calls are others; only 2.x can be loaded"
    if code < 0:
        said = f"{requests.error_name(code)} from {asks.path}"
        return f"does not answer as {kind} does ({said}); is it the right address and --target?"
    return f"{requests.error_name(code)} from {asks.path}: {_message(body)}; is it the service of --run and --case?"


def _is_version_1(to: Address) -> bool:
    connection = Connection(to, 5.0)
    try:
        status, body = connection.ask(as_sent(to, "POST", VERSION_1, b"{}", None))
        return status == 200 and "retcode" in json.loads(body)
    except (OSError, ValueError, TypeError, TooLateError, httptools.HttpParserError):
        return False
    finally:
        connection.close()


def _message(body: bytes) -> str:
    """Return what the service says is wrong, in one line."""
    answer: Any = orjson.loads(body)
    items = [item for item in answer.get("batchDataList") or () if isinstance(item, dict)]
    messages = [answer.get("retmsg"), answer.get("message"), *(item.get("retmsg") for item in items)]
    said = next(filter(None, messages), "without a message")
    text = " ".join(str(said).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
