"""Requests a second and latency of a served model, against a handler that returns a constant.

    python tests/perf/serve.py [--seconds 0.5] [--rounds 3] [--connections 8]

All are applications of the same framework on the same server, each in a process of its own. The constant is what the
service answers to the first request, so the same bytes travel both ways. "handler" returns it as one writes a handler
with the framework; "bare" does so below the framework's request and response, without reading the request, as nothing
that serves could; "parsing" is "bare" that takes in the request and reads its JSON, as whatever answers it must. They
are asked turn by turn over open connections, each with one request on its way at a time (a closed loop: it waits for
slow answers, so the latencies are those of a server that is as busy as it can be). Medians over the rounds; CPU is the
server's, and says more than the rate where others use the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import psutil

LEAST_RATIO = 0.7
SUITE = """\
title: A model to serve
repeats: 1
time_limit: 120
datasets: {loans: {kind: synthetic, rows: 5000}}
defaults: {balance: {method: none}, training: {epochs: 30}}
cases: [{id: loans, engine: centralised}]
"""
PATHS = {"features": "inference", "raw": "inference", "batch-100": "batchInference"}


def constant(answer: Path, way: str) -> None:
    """Serve the content of a file, whatever is asked."""
    import orjson
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from bench.serve import service

    body = answer.read_bytes()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def handler(_: Request) -> Response:
        return Response(body, media_type="application/json")

    class Bare:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if way == "parsing":
                parts = [message := await receive()]
                while message["more_body"]:
                    parts.append(message := await receive())
                orjson.loads(b"".join(part["body"] for part in parts))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    endpoint = handler if way == "handler" else Bare()
    routes = [Route(f"/federation/v1/{path}", endpoint, methods=["POST"]) for path in set(PATHS.values())]
    listener = service.listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    service.run(Starlette(routes=routes), listener)


class Server(NamedTuple):
    """A server that runs."""

    port: int
    process: psutil.Process

    def cpu(self) -> float:
        """Return the CPU seconds it has taken."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def started(*arguments: object) -> Iterator[Server]:
    """Start a server."""
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield Server(int(line.split("http://127.0.0.1:")[1].split()[0]), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


def trained(folder: Path) -> Path:
    """Train a model on synthetic loans; return the run."""
    from bench.run.__main__ import main

    (folder / "suite.yml").write_text(SUITE)
    assert main(["--suite", str(folder / "suite.yml"), "--out", str(folder / "out")]) == 0
    (run,) = (folder / "out").iterdir()
    return run


def loan(rng: random.Random) -> dict[str, Any]:
    """Return a loan as in the raw file."""
    return {
        "loan_amnt": rng.randrange(1000, 35000, 25),
        "term": rng.choice([" 36 months", " 60 months"]),
        "int_rate": f"{rng.uniform(6, 25):.2f}%",
        "installment": round(rng.uniform(40, 1200), 2),
        "emp_length": rng.choice(["10+ years", "< 1 year", "3 years"]),
        "home_ownership": rng.choice(["MORTGAGE", "RENT", "OWN"]),
        "annual_inc": round(rng.uniform(20000, 200000), 2),
        "verification_status": rng.choice(["Verified", "Not Verified"]),
        "purpose": rng.choice(["car", "credit_card", "debt_consolidation"]),
        "dti": round(rng.uniform(0, 30), 2),
        "delinq_2yrs": rng.randrange(3),
        "inq_last_6mths": rng.randrange(4),
        "open_acc": rng.randrange(2, 30),
        "pub_rec": rng.randrange(2),
        "revol_bal": rng.randrange(50000),
        "revol_util": f"{rng.uniform(0, 100):.1f}%",
        "total_acc": rng.randrange(3, 60),
    }


def bodies(run: Path) -> dict[str, list[bytes]]:
    """Return 50 requests of each kind."""
    from bench.data.record import reader

    rng = random.Random(1)
    model = json.loads((run / "models" / "loans.1.centralised.json").read_text())
    read, names = reader(model["preprocessing"]), model["features"]

    def request(content: dict[str, Any]) -> bytes:
        return json.dumps({"head": {"serviceId": "loans"}, "body": content}).encode()

    def one(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return {"featureData": make(), "sendToRemoteFeatureData": {"id": str(rng.randrange(10**9))}}

    def features() -> dict[str, Any]:
        return dict(zip(names, read(loan(rng)), strict=True))

    return {
        "features": [request(one(features)) for _ in range(50)],
        "raw": [request(one(lambda: loan(rng))) for _ in range(50)],
        "batch-100": [
            request({"batchDataList": [{"index": index, **one(features)} for index in range(100)]}) for _ in range(50)
        ],
    }


def http(kind: str, body: bytes) -> bytes:
    """Return a request as it travels."""
    return (
        f"POST /federation/v1/{PATHS[kind]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def ask(port: int, requests: list[bytes], seconds: float, connections: int) -> tuple[list[float], float, bytes]:
    """Ask over some connections for some seconds; return each answer's latency, the time taken and the last body."""
    turn, latencies, body = cycle(requests), [], b""
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, [bytearray(), time.perf_counter()])
            connection.sendall(next(turn))
        start = time.perf_counter()
        while selector.get_map():
            for key, _ in selector.select(0):  # never asleep: to wake it would take the server time
                connection, (received, sent) = key.fileobj, key.data
                part = connection.recv(1 << 18)
                assert part, "the server closed a connection"
                received += part
                end = received.find(b"\r\n\r\n") + 4
                if end < 4:
                    continue
                length = int(received.split(b"content-length: ", 1)[1].split(b"\r", 1)[0])
                if len(received) < end + length:
                    continue
                now = time.perf_counter()
                latencies.append(now - sent)
                body = bytes(received[end:])
                received.clear()
                if now - start < seconds:
                    key.data[1] = now
                    connection.sendall(next(turn))
                else:
                    selector.unregister(connection)
                    connection.close()
        return latencies, time.perf_counter() - start, body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--constant", nargs=2, metavar=("FILE", "WAY"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.constant:
        constant(Path(chosen.constant[0]), chosen.constant[1])
        return
    with tempfile.TemporaryDirectory() as name:
        run, answer = trained(Path(name)), Path(name) / "answer"
        print("a served model against handlers that return a constant, each in a process of its own")
        columns = ("requests/s", 11), ("p50 ms", 9), ("p99 ms", 9), ("CPU us", 9), ("ratio", 8), ("of CPU", 8)
        print("request".ljust(11) + "server".ljust(9) + "".join(f"{title:>{width}}" for title, width in columns))
        with started("-m", "bench.serve", run, "--case", "loans", "--port", "0") as service:
            for kind, contents in bodies(run).items():
                requests = [http(kind, body) for body in contents]
                answer.write_bytes(ask(service.port, requests[:1], 0, 1)[2])
                with (
                    started(__file__, "--constant", answer, "handler") as handler,
                    started(__file__, "--constant", answer, "bare") as bare,
                    started(__file__, "--constant", answer, "parsing") as parsing,
                ):
                    servers = {"service": service, "handler": handler, "bare": bare, "parsing": parsing}
                    compare(kind, servers, requests, chosen)
    print(f"target: {LEAST_RATIO} of the handler's requests a second or more for one record; a batch cannot reach it,")
    print("since to read its JSON alone takes longer than the handler does (parsing)")


def compare(kind: str, servers: dict[str, Server], requests: list[bytes], chosen: argparse.Namespace) -> None:
    """Ask all servers turn by turn, and print a line each."""
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    order = list(servers)
    for _ in range(chosen.rounds):
        order.reverse()  # none is always first
        for name in order:
            server = servers[name]
            ask(server.port, requests, 0.1, chosen.connections)
            before = server.cpu()
            latencies, seconds, body = ask(server.port, requests, chosen.seconds, chosen.connections)
            cpu = (server.cpu() - before) / len(latencies)
            assert body.startswith(b'{"retcode":0,'), body
            percentiles = statistics.quantiles(latencies, n=100)
            rounds[name].append((len(latencies) / seconds, percentiles[49] * 1e3, percentiles[98] * 1e3, cpu * 1e6))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in rounds.items()}
    ours = medians["service"]
    for name, (rate, p50, p99, cpu) in medians.items():
        shares = "" if name == "service" else f"{ours[0] / rate:>8.2f}{cpu / ours[3]:>8.2f}"
        print(f"{kind:<11}{name:<9}{rate:>11,.0f}{p50:>9.2f}{p99:>9.2f}{cpu:>9.0f}{shares}", flush=True)


if __name__ == "__main__":
    main()
