"""The arbiter's process: it adds up what the parties send, round by round, and answers each with the sum.

One handler thread a party waits for that party's messages. The thread whose message completes a round does the round's
work, so the arbiter's own phases follow one another and add up.
"""

from __future__ import annotations

import hmac
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import numpy as np

from bench.engines.federated import wire, wire_pb2
from bench.engines.processes import fail, leave, work
from bench.errors import CaseError
from bench.measure.trace import Recorder
from bench.model.logistic import Array


class Rounds:
    """The state that the handler threads share: who has joined, what has come in, and why it ended."""

    def __init__(self, config: dict[str, Any], recorder: Recorder) -> None:
        self.parties: dict[str, str] = config["parties"]  # party id -> role
        self.token: str = config["token"]
        self.columns = wire.columns_digest(config["features"])
        self.lengths = wire.lengths(len(config["features"]))
        self.local_epochs: int = config["local_epochs"]
        self.recorder = recorder
        self.changed = threading.Condition()
        self.number = 0
        self.arrived: dict[str, tuple[bytes, float]] = {}
        self.answers: dict[str, bytes] = {}
        self.joined: set[str] = set()
        self.left: set[str] = set()
        self.failure: str | None = None
        self.idle_since = perf_counter()
        recorder.begin_epoch(0)

    def describe(self, party: str) -> str:
        """Name a party for a reader."""
        return f"party {party} ({self.parties[party]})"

    def fail(self, why: str) -> None:
        """End the case for everybody; the first reason stands."""
        with self.changed:
            self.failure = self.failure or why
            self.changed.notify_all()

    def lost(self, party: str | None) -> None:
        """Note that a party's stream has ended; without its leave, that ends the case."""
        if party is not None and party not in self.left:
            self._fail_without([party])

    def when(self) -> str:
        """Say where the training stands."""
        return f"in epoch {self.recorder.epoch * self.local_epochs}" if self.recorder.epoch else "during the set-up"

    def waiting_for(self) -> str:
        """Say who has not sent its message of the present round."""
        missing = [self.describe(party) for party in self.parties if party not in self.arrived]
        if not missing:
            return f"adding up what the parties sent {self.when()}"
        return f"waiting for {', '.join(missing)} {self.when()}"

    def admit(self, raw: bytes) -> str:
        """Check a first message and return the party's id.

        Raises WireError when it is none, or when its sender does not belong to this case.
        """
        message = wire.parse(wire_pb2.FromParty, raw)
        assert isinstance(message, wire_pb2.FromParty)
        join = message.join
        if join.protocol != wire.PROTOCOL:
            raise wire.WireError(
                f"protocol version {join.protocol}, not {wire.PROTOCOL}: use the same version everywhere"
            )
        if not hmac.compare_digest(join.token.encode(), self.token.encode()):
            raise wire.WireError("a wrong token")
        with self.changed:
            if join.party not in self.parties:
                raise wire.WireError("a party id that does not belong to this case")
            if join.party in self.joined:
                raise wire.WireError(f"the id of {self.describe(join.party)}, which has joined already")
            if join.columns != self.columns:
                self.fail(f"{self.describe(join.party)} holds other columns than the case; prepare its data again")
            self.joined.add(join.party)
        return join.party

    def meet(self, party: str, raw: bytes) -> bytes | None:
        """Hand in a party's message, wait for the others', and return its answer; None when the case has failed."""
        received = perf_counter()
        with self.changed:
            number = self.number
            self.arrived[party] = (raw, received)
            self._check_all_here()
            if len(self.arrived) == len(self.parties) and self.failure is None:
                self._finish()
                self.changed.notify_all()
            else:
                self.changed.wait_for(lambda: self.number > number or self.failure is not None)
            return self.answers.get(party) if self.failure is None else None

    def leave(self, party: str) -> None:
        """Note that a party has said that its training is over."""
        with self.changed:
            self.left.add(party)
            self._check_all_here()
            self.changed.notify_all()

    def _check_all_here(self) -> None:
        """End the case when some go on with a round and others have left: they would wait for ever."""
        if self.arrived and self.left:
            self._fail_without([party for party in self.parties if party in self.left])

    def _fail_without(self, gone: list[str]) -> None:
        names = ", ".join(map(self.describe, gone))
        self.fail(f"{names} was lost {self.when()}: it ended, was stopped or cut off")

    def _finish(self) -> None:
        """Do the work of a round whose messages are all in."""
        recorder, last = self.recorder, perf_counter()
        recorder.add("wait", self.idle_since, last - self.idle_since)
        with recorder.span("serialise"):
            # In the order of the parties, not of arrival: the same run gives the same bits.
            vectors = [self._decode(party) for party in self.parties]
        if self.failure is not None:
            return
        with recorder.span("aggregate"):
            total = np.sum(vectors, axis=0)
        with recorder.span("serialise"):
            values = total.astype("<f8", copy=False).tobytes()
            for party, (_, received) in self.arrived.items():
                answer = wire_pb2.FromArbiter(round=self.number, values=values, held_seconds=perf_counter() - received)
                self.answers[party] = answer.SerializeToString()
        if wire.kind_due(self.number) in ("squares", "round"):  # the set-up, or an epoch, is over
            recorder.end_epoch()
            recorder.begin_epoch(recorder.epoch + 1)
        self.arrived = {}
        self.number += 1
        self.idle_since = perf_counter()

    def _decode(self, party: str) -> Array:
        """Return the numbers that a party sent; when they are not what was due, fail, naming it."""
        due = wire.kind_due(self.number)
        try:
            message = wire.parse(wire_pb2.FromParty, self.arrived[party][0])
            assert isinstance(message, wire_pb2.FromParty)
            if message.round != self.number:
                raise wire.WireError(f"round {message.round} where {self.number} was due")
            if message.kind != due:
                raise wire.WireError(f"a message of kind {message.kind[:20]!r} where {due!r} was due")
            return wire.numbers(message.values, self.lengths[due])
        except wire.WireError as error:
            self.failure = self.failure or f"{self.describe(party)} sent {error} {self.when()}"
            return np.empty(0)


def serve(rounds: Rounds, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """Serve one party's stream until it leaves or the case fails."""
    party: str | None = None
    context.add_callback(lambda: rounds.lost(party))
    for raw in requests:
        if party is None:
            try:
                party = rounds.admit(raw)
            except wire.WireError as error:
                # Not a member: it is sent away, and the case goes on without having listened to it.
                context.abort(grpc.StatusCode.PERMISSION_DENIED, f"the arbiter refused {error}")
        if raw == wire.LEAVE:
            rounds.leave(party)
            return
        answer = rounds.meet(party, raw)
        if answer is None:
            context.abort(grpc.StatusCode.ABORTED, str(rounds.failure))
        else:
            yield answer
    rounds.lost(party)  # the requests of a broken connection end like those of a party that just stops sending


def main(config: dict[str, Any], folder: Path, recorder: Recorder) -> dict[str, Any]:
    """Serve the parties of one case until all have left; leave the address in ``arbiter.json`` for them."""
    rounds = Rounds(config, recorder)

    def give_up(*_: object) -> None:
        fail(folder, f"the arbiter was {rounds.waiting_for()}")

    signal.signal(signal.SIGTERM, give_up)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
        lambda requests, context: serve(rounds, requests, context)
    )
    server = grpc.server(
        # A spare thread for each party, so that a stranger's stream cannot keep a party out.
        ThreadPoolExecutor(2 * len(rounds.parties) + 4),
        handlers=[grpc.method_handlers_generic_handler(wire.SERVICE, {wire.METHOD: handler})],
        options=wire.SERVER_OPTIONS,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    leave(Path(config["address"]), {"address": f"127.0.0.1:{port}"})
    with rounds.changed:
        while rounds.failure is None and len(rounds.left) < len(rounds.parties):
            rounds.changed.wait(0.5)  # bounded, so that signals are handled
    server.stop(grace=1.0).wait()
    if rounds.failure is not None:
        raise CaseError(rounds.failure)
    return {"rounds": rounds.number}


if __name__ == "__main__":
    work(main)
