from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import LIMIT, dataset
from privacy_helpers import setup_of
from taylor_helpers import OPTIONS, ROUNDS, SEED, local_epochs, training

from bench.data import split
from bench.data.prepare import Balance, Prepared, prepare
from bench.engines.contract import Job, Outcome
from bench.engines.federated.contract import Shape
from bench.engines.federated.privacy.paillier_host import MODE as PAILLIER_HOST
from bench.engines.registry import ENGINES
from bench.errors import CaseError
from bench.model import logistic
from bench.model.logistic import Training


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(dataset(), split.parse("25/25/50"), Balance("none"), 0.3, 1, tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def train(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Training], Outcome]:
    def run(how: Training) -> Outcome:
        folder = tmp_path_factory.mktemp("job")
        job = Job(how, "paillier_host", OPTIONS, prepared, dataset().features, SEED, folder, LIMIT)
        return ENGINES["federated"].train(job)

    return run


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


@pytest.mark.parametrize(
    ("learning_rate", "why"),
    [(1e5, r"sent weights of 8192 or more \(lower learning_rate\) in epoch \d"), (1e290, "may outgrow the key; .*")],
)
def test_weights_that_grow_too_large_are_refused(
    train: Callable[[Training], Outcome], learning_rate: float, why: str
) -> None:
    with pytest.raises(CaseError, match=rf"^party \d+ \(host\):? .*{why}$"):
        train(training(learning_rate=learning_rate))


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
