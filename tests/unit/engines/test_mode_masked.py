"""Mode masked: its arithmetic, and its protocol with and without parties that drop out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LIMIT, write_suite
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.engines.federated import wire, wire_pb2
from bench.engines.federated.contract import Setup
from bench.engines.federated.privacy.masked import MODE as MASKED
from bench.engines.federated.protocols import fixed_point, sealed, shamir
from bench.measure.spans import Recorder
from bench.model import logistic

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
    with pytest.raises(wire.WireError, match="public key that is not valid"):
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
                    assert self.changed.wait_for(lambda: self.number > number, LIMIT)
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
