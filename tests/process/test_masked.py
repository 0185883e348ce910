"""Mode masked: its arithmetic, its protocol with and without losses, and what the arbiter sees of it on the wire."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import bench, dataset, in_training, only_run, run_json, started, wait_for, write_suite
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench.data import split
from bench.data.prepare import Balance, Prepared, prepare
from bench.engines import processes
from bench.engines.contract import Job, Outcome
from bench.engines.federated import wire, wire_pb2
from bench.engines.federated.contract import Setup, Shape
from bench.engines.federated.privacy.masked import MODE as MASKED
from bench.engines.federated.privacy.registry import MODES
from bench.engines.federated.protocols import fixed_point, sealed, shamir
from bench.engines.processes import Worker
from bench.engines.registry import ENGINES
from bench.errors import CaseError
from bench.measure.spans import Recorder
from bench.model import logistic
from bench.model.logistic import Training

Array = NDArray[np.float64]
FORMATS = st.sampled_from([fixed_point.NARROW, fixed_point.WIDE])


# --- arithmetic ------------------------------------------------------------------------------------------------------


@given(st.data(), FORMATS, st.integers(1, 100))
@settings(deadline=None, max_examples=80)
def test_sums_are_exact_over_the_whole_range(data: st.DataObject, form: fixed_point.Format, parties: int) -> None:
    largest = float(np.nextafter(form.limit / parties, 0))
    numbers = st.one_of(st.sampled_from([largest, -largest, 0.0, 2.0**-41]), st.floats(-largest, largest))
    vectors = data.draw(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=4))
    vectors = [vectors[place % len(vectors)] for place in range(parties)]
    total = fixed_point.encode(np.array(vectors[0]), form, parties)
    for vector in vectors[1:]:
        total = fixed_point.add(total, fixed_point.encode(np.array(vector), form, parties))
    for got, column in zip(fixed_point.decode(total, form), zip(*vectors, strict=True), strict=True):
        due = sum(map(Fraction, column), Fraction())
        stated = Fraction(parties, 2 ** (form.fraction + 1))
        assert abs(Fraction(float(got)) - due) <= stated + abs(due) / 2**53


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
@settings(deadline=None)
def test_words_add_as_whole_numbers_do(one: int, other: int) -> None:
    def words(number: int) -> fixed_point.Words:
        return fixed_point.from_bytes(number.to_bytes(32, "little"), fixed_point.WIDE)

    def number(words: fixed_point.Words) -> int:
        return int.from_bytes(fixed_point.to_bytes(words), "little")

    assert number(fixed_point.add(words(one), words(other))) == (one + other) % 2**256
    assert number(fixed_point.negate(words(one))) == -one % 2**256


@given(FORMATS, st.integers(1, 100), st.sampled_from([1.0, 3.7, 1e200, np.inf, np.nan]))
@settings(deadline=None)
def test_what_does_not_fit_is_refused(form: fixed_point.Format, parties: int, factor: float) -> None:
    with pytest.raises(OverflowError, match=r"does not fit into a sum of \d+ parties .*lower learning_rate"):
        fixed_point.encode(np.array([0.0, form.limit / parties * factor]), form, parties)


@given(st.binary(min_size=32, max_size=32), st.integers(2, 8), st.data())
@settings(deadline=None)
def test_any_threshold_of_the_shares_gives_the_secret_and_fewer_do_not(
    secret: bytes, threshold: int, data: st.DataObject
) -> None:
    places = list(range(1, data.draw(st.integers(threshold, 12)) + 1))
    shares = dict(zip(places, shamir.split(secret, threshold, places), strict=True))
    some = data.draw(st.permutations(places))
    assert shamir.join({place: shares[place] for place in some[:threshold]}) == secret
    assert shamir.join({place: shares[place] for place in some[: threshold - 1]}) != secret


def test_a_sealed_message_opens_for_its_receiver_only() -> None:
    one, other, third = (sealed.KeyPair.make() for _ in range(3))
    key = sealed.agree(one.private, other.public, "shares")
    assert key == sealed.agree(other.private, one.public, "shares")
    box = sealed.seal(key, b"a share", "1>2")
    assert sealed.unseal(key, box, "1>2") == b"a share"
    assert b"a share" not in box
    for wrong_key, wrong_box, context in (
        (sealed.agree(third.private, one.public, "shares"), box, "1>2"),
        (sealed.agree(one.private, other.public, "mask"), box, "1>2"),
        (key, box, "2>1"),
        (key, box[:-1] + bytes([box[-1] ^ 1]), "1>2"),
        (key, b"", "1>2"),
    ):
        with pytest.raises(wire.WireError, match="cannot be opened"):
            sealed.unseal(wrong_key, wrong_box, context)
    with pytest.raises(wire.WireError, match="public key that is none"):
        sealed.agree(one.private, bytes(32), "shares")


# --- the protocol, with parties that are lost ------------------------------------------------------------------------


SEEDS, KEYS = attrgetter("seed_shares"), attrgetter("key_shares")


class LostError(Exception):
    """A party is gone."""


class Meeting:
    """Parties as threads, and an arbiter that goes on with those that are left, as the real one does."""

    def __init__(self, parties: int, losses: Mapping[str, int]) -> None:
        """``losses``: party -> the number of the message that it never sends."""
        self.roles = {str(9999 - place): "host" for place in range(parties)}
        self.losses, self.present = losses, set(self.roles)
        self.combine = MASKED.protocol().arbiter(self._setup(""))
        self.changed = threading.Condition()
        self.number, self.arrived, self.answers = 0, dict[str, bytes](), dict[str, bytes]()
        self.labels: dict[int, tuple[str, str]] = {}
        self.unmasked: list[dict[str, bytes]] = []  # what was sent in each step "unmask"

    def _setup(self, party: str) -> Setup:
        return Setup(party, f"party {party}", self.roles, 4, {"threshold": None}, Recorder())

    def run(self, work: Callable[[str, Callable[[str, Array], Array]], Any]) -> dict[str, Any]:
        """Let everybody join and do its work; return what those that are left brought."""

        def member(party: str) -> Any:
            own = 0

            def talk(step: str, kind: str, body: bytes) -> bytes:
                nonlocal own
                with self.changed:
                    if self.losses.get(party) == own:
                        self.present.discard(party)
                        self._finish_if_complete()
                        raise LostError
                    own += 1
                    number = self.number
                    self.labels[number] = step, kind
                    self.arrived[party] = body
                    self._finish_if_complete()
                    assert self.changed.wait_for(lambda: self.number > number, 30)
                    return self.answers[party]

            try:
                return work(party, MASKED.protocol().party(self._setup(party), talk))
            except LostError:
                return None

        with ThreadPoolExecutor(len(self.roles)) as pool:
            found = dict(zip(self.roles, pool.map(member, self.roles), strict=True))
        return {party: found[party] for party in self.roles if party in self.present}

    def _finish_if_complete(self) -> None:
        if self.arrived and self.present <= set(self.arrived):
            bodies = {party: self.arrived[party] for party in self.roles if party in self.arrived}
            step, kind = self.labels[self.number]
            self.unmasked += [bodies] if step == "unmask" else []
            self.answers = self.combine(step, kind, bodies)
            self.arrived, self.number = {}, self.number + 1
            self.changed.notify_all()


@given(st.integers(2, 7), st.data())
@settings(deadline=None, max_examples=25)
def test_masks_cancel_whoever_is_lost_and_whenever(parties: int, data: st.DataObject) -> None:
    ids = [str(9999 - place) for place in range(parties)]
    threshold = max(2, parties // 2 + 1)
    victims = data.draw(st.permutations(ids))[: data.draw(st.integers(0, parties - threshold))]
    # Messages: 0 join, 1 keys, then input and unmask of three sums.
    losses = {victim: data.draw(st.integers(2, 7)) for victim in victims}
    rounds = [
        {party: data.draw(st.lists(st.floats(-1e4, 1e4), min_size=7, max_size=7)) for party in ids} for _ in range(3)
    ]
    meeting = Meeting(parties, losses)

    def work(party: str, exchange: Callable[[str, Array], Array]) -> list[Array]:
        return [exchange("round", np.array(vectors[party])) for vectors in rounds]

    left = meeting.run(work)
    assert set(left) == set(ids) - set(losses)
    for number, vectors in enumerate(rounds):
        # Whoever had sent its numbers is in the sum, though it dropped out before the masks were off.
        added = [np.array(vectors[party]) for party in ids if losses.get(party, 99) > 2 + 2 * number]
        for sums in left.values():
            assert sums[number] == pytest.approx(np.sum(added, axis=0), abs=parties * 2.0**-41 + 1e-11)
    for bodies in meeting.unmasked:
        given = [wire.parse(wire_pb2.Unmask, body) for body in bodies.values()]
        seeds, keys = ({party for one in given for party in shares(one)} for shares in (SEEDS, KEYS))
        assert not seeds & keys  # of nobody both: the two together would lay its numbers open
        assert keys <= set(losses)


def test_a_party_gives_no_share_for_fewer_than_the_threshold() -> None:
    """An arbiter that names too few parties, or one that is none, is not believed."""
    ids = ["9999", "9998", "9997"]
    setup = Setup("9999", "party 9999", dict.fromkeys(ids, "host"), 4, {"threshold": None}, Recorder())
    pairs = {party: sealed.KeyPair.make() for party in ids}
    spoken: list[str] = []

    def talk(survivors: list[str]) -> Callable[[str, str, bytes], bytes]:
        def answer(step: str, kind: str, body: bytes) -> bytes:
            spoken.append(step)
            if step == wire.JOIN:
                return sealed.public_keys({**{party: pair.public for party, pair in pairs.items()}, "9999": body})
            if step == "keys":
                keys = {party: pair.public for party, pair in pairs.items()}
                shares = dict.fromkeys(ids[1:], bytes(94))
                return wire_pb2.OthersKeys(public_keys=keys, shares=shares).SerializeToString()
            return wire_pb2.Survivors(parties=survivors).SerializeToString()

        return answer

    for survivors in (["9999"], ["9999", "9999"], ["9999", "1"], ["9998", "9997"]):
        spoken.clear()
        with pytest.raises(wire.WireError, match=r"at least 2 must take part|list of parties that cannot be"):
            MASKED.protocol().party(setup, talk(survivors))("round", np.zeros(7))
        assert spoken == [wire.JOIN, "keys", "input"]


def test_small_columns_are_scaled_as_in_plain() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4)) * [1e-18, 1e-9, 1.0, 1e12] + [1e-18, 0.0, 3.0, -1e12]
    expected = logistic.standardise_in_place(X.copy(), lambda _, vector: vector)
    parts = dict(zip(("9999", "9998"), (X[:150].copy(), X[150:].copy()), strict=True))

    def work(party: str, exchange: Callable[[str, Array], Array]) -> logistic.Moments:
        return logistic.standardise_in_place(parts[party], exchange)

    for found in Meeting(2, {}).run(work).values():
        assert found[0] == pytest.approx(expected[0], rel=1e-9)
        assert found[1] == pytest.approx(expected[1], rel=1e-9)


# --- whole trainings -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("rows")
    return prepare(dataset(), split.parse("25/25/50"), Balance("none"), 0.3, 1, folder)


def train(rows: Prepared, folder: Path, privacy: str, **settings: Any) -> Outcome:
    training = Training(**{"epochs": 12, **settings})
    return ENGINES["federated"].train(Job(training, privacy, {}, rows, dataset().features, 1, folder / privacy, 60.0))


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
        shown, _ = process.communicate(timeout=120)
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
        address = wait_for(self.real.exists, 60, "the arbiter listens") and json.loads(self.real.read_text())["address"]
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
    processes.run(workers, 60.0, lambda _: None)
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


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        ({"privacy": "masked", "privacy_options": {"threshold": 4}}, "threshold: 4 parties are needed and there are 3"),
        ({"privacy": "masked", "privacy_options": {"threshold": 1}}, "threshold: 1 is not a whole number of at least"),
        ({"privacy": "masked", "privacy_options": {"key_bits": 1}}, "'key_bits' is no option of masked"),
        ({"privacy": "plain", "privacy_options": {"key_bits": 1}}, "'key_bits' is no option of plain; it has none"),
        ({"privacy": "secret"}, "'secret' is not available with engine federated; choose from plain, masked"),
        ({"privacy": "dp", "privacy_options": {"epsilon": 0}}, "epsilon: 0 is not a number above 0"),
        ({"privacy": "dp", "privacy_options": {"epsilon": -1.5}}, "epsilon: -1.5 is not a number above 0"),
        ({"privacy": "dp", "privacy_options": {"delta": 1}}, "delta: 1 is not a number above 0 and below 1"),
        ({"privacy": "dp", "privacy_options": {"clip": True}}, "clip: True is not a number above 0"),
        ({"privacy": "dp", "privacy_options": {"protects": "all"}}, "protects: 'all' is not one of row, party"),
        ({"privacy": "dp", "training": {"tolerance": 0.1}}, "with dp the loss is not shared"),
        ({"privacy": "dp", "training": {"aggregation": "fedavg"}}, "use aggregation: fedsgd"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(
    tmp_path: Path, case: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.run import __main__ as cli_of_run

    suite = write_suite(tmp_path / "wrong.yml", [{"id": "wrong", "engine": "federated", **case}])
    assert cli_of_run.main(["--suite", str(suite), "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("error: case wrong: ")
    assert complaint in shown
    assert "\n" not in shown
    assert not (tmp_path / "out").exists()


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
        job = Job(Training(epochs=5), "masked", {}, prepared, features, 1, tmp_path / str(place), 60.0)
        with pytest.raises(CaseError, match=r"^party 9998 \(host\) ended with " + complaint):
            ENGINES["federated"].train(job)


def test_numbers_too_large_to_be_added_end_the_case(rows: Prepared, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"^party \d+ \(\w+\): the number .* does not fit .* lower learning_rate"):
        train(rows, tmp_path, "masked", aggregation="fedavg", optimiser="sgd", learning_rate=1e12, epochs=5)
