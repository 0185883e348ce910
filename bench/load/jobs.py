"""Small jobs for a FATE Flow that is under load: submitted at a bounded rate, and none is left running."""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httptools

from bench.errors import UserError
from bench.load.exchange import Address, Connection, TooLateError, as_sent

MOST_A_MINUTE = 6.0
MOST = 20  # of one load test
ENDED = {"success", "failed", "canceled", "timeout"}
WAIT_SECONDS = 180.0  # for jobs to end by themselves
STOP_SECONDS = 60.0  # for jobs to end that were stopped
ANSWER_SECONDS = 30.0


def toy(guest: str, host: str) -> dict[str, Any]:
    """Describe FATE's toy job: two parties add up 1,024 numbers in secret. It needs no data."""
    task = {"component_ref": "toy_example", "parameters": {"data_num": 1024, "partition": 4}}
    parties = [{"role": "guest", "party_id": [guest]}, {"role": "host", "party_id": [host]}]
    dag = {"parties": parties, "stage": "default", "tasks": {"toy_example_0": task}}
    return {"dag_schema": {"dag": dag, "schema_version": "2.0.0.alpha"}}


class Submitted:
    """The jobs of a load test: {"error", "seconds" (until the answer)} each, and {"job_id", "status"} where it runs.

    They are submitted under a user's name of their own, by which FATE Flow finds them again, also those whose
    submission it answered too late.
    """

    def __init__(self, to: Address, token: str | None, parties: tuple[str, str]) -> None:
        self._to, self._token, self._parties = to, token, parties
        self._name = f"bench-load-{secrets.token_hex(8)}"
        self.jobs: list[dict[str, Any]] = []

    def submit(self) -> None:
        """Submit one."""
        began = time.monotonic()
        job: dict[str, Any] = {"error": "not answered", "seconds": None}
        self.jobs.append(job)
        try:
            answer = self._ask("POST", "/v2/job/submit", toy(*self._parties))
            if answer.get("code") != 0 or "job_id" not in answer:
                raise ValueError(f"code {answer.get('code')}: {answer.get('message')}")
            job.update(job_id=str(answer["job_id"]), status="submitted", error=None)
        except TooLateError:
            pass
        except (OSError, ValueError, httptools.HttpParserError) as error:
            job["error"] = " ".join(str(error).split()) or type(error).__name__
        job["seconds"] = time.monotonic() - began

    def end(self, wait_seconds: float) -> list[str]:
        """Wait for the jobs to end, and stop those that do not; return the ids of those that run still."""
        running = self._followed(wait_seconds)
        for job in running:
            with suppress(OSError, ValueError, TooLateError, httptools.HttpParserError):
                self._ask("POST", "/v2/job/stop", {"job_id": job["job_id"]})
        return [job["job_id"] for job in self._followed(STOP_SECONDS if running else 0.0)]

    def _followed(self, seconds: float) -> list[dict[str, Any]]:
        """Ask for the jobs until all have ended or the time is over; return those that have not."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError, ValueError, LookupError, TypeError, TooLateError, httptools.HttpParserError):
                self._look()
            running = [job for job in self.jobs if "job_id" in job and not set(job["status"].split()) <= ENDED]
            if not running or time.monotonic() >= deadline:
                return running
            time.sleep(0.5)

    def _look(self) -> None:
        """Ask what has become of the jobs."""
        known = {job["job_id"]: job for job in self.jobs if "job_id" in job}
        for job_id, job in known.items():
            if job["status"] not in ENDED:
                # On one machine each role of a job is a row of its own; of a job just submitted there may be none yet.
                states = {str(row["status"]) for row in self._rows(f"?job_id={job_id}")}
                running = sorted(states - ENDED)
                job["status"] = " ".join(running[:1] or sorted(states)) or job["status"]
        if len(known) < len(self.jobs):
            found = {str(row["job_id"]) for row in self._rows("") if row["user_name"] == self._name}
            unanswered = (job for job in self.jobs if "job_id" not in job)
            for job_id, job in zip(sorted(found - known.keys()), unanswered, strict=False):
                job.update(job_id=job_id, status="submitted")

    def _rows(self, query: str) -> list[dict[str, Any]]:
        """Return FATE Flow's rows on jobs; it has no data where there are none."""
        return self._ask("GET", f"/v2/job/query{query}").get("data") or []

    def _ask(self, method: str, path: str, content: Any = None) -> dict[str, Any]:
        connection = Connection(self._to, ANSWER_SECONDS)
        try:
            body = b"" if content is None else json.dumps(content).encode()
            status, text = connection.ask(
                as_sent(self._to, method, path, body, self._token, [f"User-Name: {self._name}"])
            )
        finally:
            connection.close()
        if status != http.client.OK:
            raise ValueError(f"HTTP {status}")
        answer = json.loads(text)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")
        return answer


@contextmanager
def submitting(
    to: Address, token: str | None, parties: tuple[str, str], a_minute: float
) -> Iterator[list[dict[str, Any]]]:
    """Submit jobs while the block runs, the first at once; give them as they grow.

    Afterwards they are waited for, or stopped after an error, also one that comes while they are waited for. Raises
    UserError where jobs run still when all is tried; after an error that is said on stderr.
    """
    submitted = Submitted(to, token, parties)
    stop = threading.Event()

    def work() -> None:
        for _ in range(MOST):
            submitted.submit()
            if stop.wait(60 / a_minute):
                return

    def end(wait_seconds: float) -> str | None:
        stop.set()
        thread.join(ANSWER_SECONDS + 5)
        left = submitted.end(wait_seconds)
        return (
            f"jobs {', '.join(left)} of the load test run still; stop them: flow job stop -j <job id>" if left else None
        )

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield submitted.jobs
        print("waiting for the jobs to end ...", flush=True)
        left = end(WAIT_SECONDS)
    except BaseException:
        print("stopping the jobs ...", file=sys.stderr, flush=True)
        if said := end(0.0):
            print(said, file=sys.stderr)
        raise
    if left:
        raise UserError(left)
