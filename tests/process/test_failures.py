from __future__ import annotations

import itertools
import json
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from helpers import LIMIT, in_training, only_run, run_json, started, wait_for, words, workers_left, write_suite

from bench.engines import processes
from bench.engines.federated import wire, wire_pb2
from bench.engines.processes import Worker
from bench.errors import CaseError
from bench.results import store

FEATURES = ["a", "b"]
MEMBERS = {"9999": "guest", "9998": "host"}


# --- processes that are killed or stopped ----------------------------------------------------------------------------


@dataclass
class Struck:
    """A run in which one process of each of several endless cases was hit by a signal."""

    folder: Path
    status: int
    run: dict[str, Any]
    shown: str
    workers: list[psutil.Process] = field(default_factory=list)  # every process that was seen below the runner


BLOWS = {
    "party-killed": ("9998-host", signal.SIGKILL),
    "party-stopped": ("9998-host", signal.SIGSTOP),
    "arbiter-killed": ("10000-arbiter", signal.SIGKILL),
    "arbiter-stopped": ("10000-arbiter", signal.SIGSTOP),
    "alone-killed": ("all-centralised", signal.SIGKILL),
}


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Struck:
    inputs, out = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("out")
    endless = {"training": {"epochs": 10_000_000}}
    cases: list[dict[str, Any]] = [{"id": name, "engine": "federated", **endless} for name in BLOWS]
    cases[-1]["engine"] = "centralised"
    cases += [{"id": "after", "engine": "federated"}]
    workers = []
    with started("--suite", write_suite(inputs / "blows.yml", cases, time_limit=LIMIT), "--out", out) as process:
        for name, (who, blow) in BLOWS.items():
            if name.startswith("alone"):
                victim = wait_for(lambda: alone(process.pid), "the case alone trains")
            else:
                victim = in_training(process.pid, f"{name}.1", who)
            workers += psutil.Process(process.pid).children(recursive=True)
            victim.send_signal(blow)
            wait_for(partial(failed, out, name), f"{name} ends")
        shown, _ = process.communicate(timeout=LIMIT)
    folder = only_run(out)
    return Struck(folder, process.returncode, run_json(folder), shown, workers)


def alone(runner: int) -> psutil.Process | None:
    """Find the process that trains alone once it has used some CPU time of its own."""
    for process in psutil.Process(runner).children():
        if "bench.engines.single.single_party" in words(process) and sum(process.cpu_times()[:2]) > 1:
            return process
    return None


def failed(out: Path, case: str) -> bool:
    return status_of(only_run(out), case) == "failed"


def status_of(folder: Path, case: str) -> str:
    return next(str(entry["status"]) for entry in run_json(folder)["cases"] if entry["id"] == case)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("party-killed", "repeat 1: party 9998 (host) died: killed by SIGKILL"),
        ("party-stopped", "repeat 1: party 9998 (host) was stopped"),
        ("arbiter-killed", "repeat 1: party 10000 (arbiter) died: killed by SIGKILL"),
        ("arbiter-stopped", "repeat 1: party 10000 (arbiter) was stopped"),
        ("alone-killed", "repeat 1: party all (centralised) died: killed by SIGKILL"),
    ],
)
def test_a_blow_ends_the_case_soon_and_by_name(struck: Struck, name: str, complaint: str) -> None:
    entry = next(entry for entry in struck.run["cases"] if entry["id"] == name)
    assert entry["status"] == "failed"
    assert entry["error"].startswith(complaint)
    assert "\n" not in entry["error"]
    assert entry["error"] in struck.shown


def test_the_other_cases_go_on(struck: Struck) -> None:
    assert struck.status == 1
    assert status_of(struck.folder, "after") == "ok"
    assert set(store.read_csv(struck.folder, "scores.csv")["case"]) == {"after"}
    assert struck.run["finished"] is not None
    assert (struck.folder / "report.html").exists()
    assert f"--resume {struck.folder}" in struck.shown


def test_no_process_is_left(struck: Struck) -> None:
    assert len(struck.workers) >= 4 * 4 + 1
    assert not [process for process in struck.workers if process.is_running()]


# --- parties that answer garbage: a stranger in the place of party 9998 ----------------------------------------------


class Client:
    """A raw client of the arbiter, which says what the test wants it to say."""

    def __init__(self, address: Path) -> None:
        found = json.loads(wait_for(address.exists, "the arbiter listens") and address.read_text())
        self._channel = grpc.insecure_channel(found["address"])
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        session: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(
            f"/{wire.SERVICE}/{wire.METHOD}"
        )
        self._answers = session(iter(self._outgoing.get, None), timeout=LIMIT)

    def say(self, raw: bytes) -> None:
        self._outgoing.put(raw)

    def hear(self) -> wire_pb2.FromArbiter:
        answer = wire_pb2.FromArbiter()
        answer.ParseFromString(next(self._answers))
        return answer

    def refusal(self) -> tuple[grpc.StatusCode, str]:
        """Return how the arbiter ended the stream."""
        with pytest.raises(grpc.RpcError) as caught:
            while True:
                self.hear()
        return caught.value.code(), str(caught.value.details())

    def leave(self) -> None:
        self._outgoing.put(wire.LEAVE)
        self.hang_up()

    def hang_up(self) -> None:
        self._outgoing.put(None)

    def ended(self) -> bool:
        """Wait for the arbiter to end the stream in order."""
        return next(self._answers, None) is None

    def close(self) -> None:
        self._channel.close()


def message(number: int, kind: str, values: list[float]) -> bytes:
    packed = struct.pack(f"<{len(values)}d", *values)
    return wire_pb2.FromParty(number=number, kind=kind, body=packed).SerializeToString()


def joining(party: str, **changes: Any) -> bytes:
    right: dict[str, Any] = {
        "protocol": wire.PROTOCOL,
        "token": "secret",
        "party": party,
        "columns": wire.columns_digest(FEATURES),
    }
    right["privacy"] = wire.privacy_digest("plain", {})
    join = wire_pb2.Join(**{**right, **changes})
    return wire_pb2.FromParty(kind="join", join=join).SerializeToString()


@dataclass
class Arbiter:
    """The real arbiter of two parties, and clients of it."""

    process: subprocess.Popen[bytes]
    folder: Path
    clients: list[Client] = field(default_factory=list)

    def client(self) -> Client:
        self.clients.append(Client(self.folder / "arbiter.json"))
        return self.clients[-1]

    def joined(self) -> tuple[Client, Client]:
        """Two clients, 9999 and 9998, that have joined and are through the first round."""
        pair = self.client(), self.client()
        for client, party in zip(pair, MEMBERS, strict=True):
            client.say(joining(party))
        for client in pair:
            client.hear()
        return pair

    def verdict(self) -> str:
        """Wait for the end of the process and return the error that it left."""
        assert self.process.wait(LIMIT) == 1
        return str(json.loads((self.folder / "error.json").read_text())["error"])


def arbiter_config(folder: Path) -> dict[str, Any]:
    shared = {"token": "secret", "features": FEATURES, "local_epochs": 1, "measure": True}
    privacy = {"privacy": "plain", "privacy_options": {}, "calibrate": False}
    return {**shared, **privacy, "parties": MEMBERS, "address": str(folder / "arbiter.json")}


@pytest.fixture
def arbiter(tmp_path: Path) -> Iterator[Arbiter]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**arbiter_config(tmp_path), "party": "10000", "role": "arbiter"}))
    line = [sys.executable, "-m", "bench.engines.federated.arbiter", str(config)]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as process:
        running = Arbiter(process, tmp_path)
        yield running
        for client in running.clients:
            client.close()
        process.kill()


GARBAGE: dict[str, tuple[bytes, str]] = {
    "undecodable": (b"\xff" * 9, "9 bytes that are not a message"),
    "nothing": (b"", "message 0 where 1 was due"),
    "too few numbers": (message(1, "sums", [1.0]), "8 bytes where 24"),
    "too many numbers": (message(1, "sums", [1.0] * 9), "72 bytes where 24"),
    "NaN": (message(1, "sums", [1.0, float("nan"), 1.0]), "numbers that are not finite"),
    "infinity": (message(1, "sums", [1.0, float("-inf"), 1.0]), "numbers that are not finite"),
    "an old round": (message(0, "sums", [1.0] * 3), "message 0 where 1 was due"),
    "a later round": (message(7, "sums", [1.0] * 3), "message 7 where 1 was due"),
    "an unknown kind": (message(1, "shout", [1.0] * 3), "kind 'shout' where 'sums' was due"),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_ends_the_case_and_names_the_party(arbiter: Arbiter, kind: str) -> None:
    raw, complaint = GARBAGE[kind]
    honest, rogue = arbiter.joined()
    honest.say(message(1, "sums", [1.0] * 3))
    rogue.say(raw)
    code, details = honest.refusal()
    assert code == grpc.StatusCode.ABORTED
    assert arbiter.verdict() == details
    assert details.startswith("party 9998 (host) sent ")
    assert complaint in details
    assert "\n" not in details


def test_parties_at_different_points_end_the_case(arbiter: Arbiter) -> None:
    honest, rogue = arbiter.joined()
    honest.say(message(1, "sums", [1.0] * 3))
    rogue.say(message(1, "squares", [1.0] * 2))
    assert (
        arbiter.verdict() == "party 9998 (host) sent a message of kind 'squares' where 'sums' was due during the set-up"
    )


def test_a_silent_party_is_noticed_by_its_pings(arbiter: Arbiter, tmp_path: Path) -> None:
    """Nobody looks at the process here: only the connection can tell."""
    np.save(tmp_path / "X.npy", np.arange(20.0).reshape(10, 2))
    np.save(tmp_path / "y.npy", np.arange(10.0) % 2)
    own = tmp_path / "9998"
    own.mkdir()
    training = {"shard": str(tmp_path), "training": {}, "seed": 1}
    identity = {"party": "9998", "role": "host"}
    (own / "config.json").write_text(json.dumps({**arbiter_config(tmp_path), **training, **identity}))
    line = [sys.executable, "-m", "bench.engines.federated.party", str(own / "config.json")]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as party:
        try:
            honest = arbiter.client()
            honest.say(joining("9999"))
            honest.hear()
            party.send_signal(signal.SIGSTOP)
            assert arbiter.verdict().startswith("party 9998 (host) dropped out during the set-up")
        finally:
            party.kill()


def test_a_party_that_leaves_early_ends_the_case(arbiter: Arbiter) -> None:
    honest, rogue = arbiter.joined()
    honest.say(message(1, "sums", [1.0] * 3))
    rogue.leave()
    assert honest.refusal()[0] == grpc.StatusCode.ABORTED
    assert arbiter.verdict().startswith("party 9998 (host) dropped out during the set-up")


def test_a_party_that_hangs_up_ends_the_case(arbiter: Arbiter) -> None:
    _, rogue = arbiter.joined()
    rogue.hang_up()
    assert arbiter.verdict().startswith("party 9998 (host) dropped out during the set-up")


def test_a_party_that_is_cut_off_ends_the_case(arbiter: Arbiter) -> None:
    honest, rogue = arbiter.joined()
    honest.say(message(1, "sums", [1.0] * 3))
    rogue.close()
    assert honest.refusal()[0] == grpc.StatusCode.ABORTED
    assert arbiter.verdict().startswith("party 9998 (host) dropped out during the set-up")


def test_other_columns_end_the_case(arbiter: Arbiter) -> None:
    rogue = arbiter.client()
    rogue.say(joining("9998", columns=wire.columns_digest(["b", "a"])))
    assert arbiter.verdict().startswith("party 9998 (host) holds other columns")


def test_another_way_to_protect_ends_the_case(arbiter: Arbiter) -> None:
    rogue = arbiter.client()
    rogue.say(joining("9998", privacy=wire.privacy_digest("masked", {"threshold": None})))
    assert arbiter.verdict().startswith("party 9998 (host) has other privacy settings than the case")


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (joining("9998", token="guess"), "a wrong token"),
        (joining("9998", token="sécret"), "a wrong token"),
        (joining("9998", protocol=99), "protocol version 99, not 2"),
        (joining("6666"), "does not belong to this case"),
        (message(0, "sums", [1.0] * 3), "protocol version 0"),
        (b"\xff" * 9, "not a message"),
    ],
    ids=["token", "token in other letters", "protocol", "party", "no join", "no message"],
)
def test_a_stranger_is_sent_away_and_the_case_goes_on(arbiter: Arbiter, first: bytes, complaint: str) -> None:
    stranger = arbiter.client()
    stranger.say(first)
    code, details = stranger.refusal()
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert complaint in details
    assert "secret" not in details
    finish(arbiter)


def test_the_id_of_a_party_that_has_joined_is_taken(arbiter: Arbiter) -> None:
    first, thief = arbiter.client(), arbiter.client()
    first.say(joining("9998"))
    # Joining is answered when all are there, so whoever comes second is told first.
    thief.say(joining("9998"))
    codes: queue.SimpleQueue[tuple[grpc.StatusCode, str]] = queue.SimpleQueue()
    for client in (first, thief):
        threading.Thread(target=lambda client=client: codes.put(client.refusal()), daemon=True).start()
    code, details = codes.get(timeout=LIMIT)
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert details == "the arbiter refused the id of party 9998 (host), which has joined already"
    assert arbiter.process.poll() is None


def test_a_crowd_of_silent_strangers_keeps_nobody_out(arbiter: Arbiter) -> None:
    for _ in range(4):
        arbiter.client()
    finish(arbiter)


def finish(arbiter: Arbiter) -> None:
    """Let both parties join, add up once, and leave: the arbiter ends well."""
    pair = arbiter.joined()
    for number, client in enumerate(pair):
        client.say(message(1, "sums", [1.0 + number, 2.0, 3.0]))
    for client in pair:
        answer = client.hear()
        assert struct.unpack("<3d", answer.body) == (3.0, 4.0, 6.0)
        assert answer.held_seconds >= 0
        client.leave()
    assert all(client.ended() for client in pair)
    for client in arbiter.clients:
        client.close()
    assert arbiter.process.wait(LIMIT) == 0
    assert json.loads((arbiter.folder / "result.json").read_text())["result"]["messages"] == 2


def test_garbage_in_the_middle_of_the_training_of_a_real_party(tmp_path: Path) -> None:
    """Party 9999 and the arbiter are real; the test is party 9998, honest for fifty rounds."""
    shard = tmp_path / "rows"
    shard.mkdir()
    rng = np.random.default_rng(0)
    np.save(shard / "X.npy", rng.normal(size=(50, 2)))
    np.save(shard / "y.npy", (rng.random(50) < 0.5).astype(float))
    config = arbiter_config(tmp_path)
    party = {**config, "shard": str(shard), "training": {"epochs": 1_000_000}, "seed": 1}
    workers = [
        Worker("9999", "guest", "bench.engines.federated.party", party, tmp_path / "9999-guest"),
        Worker("10000", "arbiter", "bench.engines.federated.arbiter", config, tmp_path / "10000-arbiter"),
    ]

    def rogue() -> None:
        client = Client(tmp_path / "arbiter.json")
        client.say(joining("9998"))
        script: Iterator[tuple[str, list[float]]] = itertools.chain(
            [("sums", [1.0, 2.0, 3.0]), ("squares", [3.0, 3.0])],
            itertools.repeat(("round", [0.0, 0.0, 0.0, 0.5, 0.5]), 50),
        )
        for number, (kind, values) in enumerate(script, start=1):
            client.hear()
            client.say(message(number, kind, values))
        client.hear()
        client.say(b"\x00\x01garbage")
        client.refusal()
        client.close()

    thread = threading.Thread(target=rogue, daemon=True)
    thread.start()
    with pytest.raises(CaseError, match=r"^party 9998 \(host\) sent 9 bytes that are not a message .* in epoch 51$"):
        processes.run(workers, LIMIT, lambda _: None)
    thread.join(LIMIT)
    assert workers_left(tmp_path) == []


# --- an arbiter that answers garbage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda _: b"\xff" * 9, "9 bytes that are not a message"),
        (lambda _: wire_pb2.FromArbiter(number=5).SerializeToString(), "an answer to message 5 where 0 was due"),
        (lambda _: wire_pb2.FromArbiter(body=b"12345678").SerializeToString(), "8 bytes where 0"),
        (None, "nothing: it ended the stream too early"),
    ],
)
def test_an_arbiter_that_answers_garbage(
    tmp_path: Path, answer: Callable[[bytes], bytes] | None, complaint: str
) -> None:
    np.save(tmp_path / "X.npy", np.eye(2))
    np.save(tmp_path / "y.npy", np.array([0.0, 1.0]))

    def serve(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        for raw in requests:
            if answer is None:
                return
            yield answer(raw)

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(serve)
    handlers = [grpc.method_handlers_generic_handler(wire.SERVICE, {wire.METHOD: handler})]
    server = grpc.server(ThreadPoolExecutor(2), handlers=handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (tmp_path / "arbiter.json").write_text(json.dumps({"address": f"127.0.0.1:{port}"}))
    party = {**arbiter_config(tmp_path), "shard": str(tmp_path), "training": {}, "seed": 1}
    worker = Worker("9998", "host", "bench.engines.federated.party", party, tmp_path / "9998-host")
    try:
        with pytest.raises(CaseError, match=f"^the arbiter sent party 9998 \\(host\\) {complaint}"):
            processes.run([worker], 30.0, lambda _: None)
    finally:
        server.stop(None)


def test_a_process_that_ends_without_a_result_is_named(tmp_path: Path) -> None:
    """The json module's own command line leaves no result and fails on these arguments."""
    worker = Worker("9998", "host", "json.tool", {}, tmp_path / "9998-host")
    with pytest.raises(CaseError, match=r"^party 9998 \(host\) ended without a result"):
        processes.run([worker], 30.0, lambda _: None)
    worker = Worker("9998", "host", "no.such.module", {}, tmp_path / "again")
    with pytest.raises(CaseError, match=r"^party 9998 \(host\) ended with status 1: .*no"):
        processes.run([worker], 30.0, lambda _: None)
