"""Mode ``plain``: the arbiter adds up what the parties send, and sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from bench.engines.federated import wire
from bench.engines.federated.privacy.contract import Combine, Setup, Shape, Talk, sent_by
from bench.engines.training import Exchange
from bench.model.logistic import Array, Training

SETUP: tuple[str, ...] = ()
STEPS = (wire.SUM,)
DIRECT: tuple[str, ...] = ()


def check(options: Mapping[str, Any], training: Training, parties: int | None) -> None:
    """Accept anything: there are no options."""


def party(setup: Setup, talk: Talk) -> Exchange:
    """Join, and return the function that sends a vector as it is and returns the sum over all parties."""
    due = wire.lengths(setup.features)
    wire.check_length(talk(wire.JOIN, "", b""), 0, 8)

    def exchange(kind: str, vector: Array) -> Array:
        with setup.recorder.span("serialise"):
            body = vector.astype("<f8", copy=False).tobytes()
        answer = talk(wire.SUM, kind, body)
        with setup.recorder.span("serialise"):
            return wire.numbers(answer, due[kind])

    return exchange


def arbiter(setup: Setup) -> Combine:
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


def calibrate(setup: Setup, side: Literal["party", "arbiter"]) -> dict[str, float]:
    """Return nothing: there is no cryptography."""
    return {}


def operations(shape: Shape, options: Mapping[str, Any], side: Literal["party", "arbiter"]) -> dict[str, float]:
    """Return nothing: there is no cryptography."""
    return {}


def sizes(shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
    """Return the bytes of the messages of one party an epoch, (sent, received)."""
    body = 8 * wire.lengths(shape.features)["round"]
    return wire.size_of_message(wire.ROUND, body), wire.size_of_answer(body)
