"""The arbiter's process: it lets the privacy mode add up what the parties send, step by step, and answers each.

One handler thread a party waits for that party's messages. The thread whose message completes a step does the step's
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

from bench.engines.federated import wire, wire_pb2
from bench.engines.federated.contract import Combine, Setup, WrongBodyError
from bench.engines.federated.privacy.registry import MODES
from bench.engines.processes import fail, leave, work
from bench.errors import CaseError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.measure.spans import Recorder

WENT_ON = Message(
    "went_on_without",
    gettext_noop("party {party} ({role}) dropped out in epoch {epoch}; the others went on without it"),
)


class Rounds:
    """The state that the handler threads share: who has joined, what has come in, and why it ended."""

    def __init__(self, config: dict[str, Any], recorder: Recorder) -> None:
        self.parties: dict[str, str] = config["parties"]  # party id -> role
        self.token: str = config["token"]
        self.columns = wire.columns_digest(config["features"])
        self.privacy = wire.privacy_digest(config["privacy"], config["privacy_options"])
        self.local_epochs: int = config["local_epochs"]
        self.mode = MODES[config["privacy"]]
        self.protocol = self.mode.protocol()
        self.setup = Setup(
            "", "the arbiter", self.parties, len(config["features"]), config["privacy_options"], recorder
        )
        self.combine: Combine = self.protocol.arbiter(self.setup)
        self.recorder = recorder
        self.changed = threading.Condition()
        self.number = 0
        self.arrived: dict[str, tuple[bytes, float]] = {}
        self.answers: dict[str, bytes] = {}
        self.joined: set[str] = set()
        self.left: set[str] = set()
        self.gone: set[str] = set()  # lost, and the case goes on without
        self.notes: list[Message] = []
        self.failure: str | None = None
        recorder.begin_epoch(0)
        self.idle_since = perf_counter()  # after the epoch's start, or the wait would reach out of the epoch

    @property
    def due(self) -> tuple[str, str]:
        """The (step, kind) that belongs to the present message number."""
        return wire.due(self.number, self.mode.setup_steps, self.mode.steps)

    def describe(self, party: str) -> str:
        """Name a party for a reader."""
        return f"party {party} ({self.parties[party]})"

    def fail(self, why: str) -> None:
        """End the case for everybody; the first reason stands."""
        with self.changed:
            self.failure = self.failure or why
            self.changed.notify_all()

    def lost(self, party: str | None) -> None:
        """Note that a party's stream has ended; without its leave, that ends the case or leaves the others to it."""
        if party is None:
            return
        with self.changed:
            if party in self.left or party in self.gone or self.failure is not None:
                return
            # Before the rounds every party's rows are counted in, so none may be lost.
            if not self.mode.tolerates_dropout or self.due[1] != wire.ROUND:
                self._fail_without([party])
                return
            self.gone.add(party)
            epoch = self.recorder.epoch * self.local_epochs
            self.notes.append(WENT_ON.of(party=party, role=self.parties[party], epoch=epoch))
            needed, rest = self.mode.threshold(self.setup.options, len(self.parties)), len(self._present())
            if rest < needed:
                names = ", ".join(self.describe(party) for party in self.parties if party in self.gone)
                self.fail(f"{names} dropped out {self.when()}: {rest} are left and a sum takes {needed} (threshold)")
                return
            self._go_on_if_complete()
            self.changed.notify_all()

    def _present(self) -> list[str]:
        return [party for party in self.parties if party not in self.gone]

    def when(self) -> str:
        """Say where the training stands."""
        return f"in epoch {self.recorder.epoch * self.local_epochs}" if self.recorder.epoch else "during the set-up"

    def waiting_for(self) -> str:
        """Say who has not sent its message of the present round."""
        missing = [self.describe(party) for party in self._present() if party not in self.arrived]
        if not missing:
            return f"adding up what the parties sent {self.when()}"
        return f"waiting for {', '.join(missing)} {self.when()}"

    def admit(self, raw: bytes) -> str:
        """Check a first message and return the party's id.

        Raises WireError when it is none, or when its sender does not belong to this case.
        """
        join = wire.parse(wire_pb2.FromParty, raw).join
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
            if join.privacy != self.privacy:
                self.fail(f"{self.describe(join.party)} has other privacy settings than the case; give all the same")
            self.joined.add(join.party)
        return join.party

    def meet(self, party: str, raw: bytes) -> bytes | None:
        """Hand in a party's message, wait for the others', and return its answer.

        None when the case has failed, or goes on without the party.
        """
        received = perf_counter()
        with self.changed:
            if party in self.gone:
                return None
            message = self._read(party, raw)
            if message is None or self.failure is not None:
                return None
            if message.kind in self.mode.direct_steps:
                return self._answer_at_once(party, message, received)
            number = self.number
            self.arrived[party] = (message.body, received)
            self._check_all_here()
            self._go_on_if_complete()
            self.changed.wait_for(lambda: self.number > number or self.failure is not None)
            return self.answers.get(party) if self.failure is None else None

    def leave(self, party: str) -> None:
        """Note that a party has said that its training is over."""
        with self.changed:
            self.left.add(party)
            self._check_all_here()
            self.changed.notify_all()

    def _read(self, party: str, raw: bytes) -> wire_pb2.FromParty | None:
        """Parse a message; when it is not what is due, fail, naming its sender."""
        due = wire.label(*self.due)
        try:
            message = wire.parse(wire_pb2.FromParty, raw)
            if message.number != self.number:
                raise wire.WireError(f"message {message.number} where {self.number} was due")
            if message.kind != due and message.kind not in self.mode.direct_steps:
                raise wire.WireError(f"a message of kind {message.kind[:20]!r} where {due!r} was due")
        except wire.WireError as error:
            self.fail(f"{self.describe(party)} sent {error} {self.when()}")
            return None
        return message

    def _check_all_here(self) -> None:
        """End the case when some go on with a round and others have left: they would wait for ever."""
        if self.arrived and self.left:
            self._fail_without([party for party in self.parties if party in self.left])

    def _fail_without(self, gone: list[str]) -> None:
        names = ", ".join(map(self.describe, gone))
        self.fail(f"{names} dropped out {self.when()}: it ended, was stopped or cut off")

    def _go_on_if_complete(self) -> None:
        """Do the work of a step whose messages are all in; those of a party that was lost afterwards count."""
        if self.failure is None and self.arrived and set(self._present()) <= set(self.arrived):
            self._finish()
            self.changed.notify_all()

    def _finish(self) -> None:
        step, kind = self.due
        # In the order of the parties, not of arrival: the same run gives the same bits.
        bodies = {party: self.arrived[party][0] for party in self.parties if party in self.arrived}
        answers = self._combined(step, kind, bodies)
        if self.failure is not None:
            return
        with self.recorder.span("serialise"):
            self.answers = {party: self._answer(body, self.arrived[party][1]) for party, body in answers.items()}
        if step == self.mode.steps[-1] and kind in ("squares", wire.ROUND):  # the set-up, or an epoch, is over
            self.recorder.end_epoch()
            self.recorder.begin_epoch(self.recorder.epoch + 1)
        self.arrived = {}
        self.number += 1
        self.idle_since = perf_counter()

    def _answer_at_once(self, party: str, message: wire_pb2.FromParty, received: float) -> bytes | None:
        """Answer one party's own request, in the middle of a step."""
        answers = self._combined(message.kind, "", {party: message.body})
        if self.failure is not None:
            return None
        with self.recorder.span("serialise"):
            answer = self._answer(answers[party], received)
        self.idle_since = perf_counter()
        return answer

    def _combined(self, step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
        """Let the privacy mode do its work; when a party sent what it should not, fail, naming it."""
        self.recorder.add("wait", self.idle_since, perf_counter() - self.idle_since)
        try:
            return self.combine(step, kind, bodies)
        except WrongBodyError as error:
            self.fail(f"{self.describe(error.party)} sent {error} {self.when()}")
        except Exception as error:  # or all would wait for an answer for ever
            self.fail(f"the arbiter could not go on {self.when()}: {error!r}")
        return {}

    def _answer(self, body: bytes, received: float) -> bytes:
        held = perf_counter() - received
        return wire_pb2.FromArbiter(number=self.number, body=body, held_seconds=held).SerializeToString()


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
            why = rounds.failure or f"given up as lost: the others went on without {rounds.describe(party)}"
            context.abort(grpc.StatusCode.ABORTED, why)
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
        while rounds.failure is None and not set(rounds.parties) <= rounds.left | rounds.gone:
            rounds.changed.wait(0.5)  # bounded, so that signals are handled
    server.stop(grace=1.0).wait()
    if rounds.failure is not None:
        raise CaseError(rounds.failure)
    return {
        "messages": rounds.number,
        "notes": rounds.notes,
        "dropped_out": [party for party in rounds.parties if party in rounds.gone],
        "operations": rounds.protocol.calibrate(rounds.setup, "arbiter") if recorder.enabled else {},
    }


if __name__ == "__main__":
    work(main)
