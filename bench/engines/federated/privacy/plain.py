"""Mode ``plain``: the arbiter adds up what the parties send, and sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.engines.contract import Visibility
from bench.engines.federated import wire
from bench.engines.federated.privacy.contract import Combine, PrivacyMode, Protocol, Setup, Shape, Talk, sent_by
from bench.engines.training import AllReduce
from bench.i18n.language import gettext_noop
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


class Plain(PrivacyMode):
    """No protection: what the others are compared with."""

    name, protects, order = "plain", False, 10
    description = "parties send their sums as they are"
    visibility = Visibility(
        arbiter=gettext_noop(
            "every party's gradient (or weights) and loss of each round, its number of rows, and the sums and squares "
            "of its columns"
        ),
        parties=gettext_noop("the sum over all parties, so the common model of each round"),
        assumptions=gettext_noop("everybody trusts the arbiter with what gradients tell of rows"),
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        return PlainProtocol()

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, (sent, received)."""
        body = 8 * wire.lengths(shape.features)[wire.ROUND]
        return wire.size_of_message(wire.ROUND, body), wire.size_of_answer(body)


MODE = Plain()
