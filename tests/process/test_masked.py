"""Mode masked: its arithmetic, its protocol with and without losses, and what the arbiter sees of it on the wire."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LIMIT, bench, dataset, in_training, only_run, run_json, started, wait_for, write_suite
from numpy.typing import NDArray
from scipy import stats

from bench.data import split
from bench.data.prepare import Balance, Prepared, prepare
from bench.engines import processes
from bench.engines.contract import Job, Outcome
from bench.engines.federated import wire, wire_pb2
from bench.engines.federated.contract import Shape
from bench.engines.federated.privacy.registry import MODES
from bench.engines.federated.protocols import fixed_point
from bench.engines.processes import Worker
from bench.engines.registry import ENGINES
from bench.errors import CaseError
from bench.model.logistic import Training

Array = NDArray[np.float64]


# --- whole trainings -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("rows")
    return prepare(dataset(), split.parse("25/25/50"), Balance("none"), 0.3, 1, folder)


def train(rows: Prepared, folder: Path, privacy: str, **settings: Any) -> Outcome:
    training = Training(**{"epochs": 12, **settings})
    return ENGINES["federated"].train(Job(training, privacy, {}, rows, dataset().features, 1, folder / privacy, LIMIT))


@pytest.mark.parametrize("aggregation", ["fedsgd", "fedavg"])
def test_masked_training_is_plain_training_within_the_stated_error(
    rows: Prepared, tmp_path: Path, aggregation: str
) -> None:
    """Steps of gradient descent on a convex loss never move two models apart, so the errors of the steps add up."""
    settings = {"aggregation": aggregation, "optimiser": "sgd", "learning_rate": 0.3}
    plain, hidden = (train(rows, tmp_path, privacy, **settings) for privacy in ("plain", "masked"))
    assert np.abs(plain.models[0].weights).max() > 0.3
    each_round = 3 * 2.0**-41 * (1 + 2 * np.abs(plain.models[0].weights).max())  # the sum, and the shares below it
    assert hidden.models[0].weights == pytest.approx(plain.models[0].weights, rel=0, abs=12 * each_round)
    assert hidden.models[0].means == pytest.approx(plain.models[0].means, rel=1e-13)
    assert hidden.models[0].deviations == pytest.approx(plain.models[0].deviations, rel=1e-13)
    assert hidden.losses == pytest.approx(plain.losses, abs=1e-10)


def test_operations_and_bytes_are_those_of_the_cost_model(rows: Prepared, tmp_path: Path) -> None:
    shape = Shape(parties=3, features=len(dataset().features))
    for privacy in ("plain", "masked"):
        outcome = train(rows, tmp_path, privacy)
        mode = MODES[privacy]
        for party in outcome.parties:
            side = "arbiter" if party.role == "arbiter" else "party"
            done = {name: n for (epoch, name), n in party.recorder.counts.items() if epoch == 6}
            assert done == mode.operations(shape, {"threshold": None}, side)
            if side == "party":
                spans = [span for span in party.recorder.spans if span.epoch == 6 and span.bytes_sent is not None]
                moved = sum(span.bytes_sent or 0 for span in spans), sum(span.bytes_received or 0 for span in spans)
                assert moved == pytest.approx(mode.sizes(shape, {"threshold": None}), rel=0.02)
        measured = {party.role: set(party.operations) for party in outcome.parties if party.operations}
        assert set().union(*measured.values()) == set(
            mode.operations(shape, {"threshold": None}, "party")
            | mode.operations(shape, {"threshold": None}, "arbiter")
        )


def test_a_party_that_is_killed_in_the_middle_is_outlived(tmp_path: Path) -> None:
    options = {"engine": "federated", "privacy": "masked"}
    cases = [
        {"id": "two-left", **options, "training": {"epochs": 800}},
        {"id": "too-few", **options, "privacy_options": {"threshold": 3}, "training": {"epochs": 10_000_000}},
    ]
    suite, out = write_suite(tmp_path / "losses.yml", cases), tmp_path / "out"
    with started("--suite", suite, "--out", out) as process:
        in_training(process.pid, "two-left.1", "9998-host").send_signal(signal.SIGKILL)
        in_training(process.pid, "too-few.1", "9998-host").send_signal(signal.SIGKILL)
        shown, _ = process.communicate(timeout=LIMIT)
    run = run_json(only_run(out))
    outlived, ended = run["cases"]
    assert outlived["status"] == "ok", shown
    assert outlived["epochs_run"] == [800]
    assert {note["line"]["code"] for note in outlived["notes"]} == {"went_on_without", "ended_without_result"}
    assert outlived["dropped_out"] == [{"repeat": 1, "party": "9998"}]
    assert "party 9998 dropped out in repeat 1" in (only_run(out) / "report.html").read_text()
    # What the other two learnt goes on being a mean over their own rows: the loss is that of a model that fits.
    assert outlived["loss"][-1] < 0.6
    assert outlived["metrics"]["auc"]["median"] > 0.75
    assert ended["status"] == "failed"
    assert "party 9998 (host) dropped out in epoch " in ended["error"]
    assert "2 are left and a sum takes 3 (threshold)" in ended["error"]


# --- what the arbiter sees -------------------------------------------------------------------------------------------


class Tap:
    """A proxy in front of the arbiter that keeps every byte that the parties send."""

    def __init__(self, real: Path, own: Path) -> None:
        self.real, self.own, self.streams = real, own, list[bytearray]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        address = wait_for(self.real.exists, "the arbiter listens") and json.loads(self.real.read_text())["address"]
        host, port = address.split(":")
        processes.leave(self.own, {"address": f"127.0.0.1:{self.listener.getsockname()[1]}"})
        while True:
            try:
                party, _ = self.listener.accept()
            except OSError:
                return
            arbiter = socket.create_connection((host, int(port)))
            self.streams.append(bytearray())
            for source, sink, kept in ((party, arbiter, self.streams[-1]), (arbiter, party, bytearray())):
                threading.Thread(target=self._pass_on, args=(source, sink, kept), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):  # either side may be gone at the end
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def messages(stream: bytes) -> Iterator[wire_pb2.FromParty]:
    """Take the messages out of what a client of gRPC sends: HTTP/2 frames (RFC 9113), in them length-prefixed bytes."""
    stream, body = stream.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), b""
    while len(stream) >= 9:
        length, kind = int.from_bytes(stream[:3], "big"), stream[3]
        if kind == 0:  # DATA
            body += stream[9 : 9 + length]
        stream = stream[9 + length :]
    while len(body) >= 5:
        length = int.from_bytes(body[1:5], "big")
        yield wire.parse(wire_pb2.FromParty, body[5 : 5 + length])
        body = body[5 + length :]


def seen_by_the_arbiter(folder: Path, privacy: str, seed: int) -> list[wire_pb2.FromParty]:
    """Train over a tap; return all messages of the parties."""
    table = dataset(400, seed)
    rows = prepare(table, split.parse("25/25/50"), Balance("none"), 0.3, 1, folder / "rows")
    shared = {
        "token": "secret",
        "features": table.features,
        "parties": {shard.party: shard.role for shard in rows.shards},
        "privacy": privacy,
        "privacy_options": {"threshold": None} if privacy == "masked" else {},
        "local_epochs": 1,
        "measure": False,
        "calibrate": False,
    }
    tap = Tap(folder / "arbiter.json", folder / "tap.json")
    workers = [
        Worker(
            shard.party,
            shard.role,
            "bench.engines.federated.party",
            {**shared, "shard": str(shard.folder), "training": {"epochs": 40}, "seed": 1}
            | {"address": str(folder / "tap.json")},
            folder / shard.party,
        )
        for shard in rows.shards
    ]
    arbiter = {**shared, "address": str(folder / "arbiter.json")}
    workers.append(Worker("10000", "arbiter", "bench.engines.federated.arbiter", arbiter, folder / "arbiter"))
    processes.run(workers, LIMIT, lambda _: None)
    tap.listener.close()
    return [message for stream in tap.streams for message in messages(bytes(stream))]


def numbers_of(messages: list[wire_pb2.FromParty], kind: str) -> Array:
    """The 64-bit words of all bodies of a kind, as numbers between 0 and 1."""
    return np.concatenate([np.frombuffer(m.body, "<u8") for m in messages if m.kind == kind]) / 2.0**64


def test_on_the_wire_masked_numbers_tell_nothing_of_the_data(tmp_path: Path) -> None:
    """Uniform, and alike for different data; the same tests tell two plain runs apart from noise and each other."""
    seen = {
        (privacy, seed): seen_by_the_arbiter(tmp_path / f"{privacy}{seed}", privacy, seed)
        for privacy, seed in (("masked", 0), ("masked", 7), ("plain", 0), ("plain", 7))
    }
    hidden = [numbers_of(seen["masked", seed], "round input") for seed in (0, 7)]
    plain = [numbers_of(seen["plain", seed], "round") for seed in (0, 7)]
    for numbers in (*hidden, *plain):
        assert len(numbers) == 3 * 40 * 8
    # A sound mode fails this once in a million runs; in plain the probability is nil.
    assert all(stats.kstest(numbers, "uniform").pvalue > 1e-7 for numbers in hidden)
    assert stats.ks_2samp(*hidden).pvalue > 1e-7
    assert all(stats.kstest(numbers, "uniform").pvalue < 1e-30 for numbers in plain)
    # The scaling's sums are hidden too, and two runs on the same rows share no number.
    assert stats.kstest(numbers_of(seen["masked", 0], "sums input"), "uniform").pvalue > 1e-7
    again = numbers_of(seen_by_the_arbiter(tmp_path / "again", "masked", 0), "round input")
    assert not set(again) & set(hidden[0])
    # No number passes without its mask: what parties send in plain, written as whole numbers, is not among the masked.
    numbers = np.concatenate([wire.numbers(m.body, 8) for m in seen["plain", 0] if m.kind == "round"])
    words = fixed_point.encode(numbers, fixed_point.NARROW, 3)[:, 0]
    masked_words = np.concatenate([np.frombuffer(m.body, "<u8") for m in seen["masked", 0] if "input" in m.kind])
    assert not set(words[words != 0].tolist()) & set(masked_words.tolist())


def test_a_threshold_that_only_the_data_can_refuse_fails_the_case(tmp_path: Path) -> None:
    case = {"id": "one", "engine": "federated", "privacy": "masked", "privacy_options": {"threshold": 5}}
    suite = write_suite(tmp_path / "few.yml", [{**case, "split": "column:score:4"}])
    done = bench("--suite", suite, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert "threshold: 5 parties are needed and there are 4" in done.stderr


def test_a_party_that_fails_by_itself_is_no_party_lost(rows: Prepared, tmp_path: Path) -> None:
    """Before it has joined, in the middle, and in the set-up: the case ends soon, in the party's own words."""
    shards, features = rows.shards, dataset().features
    gone = replace(shards[1], folder=tmp_path / "nowhere")
    odd = replace(shards[1], folder=tmp_path / "odd")
    odd.folder.mkdir()
    np.save(odd.folder / "X.npy", np.load(shards[1].folder / "X.npy"))
    np.save(odd.folder / "y.npy", np.load(shards[1].folder / "y.npy")[:-3])
    for place, (broken, complaint) in enumerate(((gone, r"status 1: .*X\.npy"), (odd, r"status 1: ValueError"))):
        prepared = replace(rows, shards=(shards[0], broken, shards[2]))
        job = Job(Training(epochs=5), "masked", {}, prepared, features, 1, tmp_path / str(place), LIMIT)
        with pytest.raises(CaseError, match=r"^party 9998 \(host\) ended with " + complaint):
            ENGINES["federated"].train(job)


def test_numbers_too_large_to_be_added_end_the_case(rows: Prepared, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"^party \d+ \(\w+\): the number .* does not fit .* lower learning_rate"):
        train(rows, tmp_path, "masked", aggregation="fedavg", optimiser="sgd", learning_rate=1e12, epochs=5)
