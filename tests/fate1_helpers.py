"""A FATE Flow 1.x that is none: an HTTP server on loopback that answers as FATE's documentation and source say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from bench.fate1 import flow
from bench.fate1.flow import Flow

JOB = "202611061608424372620"
PARTIES = [("guest", "9999"), ("host", "9998"), ("host", "10000"), ("arbiter", "10000")]


# --- a FATE Flow ------------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Answers ``replies[path]``: a dict as JSON, (status, text) as HTML, None by hanging up; or a function's result."""

    daemon_threads = True

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def flow(self) -> Flow:
        return Flow("127.0.0.1", self.server_address[1], patience=5.0)

    def bodies(self, path: str) -> list[Any]:
        return [body for name, body in self.asked if name == path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that was ended by its test


@contextmanager
def serving() -> Iterator[Server]:
    """Give a server that answers, and ends with the block."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path.removeprefix("/v1/")
        body = json.loads(raw) if self.headers["Content-Type"] == "application/json" else (self.path, self.headers, raw)
        self.server.asked.append((path, body))
        reply = self.server.replies.get(path, (404, "<!doctype html>\n<title>404 Not Found</title>"))
        reply = reply(body) if callable(reply) else reply
        if reply is None:
            self.close_connection = True
            return
        status, text, kind = (
            (200, json.dumps(reply), "application/json") if isinstance(reply, dict) else (*reply, "text/html")
        )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        pass


def ok(data: Any = None, **more: Any) -> dict[str, Any]:
    return {"retcode": 0, "retmsg": "success", **({} if data is None else {"data": data}), **more}


def refused(retcode: int, message: str, **more: Any) -> dict[str, Any]:
    return {"retcode": retcode, "retmsg": message, **more}


def task(component: str, role: str, party: str, status: str, elapsed: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "f_job_id": JOB,
        "f_component_name": component,
        "f_role": role,
        "f_party_id": party,
        "f_status": status,
        "f_party_status": status,
        "f_elapsed": elapsed,
        "f_start_time": 1636186140000,
        **more,
    }


def tasks_of(component: str, **status_of: str) -> list[dict[str, Any]]:
    """A component's tasks: all running, but for roles that are named otherwise (host_9998="waiting")."""
    return [task(component, *who, status_of.get("_".join(who), "running")) for who in PARTIES]


def in_turn(*replies: Any) -> Callable[[Any], Any]:
    """One reply after the other; the last one for ever."""
    left = list(replies)
    return lambda _body: left.pop(0) if len(left) > 1 else left[0]


def loss_reply(values: list[float]) -> dict[str, Any]:
    # Rows come in the order of their keys as text.
    return ok(
        sorted([[str(i), value] for i, value in enumerate(values)]), meta={"metric_type": "LOSS", "name": "train"}
    )


def finished(server: Server, version: str = "1.8.0", iterations: int = 3) -> None:
    """Let the server be a FATE Flow where the job is submitted, runs and succeeds."""
    done = [task(c, *who, "success", 12345) for c in flow.COMPONENTS for who in PARTIES[:3]]
    model = {
        "bestIteration": -1,
        "encryptedWeight": {},
        "header": ["x0", "x1"],
        "intercept": 0.25,
        "isConverged": False,
        "iters": iterations,
        "lossHistory": [],
        "needOneVsRest": False,
        "weight": {"x1": -0.5, "x0": 1.5},
    }
    evaluation = {
        "train": {
            "homo_lr_0": {
                "data": [["auc", 0.695], ["ks", 0.28]],
                "meta": {"metric_type": "EVALUATION_SUMMARY", "name": "homo_lr_0"},
            },
            "homo_lr_0_roc": {"data": [[0.0, 0.0], [1.0, 1.0]], "meta": {"metric_type": "ROC_EVALUATION"}},
        }
    }
    server.replies |= {
        "version/get": ok({"API": "v1", "FATE": version}),
        "table/table_info": ok({"table_name": "loans_9999", "namespace": "experiment", "exist": 1, "count": 7}),
        "job/submit": ok({"job_id": JOB, "model_info": {"model_id": "guest-9999#model"}}, jobId=JOB),
        "job/query": in_turn(
            *(ok([{"f_job_id": JOB, "f_status": status, "f_elapsed": None}]) for status in ("waiting", "running")),
            ok([{"f_job_id": JOB, "f_status": "success", "f_elapsed": 61000}]),
        ),
        "job/task/query": in_turn(refused(101, "find task failed"), ok(tasks_of("homo_lr_0")), ok(done)),
        "tracking/component/metric_data": loss_reply([0.69 - i / 100 for i in range(12)]),
        "tracking/component/metric/all": ok(evaluation),
        "tracking/component/output/model": ok(model, meta={"module_name": "HomoLR"}),
        "job/stop": ok(),
    }


def running(server: Server, tasks: list[dict[str, Any]], version: str = "1.8.0") -> None:
    """Let the job run, and never end."""
    finished(server, version)
    server.replies["job/query"] = ok([{"f_job_id": JOB, "f_status": "running"}])
    server.replies["job/task/query"] = ok(tasks)
