from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import dataset
from numpy.typing import NDArray
from privacy_helpers import ROLES, Meeting, setup_of

from bench.data import split
from bench.data.prepare import Balance, Prepared, prepare
from bench.engines.contract import Job, Outcome
from bench.engines.federated.contract import Setup, Shape, WrongBodyError
from bench.engines.federated.privacy.paillier_host import MODE as PAILLIER_HOST
from bench.engines.federated.privacy.registry import resolve_options
from bench.engines.federated.protocols import paillier
from bench.engines.federated.wire_pb2 import EncryptedModel, PaillierKeys
from bench.engines.registry import ENGINES
from bench.engines.training import AllReduce
from bench.errors import CaseError, UserError
from bench.model import logistic
from bench.model.logistic import Training

Array = NDArray[np.float64]
OPTIONS = {"key_bits": 1024, "re_encrypt_batches": 2}
ROUNDS = 2
SEED = 1


def training(**settings: Any) -> Training:
    return Training(
        **{
            "aggregation": "fedavg",
            "optimiser": "sgd",
            "learning_rate": 0.3,
            "alpha": 0.1,
            "epochs": ROUNDS,
            **settings,
        }
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(dataset(), split.parse("25/25/50"), Balance("none"), 0.3, 1, tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def train(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Training], Outcome]:
    def run(how: Training) -> Outcome:
        folder = tmp_path_factory.mktemp("job")
        job = Job(how, "paillier_host", OPTIONS, prepared, dataset().features, SEED, folder, 60.0)
        return ENGINES["federated"].train(job)

    return run


def local_epochs(role: str, X: Array, y: Array, weights: Array, how: Training, rng: np.random.Generator) -> Array:
    """One party's part of a round written out: the guest's true gradient, the hosts' Taylor gradient, row by row."""
    size = min(how.batch_size or len(y), len(y))
    for _ in range(how.local_epochs):
        order = rng.permutation(len(y)) if size < len(y) else np.arange(len(y))
        for first in range(0, len(y), size):
            batch = order[first : first + size]
            x, sign = np.column_stack((X[batch], np.ones(len(batch)))), 2 * y[batch] - 1
            z = x @ weights
            slope = -sign / (1 + np.exp(sign * z)) if role == "guest" else 0.25 * z - 0.5 * sign
            gradient = x.T @ slope / len(batch) + how.alpha * np.append(weights[:-1], 0.0)
            weights = weights - how.learning_rate * gradient
    return weights


@pytest.mark.parametrize("settings", [{"epochs": 3 * ROUNDS, "local_epochs": 3}, {"batch_size": 20}])
def test_hosts_train_on_the_taylor_gradient(
    prepared: Prepared, train: Callable[[Training], Outcome], settings: dict[str, Any]
) -> None:
    how = training(**settings)
    pooled = np.load(prepared.pooled.folder / "X.npy")
    means, deviations = pooled.mean(axis=0), pooled.std(axis=0)
    parts = [
        (shard.role, (np.load(shard.folder / "X.npy") - means) / deviations, np.load(shard.folder / "y.npy"))
        for shard in prepared.shards
    ]
    rngs = [np.random.default_rng(SEED) for _ in parts]
    weights = np.zeros(6)
    for _ in range(ROUNDS):
        local = [local_epochs(*part, weights, how, rng) for part, rng in zip(parts, rngs, strict=True)]
        weights = np.average(local, axis=0, weights=[len(part[2]) for part in parts])

    outcome = train(how)
    (model,) = outcome.models
    assert model.weights == pytest.approx(weights, abs=1e-7)
    assert np.abs(model.weights).max() > 0.05
    _, X, y = next(part for part in parts if part[0] == "guest")
    assert outcome.losses is not None
    assert outcome.losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert len(outcome.losses) == ROUNDS
    if how.batch_size is None:
        assert outcome.losses[0] == pytest.approx(logistic.loss_and_gradient(X, y, np.zeros(6)).loss / len(y))
    assert outcome.epochs_run == how.epochs
    counts = next(trace for trace in outcome.parties if trace.role == "arbiter").recorder.counts
    assert counts[1, "decrypt"] > 6 * 2  # some weights were renewed before the round's end


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
    ("learning_rate", "why"),
    [(1e5, r"sent weights of 8192 or more \(lower learning_rate\) in epoch \d"), (1e290, "may outgrow the key; .*")],
)
def test_weights_that_grow_too_large_are_refused(
    train: Callable[[Training], Outcome], learning_rate: float, why: str
) -> None:
    with pytest.raises(CaseError, match=rf"^party \d+ \(host\):? .*{why}$"):
        train(training(learning_rate=learning_rate))


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
        resolve_options("paillier_host", options, training(**settings), 3)


def test_as_many_steps_as_fit_are_right() -> None:
    """The largest number of steps without renewal that a short key allows, taken at once."""
    options = {"key_bits": 1024, "re_encrypt_batches": 25}
    how = training(epochs=25, local_epochs=25)
    resolve_options("paillier_host", options, how, 3)

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


def test_operations_and_bytes_are_as_computed(train: Callable[[Training], Outcome]) -> None:
    shape, traces = Shape(3, 5), train(training()).parties
    for trace in traces:
        done = {operation: n for (epoch, operation), n in trace.recorder.counts.items() if epoch == 1}
        if trace.role != "guest":
            side: Any = "arbiter" if trace.role == "arbiter" else "party"
            assert done == PAILLIER_HOST.operations(shape, OPTIONS, side)
    host = next(trace for trace in traces if trace.role == "host")
    (span,) = (span for span in host.recorder.spans if span.epoch == 1 and span.phase == "transfer")
    sent, received = PAILLIER_HOST.sizes(shape, OPTIONS)
    assert span.bytes_sent == pytest.approx(sent, abs=4)
    assert span.bytes_received == pytest.approx(received, abs=4)
    assert [count for _, _, count in PAILLIER_HOST.reference_operations(100, 5)] == [1100]
    for name in ("party", "arbiter"):
        side = name
        measured = PAILLIER_HOST.protocol().calibrate(setup_of("", 5, OPTIONS), side)
        assert set(measured) >= set(PAILLIER_HOST.operations(shape, OPTIONS, side))
        assert all(0 < seconds < 1 for seconds in measured.values())
