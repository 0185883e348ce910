"""Serve a model of a run over HTTP, the way FATE-Serving answers (docs/serving.md)."""

from __future__ import annotations

import argparse
import ipaddress
import json
import math
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from bench.errors import UserError
from bench.results import store
from bench.results.record import RunRecord
from bench.serve.app import application, served
from bench.serve.openapi import describe

SHORTEST_TOKEN = 16

SHUTDOWN_SECONDS = 5

WAITING_CONNECTIONS = 2048


def _serve(chosen: argparse.Namespace) -> None:
    """Serve until a signal ends it.

    Raises UserError where there is no such model, the token does not do, or the address is not to be had.
    """
    token = None if chosen.token_file is None else read_token(chosen.token_file)
    if token is None and not _is_loopback(chosen.host):
        raise UserError(
            f"--host: {chosen.host} can be reached from other machines, so callers need a token; "
            "name a file that holds it with --token-file"
        )
    app, name = load(chosen.run, chosen.case, chosen.repeat, chosen.model, token)
    listener = listen(chosen.host, chosen.port)
    host, port = listener.getsockname()[:2]
    at = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"{name} is served at {at} (description: {at}/openapi.json); Ctrl-C ends it", flush=True)
    run(app, listener)


def load(folder: Path, case: str, repeat: int | None, name: str | None, token: str | None) -> tuple[ASGIApp, str]:
    """Return the service of a model of a run, and what the model is called.

    Raises UserError where the run has no such model, or its file is damaged.
    """
    record = store.load(folder)
    path = model_file(folder, record, case, repeat, name)
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        _check(model)
        service = served(case, path.stem, record.run_id, model)
        description = describe(case, model, token is not None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is no model that can be served ({error!r}); the run must be repeated") from error
    return application(service, description, token), f"model {model['model']} of case {case}, repeat {model['repeat']},"


def model_file(folder: Path, record: RunRecord, case: str, repeat: int | None, name: str | None) -> Path:
    """Return the file of the model that is asked for, docs/results.md.

    Raises UserError where the run has no such model.
    """
    entry = next((entry for entry in record.cases if entry.id == case), None)
    if entry is None:
        offered = ", ".join(entry.id for entry in record.cases)
        raise UserError(f"--case: {folder} has no case {case!r}; it has {offered or 'none'}")
    done = entry.repeats_done
    if not done:
        raise UserError(f"--case: {case!r} of {folder} has no finished repeat (it is {entry.status})")
    if repeat is not None and repeat not in done:
        raise UserError(f"--repeat: {case!r} of {folder} has no finished repeat {repeat}; it has {_listed(done)}")
    prefix, suffix = f"{case}.{done[0] if repeat is None else repeat}.", ".json"
    try:
        names = sorted(path.name for path in (folder / "models").iterdir() if path.name.startswith(prefix))
    except OSError as error:
        raise UserError(f"{folder / 'models'}: cannot be read ({error.strerror})") from error
    models = [found.removeprefix(prefix).removesuffix(suffix) for found in names if found.endswith(suffix)]
    if not models:
        raise UserError(f"{folder / 'models'}: has no model of case {case!r}; the run must be repeated")
    if name is None and len(models) > 1:
        raise UserError(f"--model: {case!r} of {folder} has several models; choose from {_listed(models)}")
    if name is not None and name not in models:
        raise UserError(f"--model: {case!r} of {folder} has no model {name!r}; it has {_listed(models)}")
    return folder / "models" / f"{prefix}{models[0] if name is None else name}{suffix}"


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names))


def _check(model: dict[str, Any]) -> None:
    """Check that the numbers of a model fit together.

    Raises ValueError where they do not, KeyError or TypeError where some are not there.
    """
    features = model["features"]
    if list(model["preprocessing"]["features"]) != list(features):
        raise ValueError("its preprocessing makes other features")
    for name in ("coefficients", "means", "deviations"):
        numbers = model[name]
        if len(numbers) != len(features) or not all(map(math.isfinite, numbers)):
            raise ValueError(f"its {name} do not go with its features")
    if not math.isfinite(model["intercept"]) or not all(model["deviations"]):
        raise ValueError("its intercept or a deviation cannot be used")


def read_token(path: Path) -> str:
    """Read the token that callers must send.

    Raises UserError, which does not show the token, where it does not do.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds more than ASCII"
        raise UserError(f"--token-file: {path} cannot be read ({reason})") from error
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise UserError(
            f"--token-file: {path} must hold one line of at least {SHORTEST_TOKEN} characters without spaces; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; connections wait in it until the service takes them.

    Raises UserError where the address is wrong or taken.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port: {port} is not between 0 and 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--host: {host!r} is no address of this machine ({reason})") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another with --host or --port"
        ) from error
    return listener


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve on a socket until SIGTERM or Ctrl-C; requests that are being answered get some seconds to end."""
    # uvicorn takes these signals while it serves and sends them to itself again at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        backlog=WAITING_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
