"""Mode paillier: packing, sums under encryption, and what the arbiter is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from phe.paillier import generate_paillier_keypair
from privacy_helpers import Meeting, setup_of

from bench.engines.federated import wire
from bench.engines.federated.contract import Setup, Shape, WrongBodyError
from bench.engines.federated.engine import ENGINE
from bench.engines.federated.privacy.paillier import MODE as PAILLIER
from bench.engines.federated.protocols import paillier
from bench.engines.federated.protocols.packing import Packing, PackingError, plan
from bench.engines.federated.wire_pb2 import PaillierKeys, PaillierSum
from bench.engines.training import AllReduce
from bench.errors import UserError
from bench.model.logistic import Training

Array = NDArray[np.float64]
SHORT = {"key_bits": 1024}

KEY_BITS = st.sampled_from([1024, 2048, 3072])
PARTIES = st.sampled_from([1, 2, 3, 30, 100])


@st.composite
def packings(draw: st.DrawFn) -> Packing:
    kind = draw(st.sampled_from(["round", "sums", "squares"]))
    return plan(kind, draw(st.integers(1, 120)), draw(PARTIES), draw(KEY_BITS))


@st.composite
def numbers_of_parties(draw: st.DrawFn) -> tuple[Packing, list[Array]]:
    """A packing and what some of its parties pack: mostly the extremes, where carries would show."""
    packing = draw(packings())
    extremes = st.sampled_from([0.0, -0.0, packing.limit, -packing.limit, 2.0**-40, -(2.0**-40)])
    values = st.one_of(extremes, st.floats(-packing.limit, packing.limit))
    distinct = draw(
        st.lists(st.lists(values, min_size=packing.values, max_size=packing.values), min_size=1, max_size=3)
    )
    added = draw(st.integers(1, packing.parties))
    return packing, [np.array(distinct[party % len(distinct)]) for party in range(added)]


@given(numbers_of_parties())
@settings(deadline=None, max_examples=60)
def test_sums_of_packed_numbers_are_sums(case: tuple[Packing, list[Array]]) -> None:
    packing, vectors = case
    packed = [packing.pack(vector) for vector in vectors]
    summed = [sum(column) for column in zip(*packed, strict=True)]
    for number, exact in zip(packing.unpack(summed, len(vectors)), zip(*vectors, strict=True), strict=True):
        due = sum(map(Fraction, exact), Fraction())
        assert abs(Fraction(number) - due) <= Fraction(packing.error()) + abs(due) / 2**53
    assert len(packed[0]) == packing.integers


@given(packings())
@settings(deadline=None)
def test_the_largest_sum_fits_the_key(packing: Packing) -> None:
    largest = packing.pack(np.full(packing.values, packing.limit))
    assert all(packing.parties * integer < 2 ** (key_bits_of(packing) - 2) for integer in largest)


def key_bits_of(packing: Packing) -> int:
    return min(bits for bits in (1024, 2048, 3072) if packing.slots * packing.slot_bits <= bits - 2)


def test_a_round_of_37_features_is_one_ciphertext() -> None:
    packing = plan("round", 40, 3, 2048)
    assert packing.integers == 1
    assert packing.error() <= 3 * 2**-35


@given(packings(), st.data())
@settings(deadline=None)
def test_what_would_overflow_is_refused(packing: Packing, data: st.DataObject) -> None:
    beyond = packing.limit * (1 + 2**-40) + 2.0 ** (1 - packing.fraction_bits)
    value = data.draw(st.sampled_from([beyond, -beyond, 1e300, -1e300, math.inf, -math.inf, math.nan]))
    place = data.draw(st.integers(0, packing.values - 1))
    vector = np.zeros(packing.values)
    vector[place] = value
    with pytest.raises(PackingError, match=rf"value {place + 1} of {packing.values} is "):
        packing.pack(vector)


def test_what_is_no_sum_is_refused() -> None:
    packing = plan("round", 40, 3, 2048)
    packed = packing.pack(np.full(40, packing.limit))
    for integers, added in ((packed, 0), (packed, 4), ([], 1), ([3 * packed[0]], 2), ([packed[0] << 60], 3)):
        with pytest.raises(PackingError):
            packing.unpack(integers, added)


@given(st.lists(st.floats(-2700, 2700), min_size=1, max_size=40), st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_sums_survive_encryption(values: list[float], added: int) -> None:
    packing = plan("round", len(values), 3, 1024)
    encrypted = [[KEY[0].raw_encrypt(number) for number in packing.pack(np.array(values))] for _ in range(added)]
    product = paillier.multiply(encrypted, KEY[0].nsquare)
    total = packing.unpack([KEY[1].raw_decrypt(number) for number in product], added)
    assert total == pytest.approx(added * np.array(values), abs=packing.error(), rel=1e-15)


KEY = generate_paillier_keypair(n_length=1024)


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    """Three parties that have added up numbers of very different sizes."""
    meeting = Meeting(PAILLIER, 5, SHORT)

    def work(setup: Setup, exchange: AllReduce) -> None:
        rng = np.random.default_rng(int(setup.party))
        for kind, size, magnitude in (("sums", 6, 1e11), ("squares", 5, 1e22), ("round", 8, 2000.0)):
            vector = rng.uniform(-magnitude, magnitude, size)
            vectors.setdefault(kind, {})[setup.party] = vector
            totals.setdefault(kind, []).append(exchange(kind, vector))

    vectors: dict[str, dict[str, Array]] = {}
    totals: dict[str, list[Array]] = {}
    meeting.run(work)
    for kind, parts in vectors.items():
        for total in totals[kind]:
            assert total == pytest.approx(np.sum(list(parts.values()), axis=0), rel=1e-14, abs=1e-11)
    return meeting


def test_the_arbiter_is_sent_no_private_key_and_no_number(meeting: Meeting) -> None:
    public = next(body for step, _, bodies in meeting.sent if step == "keys" for body in bodies.values() if body)
    n = paillier.public_key(PaillierKeys.FromString(public).n, 1024).n
    for _, _, bodies in meeting.sent:
        for body in bodies.values():
            for length in (64, 128):
                for start in range(len(body) - length + 1):
                    number = int.from_bytes(body[start : start + length], "big")
                    assert number in (0, 1, n) or math.gcd(number, n) in (1, n)
    rounds = [body for _, kind, bodies in meeting.sent if kind == "round" for body in bodies.values()]
    assert len(rounds) == 3
    assert len({PaillierSum.FromString(body).ciphertexts for body in rounds}) == 3
    # A ciphertext without randomness is 1 + n m, which anybody reads; and equal numbers must not look equal.
    sums = [PaillierSum.FromString(b) for _, kind, bodies in meeting.sent for b in bodies.values() if kind]
    ciphertexts = [c for s in sums for c in paillier.read(s.ciphertexts, len(s.ciphertexts) // 256, n)]
    assert all(ciphertext % n != 1 for ciphertext in ciphertexts)
    assert len(set(ciphertexts)) == len(ciphertexts)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda message: message.MergeFrom(PaillierSum(key=b"another")), "another key"),
        (lambda message: message.MergeFrom(PaillierSum(ciphertexts=message.ciphertexts[:-1])), "bytes where 256"),
        (lambda message: message.MergeFrom(PaillierSum(ciphertexts=bytes(256))), "not between 1 and"),
        (lambda message: message.MergeFrom(PaillierSum(ciphertexts=b"\xff" * 256)), "not between 1 and"),
    ],
)
def test_a_party_that_sends_what_was_not_due_is_named(
    meeting: Meeting, change: Callable[[PaillierSum], None], what: str
) -> None:
    bodies = dict(meeting.sent[-1][2])
    message = PaillierSum.FromString(bodies["9998"])
    change(message)
    with pytest.raises(WrongBodyError, match=what) as refusal:
        meeting.combine("sum", "round", {**bodies, "9998": message.SerializeToString()})
    assert refusal.value.party == "9998"


def test_a_private_key_from_somebody_else_is_refused() -> None:
    """The arbiter exchanges the guest's keys for its own."""

    class Swapping(Meeting):
        def _answers(self, step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
            answers = super()._answers(step, kind, bodies)
            if step == "keys":
                own = paillier.to_bytes(KEY[0].n, 128)
                for party in ("9998", "10000"):
                    keys = PaillierKeys.FromString(answers[party])
                    answers[party] = PaillierKeys(n=own, private_keys=keys.private_keys).SerializeToString()
            return answers

    with pytest.raises(wire.WireError, match="sealed message that cannot be opened"):
        Swapping(PAILLIER, 5, SHORT).run(lambda *_: None)


@pytest.mark.parametrize("key_bits", [512, 2047, 4096, "2048", 2048.0, None])
def test_other_key_lengths_are_refused(key_bits: object) -> None:
    for mode in ("paillier", "paillier_host"):
        with pytest.raises(UserError, match=r"privacy_options.key_bits: .* is not one of 1024, 2048, 3072"):
            ENGINE.resolve_options(mode, {"key_bits": key_bits}, Training(aggregation="fedavg", optimiser="sgd"), 3)


def test_calibration_times_what_each_side_does() -> None:
    sides: tuple[Literal["party"], Literal["arbiter"]] = ("party", "arbiter")
    for side in sides:
        measured = PAILLIER.protocol().calibrate(setup_of("", 5, SHORT), side)
        assert set(measured) == set(PAILLIER.operations(Shape(3, 5), SHORT, side))
        assert all(0 < seconds < 1 for seconds in measured.values())
