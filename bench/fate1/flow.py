"""FATE Flow 1.8 to 1.11 by its REST API: single requests, and what their replies mean.

Every request is a POST of JSON to ``/v1/...``; every reply is JSON with ``retcode`` (0: done), ``retmsg`` and mostly
``data``. The shapes are those of FATE Flow 1.8.0 and 1.11.2, its documentation and its source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.errors import CaseError, UserError

COMPONENTS = ("reader_0", "data_transform_0", "homo_lr_0", "evaluation_0")
ENDED = ("success", "pass", "failed", "canceled", "timeout")
# From this version on HomoLR trains with PyTorch, and its Paillier mode is gone.
TORCH_SINCE = (1, 10)


class NoAnswerError(CaseError):
    """FATE Flow cannot be reached, or what answers is not FATE Flow. It may be again in a while."""


class RefusalError(CaseError):
    """FATE Flow answered, but did not do as asked. ``reply`` is its whole answer."""

    def __init__(self, message: str, reply: dict[str, Any]) -> None:
        super().__init__(message)
        self.reply = reply


@dataclass(frozen=True)
class Flow:
    """Where a party's FATE Flow listens for REST requests, and how many seconds it may be silent in a single one."""

    host: str
    port: int
    patience: float = 30.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def ask(flow: Flow, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a request to ``/v1/<path>`` and return the reply.

    Raises NoAnswerError when none comes that is FATE Flow's, RefusalError when its retcode is not 0.
    """
    return _send(flow, path, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _send(flow: Flow, path: str, body: bytes | Iterator[bytes], headers: dict[str, str]) -> dict[str, Any]:
    # Straight to the address: a proxy of this machine for the web does not know the federation's network.
    try:
        with closing(HTTPConnection(flow.host, flow.port, timeout=flow.patience)) as connection:
            connection.request("POST", f"/v1/{path}", body, headers)
            response = connection.getresponse()
            raw = response.read()
    except (OSError, HTTPException) as error:
        said = str(error) or type(error).__name__
        raise NoAnswerError(
            f"FATE Flow at {flow} does not answer ({said}); is it running, and its port open?"
        ) from None
    path = path.partition("?")[0]
    try:
        reply = json.loads(raw)
    except ValueError:
        reply = None
    if not isinstance(reply, dict) or "retcode" not in reply:
        said = one_line(raw[:500].decode("utf-8", "replace")) or "nothing"
        raise NoAnswerError(
            f"{flow} does not answer as FATE Flow 1.x does (HTTP {response.status} to /v1/{path}): {said}"
        )
    if reply["retcode"] != 0:
        said = _reason(str(reply.get("retmsg", "")))
        raise RefusalError(f"FATE Flow at {flow} refuses {path} (retcode {reply['retcode']}): {said}", reply)
    return reply


def _reason(message: str) -> str:
    """Return the last line of a message, which may be a traceback; of a job that a party did not take, that party."""
    unreached = re.findall(r"(\d+): \{'retcode': [^,]*, 'retmsg': ['\"]Federated schedule error, ([^'\"]*)", message)
    if unreached:
        return " and ".join(f"party {party} cannot be reached: {said}" for party, said in dict(unreached).items())
    return one_line(message, last=True) or "it does not say why"


def one_line(text: str, last: bool = False) -> str:
    """Return the first or the last line that says anything, at most 300 characters of it."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return (lines[-1 if last else 0] if lines else "")[:300]


def number(version: str) -> tuple[int, int]:
    """Return (1, 8) for "1.8.0", (0, 0) for what is no version."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def version_of(flow: Flow) -> str:
    """Ask FATE Flow for FATE's version, for example "1.8.0".

    Raises UserError when it is not from 1.8 to 1.11; NoAnswerError when it is FATE 2, which does not know the request.
    """
    data = ask(flow, "version/get", {"module": "FATE"}).get("data")
    version = str((data.get("FATE") if isinstance(data, dict) else None) or "")
    if not (1, 8) <= number(version) < (2, 0):
        raise UserError(f"FATE Flow at {flow} says it is FATE {version or '(no version)'}; this is for 1.8 to 1.11")
    return version


def check_table(flow: Flow, namespace: str, name: str) -> None:
    """Raise UserError unless the party behind ``flow`` has the table; other parties' tables cannot be seen from it."""
    data = expect(ask(flow, "table/table_info", {"namespace": namespace, "table_name": name}), "data", dict)
    # The code says exist, the documentation exists.
    if not data.get("exist", data.get("exists", 1)):
        raise UserError(
            f"table {namespace}/{name}: the party behind {flow} has none of that name; upload it there first"
        )


def start_upload(flow: Flow, file: Path, namespace: str, name: str, partitions: int) -> str:
    """Send a CSV (first line: names, first column: ids) to a party's own FATE Flow; return the job that stores it.

    Raises UserError without the file, RefusalError when there is a table of that name.
    """
    settings = {"file": "table.csv", "id_delimiter": ",", "head": 1, "partition": partitions}
    settings |= {"namespace": namespace, "table_name": name}
    boundary = "----------------------------bench"
    part = 'Content-Disposition: form-data; name="file"; filename="table.csv"\r\nContent-Type: application/octet-stream'
    head, tail = f"--{boundary}\r\n{part}\r\n\r\n".encode(), f"\r\n--{boundary}--\r\n".encode()
    try:
        rows = file.open("rb")
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    with rows:
        size = len(head) + file.stat().st_size + len(tail)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(size)}
        # The settings are the query, as JSON: so FATE's own client does it, and numbers stay numbers.
        path = f"data/upload?{quote(json.dumps(settings), safe='')}"
        reply = _send(flow, path, (block for blocks in ([head], _blocks(rows), [tail]) for block in blocks), headers)
    data = expect(reply, "data", dict)
    if data.get("code", 0) != 0:  # 1.8 says retcode 0 also when the job that stores the rows was not accepted
        raise RefusalError(f"FATE Flow at {flow} refuses data/upload: {_reason(str(data.get('message', '')))}", reply)
    return str(expect(reply, "jobId"))


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(1 << 20):
        yield block


def submit(flow: Flow, body: dict[str, Any]) -> str:
    """Submit a job (``dsl`` and ``runtime_conf``) to the guest's FATE Flow and return its id."""
    return str(expect(ask(flow, "job/submit", body), "jobId"))


@dataclass
class Task:
    """A component at a party. ``seconds`` by the party's own clock, None until it has ended; ``error``: one line."""

    component: str
    role: str
    party: str
    status: str
    seconds: float | None
    error: str

    @property
    def where(self) -> str:
        """Name its party as the kit does."""
        return f"party {self.party} ({self.role})"


def query(flow: Flow, job: str, role: str, party: str) -> tuple[str, float | None, list[Task]]:
    """Return the job's status, its seconds once it has ended, and its tasks in the order of the job.

    The guest's FATE Flow knows the tasks of all parties.
    """
    reply = ask(flow, "job/query", {"job_id": job, "role": role, "party_id": party})
    jobs = expect(reply, "data", list)
    if not jobs:
        raise RefusalError(f"FATE Flow at {flow} knows no job {job} of party {party} ({role})", reply)
    status = str(expect(jobs[0], "f_status"))
    try:
        found = expect(ask(flow, "job/task/query", {"job_id": job}), "data", list)
    except RefusalError:  # this is how it says that there are none yet
        found = []
    tasks = [_task(entry) for entry in found if isinstance(entry, dict)]
    return status, _seconds(jobs[0]), sorted(tasks, key=lambda t: (position(t.component), t.role != "guest", t.party))


def _task(entry: dict[str, Any]) -> Task:
    def of(*names: str) -> str:
        return str(next((entry[name] for name in names if entry.get(name)), "?"))

    # f_party_status is the party's own, f_status the one of all parties together.
    status, error = of("f_party_status", "f_status"), one_line(str(entry.get("f_error_report") or ""), last=True)
    return Task(of("f_component_name"), of("f_role"), of("f_party_id"), status, _seconds(entry), error)


def _seconds(entry: dict[str, Any]) -> float | None:
    milliseconds = entry.get("f_elapsed")
    return milliseconds / 1000 if isinstance(milliseconds, (int, float)) else None


def position(component: str) -> int:
    """Return where in the job a component stands."""
    return COMPONENTS.index(component) if component in COMPONENTS else len(COMPONENTS)


def losses(flow: Flow, job: str, guest: str) -> list[float] | None:
    """Return the losses that the guest has logged so far, over its own rows; None where FATE Flow has none."""
    where = {"job_id": job, "role": "guest", "party_id": guest, "component_name": "homo_lr_0"}
    data = tracked(flow, "metric_data", {**where, "metric_namespace": "train", "metric_name": "loss"})
    try:
        return [value for _, value in sorted((int(float(key)), float(value)) for key, value in data or [])] or None
    except (TypeError, ValueError):
        return None


def tracked(flow: Flow, what: str, of: dict[str, Any]) -> Any:
    """Return what FATE Flow keeps of a component (``metric_data``, ``metric/all``, ``output/model``), or None."""
    try:
        return ask(flow, f"tracking/component/{what}", of).get("data")
    except RefusalError:
        return None


def reaches(flow: Flow, party: str) -> bool:
    """Tell whether a party's FATE Flow answers that of another party. FATE Flow can be asked this since 1.10."""
    try:
        ask(flow, f"info/party/{quote(party, safe='')}", {})
    except CaseError:
        return False
    return True


def stop(flow: Flow, job: str) -> str:
    """Stop the job at all parties and say, as the end of a sentence, whether that worked."""
    try:
        ask(flow, "job/stop", {"job_id": job})
    except RefusalError as error:
        answers = error.reply.get("data")
        unheard = [
            f"party {party} ({role})"
            for role, parties in (answers if isinstance(answers, dict) else {}).items()
            for party, answer in (parties if isinstance(parties, dict) else {}).items()
            if not isinstance(answer, dict) or answer.get("retcode") != 0
        ]
        return f"it could not be stopped at {' and '.join(unheard) or 'all parties'}; there: flow job stop -j {job}"
    except NoAnswerError:
        return f"it could not be stopped; once FATE Flow answers: flow job stop -j {job}"
    return "it has been stopped"


def expect(reply: Any, key: str, kind: type = object) -> Any:
    """Return what a reply must hold. Raises CaseError when it does not."""
    value = reply.get(key) if isinstance(reply, dict) else None
    if value is None or not isinstance(value, kind):
        raise CaseError(f"FATE Flow's reply lacks {key}; is it FATE 1.8 to 1.11?")
    return value
