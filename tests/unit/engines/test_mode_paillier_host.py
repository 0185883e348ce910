"""Mode paillier_host: hosts never hold the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from privacy_helpers import ROLES, Meeting
from taylor_helpers import OPTIONS, ROUNDS, SEED, local_epochs, training

from bench.engines.federated.contract import Setup, WrongBodyError
from bench.engines.federated.engine import ENGINE
from bench.engines.federated.privacy.paillier_host import MODE as PAILLIER_HOST
from bench.engines.federated.protocols import paillier
from bench.engines.federated.wire_pb2 import EncryptedModel, PaillierKeys
from bench.engines.training import AllReduce
from bench.errors import UserError


@pytest.fixture(scope="module")
def meeting() -> tuple[Meeting, dict[str, dict[str, Any]]]:
    """Three parties that have trained, with a renewal in each round."""
    meeting = Meeting(PAILLIER_HOST, 5, OPTIONS)
    how = training(epochs=3 * ROUNDS, local_epochs=3)

    def work(setup: Setup, exchange: AllReduce) -> dict[str, Any]:
        rng = np.random.default_rng(int(setup.party))
        X = rng.normal(size=(60, 5))
        setup.recorder.begin_epoch(0)
        return PAILLIER_HOST.protocol().train(
            setup, X, (X[:, 0] > rng.normal(size=60)).astype(float), how, SEED, exchange
        )

    return meeting, meeting.run(work)


def _keys_of(passed: Meeting) -> bytes:
    """The answer that tells a host its key."""
    (keys,) = (answers for step, _, answers in passed.answered if step == "keys")
    return keys["9998"]


def test_hosts_never_hold_the_model(meeting: tuple[Meeting, dict[str, dict[str, Any]]]) -> None:
    passed, results = meeting
    assert [name for name, result in results.items() if "weights" in result] == ["9999"]
    assert results["9998"]["losses"] == results["9999"]["losses"]
    assert results["9998"]["means"] == results["9999"]["means"]
    weights = [np.float64(weight).tobytes() for weight in results["9999"]["weights"]]
    after = [(step, answers) for step, kind, answers in passed.answered if kind == "round" or step == "renew"]
    assert [step for step, _ in after] == ["renew", "renew", "sum"] * ROUNDS
    assert all(weight in after[-1][1]["9999"] for weight in weights)
    for _, answers in after:
        for host in set(answers) - {"9999"}:
            assert not any(weight in answers[host] for weight in weights)
    # A ciphertext without randomness is 1 + n m, which anybody reads.
    n = int.from_bytes(PaillierKeys.FromString(_keys_of(passed)).n, "big")
    messages = [body for step, _, answers in passed.answered for host, body in answers.items() if step == "renew"]
    messages += [bodies[h] for s, kind, bodies in passed.sent if kind == "round" for h in set(bodies) - {"9999"}]
    for message in map(EncryptedModel.FromString, messages):
        assert all(c % n != 1 for c in paillier.read(message.ciphertexts, 6, n))
    # What a host is told of the key is n alone.
    (keys,) = (answers for step, _, answers in passed.answered if step == "keys")
    for answer in keys.values():
        assert [field.name for field, _ in PaillierKeys.FromString(answer).ListFields()] == ["n"]


@pytest.mark.parametrize(
    ("step", "change", "what"),
    [
        ("sum", {"key": b"another"}, "another key"),
        ("renew", {"key": b"another"}, "another key"),
        ("sum", {"ciphertexts": bytes(6 * 256)}, "not between 1 and"),
        ("renew", {"ciphertexts": b"\1"}, "1 bytes where 1536"),
        ("sum", {"fraction_bits": 5000}, "5000 bits behind the point"),
        ("renew", {"fraction_bits": 48}, "weights of 8192 or more"),
    ],
)
def test_a_host_that_sends_what_was_not_due_is_named(
    meeting: tuple[Meeting, dict[str, dict[str, Any]]], step: str, change: dict[str, Any], what: str
) -> None:
    passed, _ = meeting
    bodies = dict(next(bodies for sent, kind, bodies in passed.sent if sent == step and kind in ("round", "")))
    host = next(party for party in bodies if ROLES[party] == "host")
    message = EncryptedModel.FromString(bodies[host])
    message.MergeFrom(EncryptedModel(**change))
    with pytest.raises(WrongBodyError, match=what) as refusal:
        passed.combine(step, "round", {**bodies, host: message.SerializeToString()})
    assert refusal.value.party == host


@pytest.mark.parametrize(
    ("settings", "options", "what"),
    [
        ({"aggregation": "fedsgd"}, {}, "training.aggregation: .* use aggregation: fedavg"),
        ({"optimiser": "rmsprop"}, {}, "training.optimiser: .* use sgd"),
        ({}, {"re_encrypt_batches": 0}, "privacy_options.re_encrypt_batches: 0 is not a whole number"),
        ({}, {"re_encrypt_batches": 1.5}, "privacy_options.re_encrypt_batches: 1.5 is not a whole number"),
        ({}, {"re_encrypt_batches": 60}, "60 steps do not fit a key of 2048 bits; 54 do"),
        ({}, {"re_encrypt_batches": 60, "key_bits": 1024}, "60 steps do not fit a key of 1024 bits; 25 do"),
    ],
)
def test_what_cannot_be_trained_encrypted_is_refused(
    settings: dict[str, Any], options: dict[str, Any], what: str
) -> None:
    with pytest.raises(UserError, match=what):
        ENGINE.resolve_options("paillier_host", options, training(**settings), 3)


def test_as_many_steps_as_fit_are_right() -> None:
    """The largest number of steps without renewal that a short key allows, taken at once."""
    options = {"key_bits": 1024, "re_encrypt_batches": 25}
    how = training(epochs=25, local_epochs=25)
    ENGINE.resolve_options("paillier_host", options, how, 3)

    def work(setup: Setup, exchange: AllReduce) -> Any:
        rng = np.random.default_rng(int(setup.party))
        X = rng.normal(size=(60, 2))
        setup.recorder.begin_epoch(0)
        return PAILLIER_HOST.protocol().train(
            setup, X, (X[:, 0] > rng.normal(size=60)).astype(float), how, SEED, exchange
        ), X

    passed = Meeting(PAILLIER_HOST, 2, options)
    results = passed.run(work)
    assert not [step for step, _, _ in passed.sent if step == "renew"]
    expected = np.zeros(3)
    for name, (_, X) in results.items():
        rng = np.random.default_rng(int(name))
        raw = rng.normal(size=(60, 2))
        y = (raw[:, 0] > rng.normal(size=60)).astype(float)
        expected += local_epochs(ROLES[name], X, y, np.zeros(3), how, np.random.default_rng(SEED)) / 3
    assert results["9999"][0]["weights"] == pytest.approx(expected, abs=1e-7)
