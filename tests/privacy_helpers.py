"""The two sides of a privacy mode in one process: threads for the parties, and everything that passes is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from helpers import LIMIT

from bench.engines.federated.contract import PrivacyMode, Setup
from bench.engines.training import AllReduce
from bench.measure.spans import Recorder

ROLES = {"9999": "guest", "9998": "host", "10000": "host"}
Result = TypeVar("Result")


def setup_of(party: str, features: int, options: Mapping[str, Any]) -> Setup:
    """What a party is told, or with an empty id the arbiter."""
    return Setup(party, f"party {party} ({ROLES.get(party)})", ROLES, features, options, Recorder())


class Meeting:
    """Parties that meet at an arbiter. ``sent`` and ``answered`` are lists of (step, kind, {party: body})."""

    def __init__(self, mode: PrivacyMode, features: int, options: Mapping[str, Any]) -> None:
        self.mode, self.features, self.options = mode, features, options
        self.protocol = mode.protocol()
        self.combine = self.protocol.arbiter(setup_of("", features, options))
        self.sent: list[tuple[str, str, dict[str, bytes]]] = []
        self.answered: list[tuple[str, str, dict[str, bytes]]] = []
        self._due: tuple[str, str] = ("", "")
        self._bodies: dict[str, bytes] = {}
        self._latest: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(len(ROLES), self._meet)

    def run(self, work: Callable[[Setup, AllReduce], Result]) -> dict[str, Result]:
        """Let every party join and then do its work."""

        def party(name: str) -> Result:
            setup = setup_of(name, self.features, self.options)
            try:
                return work(setup, self.protocol.party(setup, self._talk(name)))
            except BaseException:
                self._barrier.abort()
                raise

        with ThreadPoolExecutor(len(ROLES)) as pool:
            futures = {name: pool.submit(party, name) for name in ROLES}
        failures = [failure for future in futures.values() if (failure := future.exception()) is not None]
        for failure in sorted(failures, key=lambda failure: isinstance(failure, threading.BrokenBarrierError)):
            raise failure
        return {name: future.result() for name, future in futures.items()}

    def _talk(self, name: str) -> Callable[[str, str, bytes], bytes]:
        def talk(step: str, kind: str, body: bytes) -> bytes:
            if step in self.mode.direct_steps:
                with self._lock:
                    return self._answers(step, kind, {name: body})[name]
            self._due, self._bodies[name] = (step, kind), body
            self._barrier.wait(LIMIT)
            return self._latest[name]

        return talk

    def _meet(self) -> None:
        self._latest = self._answers(*self._due, {name: self._bodies[name] for name in ROLES})

    def _answers(self, step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
        self.sent.append((step, kind, bodies))
        answers: dict[str, bytes] = self.combine(step, kind, bodies)
        self.answered.append((step, kind, answers))
        return answers
