"""Vectors travel as they are, and the arbiter adds them up."""

from __future__ import annotations

import numpy as np

from bench.engines.federated import wire
from bench.engines.federated.contract import Combine, Protocol, Setup, Talk, sent_by
from bench.engines.training import AllReduce
from bench.model.logistic import Array


class PlainProtocol(Protocol):
    """Vectors travel as they are."""

    def party(self, setup: Setup, talk: Talk) -> AllReduce:
        """Join, and return the function that sends a vector as it is and returns the sum over all parties."""
        due = wire.lengths(setup.features)
        wire.check_length(talk(wire.JOIN, "", b""), 0, 8)

        def all_reduce(kind: str, vector: Array) -> Array:
            with setup.recorder.span("serialise"):
                body = vector.astype("<f8", copy=False).tobytes()
            answer = talk(wire.SUM, kind, body)
            with setup.recorder.span("serialise"):
                return wire.numbers(answer, due[kind])

        return all_reduce

    def arbiter(self, setup: Setup) -> Combine:
        """Return the function that adds up vectors."""
        due = wire.lengths(setup.features)

        def combine(step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
            if step == wire.JOIN:
                return dict.fromkeys(bodies, b"")
            with setup.recorder.span("serialise"):
                vectors = [_numbers(party, body, due[kind]) for party, body in bodies.items()]
            with setup.recorder.span("aggregate"):
                total = np.sum(vectors, axis=0)
            with setup.recorder.span("serialise"):
                return dict.fromkeys(bodies, total.astype("<f8", copy=False).tobytes())

        return combine


def _numbers(party: str, body: bytes, expected: int) -> Array:
    with sent_by(party):
        return wire.numbers(body, expected)
