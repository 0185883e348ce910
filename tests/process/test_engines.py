from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LIMIT, dataset
from numpy.typing import NDArray

from bench.data import split
from bench.data.prepare import Balance, Prepared, prepare
from bench.engines.contract import Job, Outcome
from bench.engines.registry import ENGINES
from bench.errors import CaseError
from bench.model import logistic
from bench.model.logistic import Training

Array = NDArray[np.float64]
Train = Callable[..., Outcome]
EPOCHS = 15


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Prepared]:
    """Return a function that prepares the small table under a split."""
    made: dict[str, Prepared] = {}

    def make(text: str) -> Prepared:
        if text not in made:
            folder = tmp_path_factory.mktemp("rows")
            made[text] = prepare(dataset(), split.parse(text), Balance("none"), 0.3, 1, folder)
        return made[text]

    return make


@pytest.fixture(scope="module")
def train(prepared: Callable[[str], Prepared], tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function that trains with an engine, once for the same arguments."""
    done: dict[Any, Outcome] = {}

    def run(engine: str, text: str = "25/25/50", again: int = 0, **settings: Any) -> Outcome:
        training = Training(**{"epochs": EPOCHS, **settings})
        key = engine, text, training, again
        if key not in done:
            rows = prepared(text)
            job = Job(training, "plain", {}, rows, dataset().features, 1, tmp_path_factory.mktemp("job"), LIMIT)
            done[key] = ENGINES[engine].train(job)
        return done[key]

    return run


def standardised(prepared: Prepared) -> list[tuple[Array, Array]]:
    """Each party's rows, scaled as they are scaled together."""
    pooled = np.load(prepared.pooled.folder / "X.npy")
    means, deviations = pooled.mean(axis=0), pooled.std(axis=0)
    return [
        ((np.load(shard.folder / "X.npy") - means) / deviations, np.load(shard.folder / "y.npy"))
        for shard in prepared.shards
    ]


@pytest.mark.parametrize(
    ("settings", "parties"),
    [
        ({"optimiser": "rmsprop", "alpha": 0.1}, "25/25/50"),
        ({"optimiser": "sgd", "learning_rate": 0.5}, "25/25/50"),
        ({"optimiser": "adam", "learning_rate": 0.05}, "25/25/50"),
        ({}, "10/90"),
        ({}, "5/15/30/50"),
        ({}, "label:3:0.1"),
    ],
)
def test_fedsgd_is_centralised_training(train: Train, settings: dict[str, Any], parties: str) -> None:
    alone, together = train("centralised", parties, **settings), train("federated", parties, **settings)
    (one,), (other,) = alone.models, together.models
    assert np.abs(one.weights[:-1]).max() > 0.05  # it has learnt something that could differ
    assert other.weights == pytest.approx(one.weights, abs=1e-9)
    assert other.means == pytest.approx(one.means, rel=1e-12)
    assert other.deviations == pytest.approx(one.deviations, rel=1e-12)
    assert together.losses == pytest.approx(alone.losses, abs=1e-12)
    assert alone.epochs_run == together.epochs_run == EPOCHS


def test_training_does_what_the_model_says(train: Train, prepared: Callable[[str], Prepared]) -> None:
    """Gradient descent written out."""
    parts = standardised(prepared("25/25/50"))
    X, y = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    weights, losses = np.zeros(6), []
    for _ in range(EPOCHS):
        z = X @ weights[:-1] + weights[-1]
        shrink = np.append(0.1 * weights[:-1], 0.0)
        losses.append(np.mean(np.logaddexp(0, z) - y * z) + 0.05 * np.sum(weights[:-1] ** 2))
        error = 1 / (1 + np.exp(-z)) - y
        weights = weights - 0.5 * (np.append(error @ X, error.sum()) / len(y) + shrink)
    outcome = train("centralised", optimiser="sgd", learning_rate=0.5, alpha=0.1)
    assert outcome.models[0].weights == pytest.approx(weights, abs=1e-9)
    assert outcome.losses == pytest.approx(losses, abs=1e-9)


@pytest.mark.parametrize("optimiser", ["sgd", "rmsprop"])
def test_fedavg_averages_weights_after_local_epochs(
    train: Train, prepared: Callable[[str], Prepared], optimiser: str
) -> None:
    settings: dict[str, Any] = {
        "optimiser": optimiser,
        "aggregation": "fedavg",
        "local_epochs": 3,
        "learning_rate": 0.1,
    }
    training = Training(epochs=EPOCHS, **settings)
    parts = standardised(prepared("25/25/50"))
    rows = np.array([len(y) for _, y in parts])
    weights = np.zeros(6)
    states = [logistic.start(5)[1] for _ in parts]
    for _ in range(EPOCHS // 3):
        local = []
        for party, (X, y) in enumerate(parts):
            own, state = weights, states[party]
            for _ in range(3):
                sums = logistic.loss_and_gradient(X, y, own)
                own, state = logistic.step(own, logistic.penalised(sums, len(y), own, 1e-5)[1], state, training)
            local.append(own)
            states[party] = state
        weights = np.average(local, axis=0, weights=rows)
    outcome = train("federated", **settings)
    assert outcome.models[0].weights == pytest.approx(weights, abs=1e-9)
    assert outcome.losses is not None
    assert len(outcome.losses) == EPOCHS // 3
    assert outcome.epochs_run == EPOCHS


def test_fedavg_in_mini_batches_learns(train: Train) -> None:
    outcome = train("federated", aggregation="fedavg", local_epochs=3, batch_size=32)
    assert outcome.losses is not None
    assert outcome.losses[-1] < outcome.losses[0]
    assert np.isfinite(outcome.models[0].weights).all()


def test_early_stop_is_the_same_alone_and_together(train: Train) -> None:
    settings = {"optimiser": "sgd", "learning_rate": 1.0, "tolerance": 0.01}
    alone, together = train("centralised", **settings), train("federated", **settings)
    assert 1 < alone.epochs_run < EPOCHS
    assert together.epochs_run == alone.epochs_run
    assert alone.losses is not None
    changes = np.abs(np.diff(alone.losses))
    assert (changes[:-1] >= 0.01).all()
    assert changes[-1] < 0.01


def test_the_same_seed_gives_the_same_bits(train: Train) -> None:
    for engine, settings in (
        ("federated", {}),
        ("federated", {"aggregation": "fedavg", "local_epochs": 3, "batch_size": 32}),
        ("centralised", {"batch_size": 32}),
    ):
        first, second = train(engine, **settings), train(engine, again=1, **settings)
        assert np.array_equal(first.models[0].weights, second.models[0].weights)
        assert first.losses == second.losses


def test_scikit_learns_solver_is_the_bound(train: Train, prepared: Callable[[str], Prepared]) -> None:
    settings = {"optimiser": "sgd", "learning_rate": 1.0, "alpha": 0.01}
    bound = train("centralised", solver="lbfgs", **settings)
    parts = standardised(prepared("25/25/50"))
    X, y = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def objective(weights: Array) -> tuple[float, Array]:
        return logistic.penalised(logistic.loss_and_gradient(X, y, weights), len(y), weights, 0.01)

    least, slope = objective(bound.models[0].weights)
    assert np.abs(slope).max() < 1e-4
    for epochs in (EPOCHS, 150):
        own = train("centralised", epochs=epochs, **settings).models[0].weights
        assert least <= objective(own)[0] + 1e-9
    assert own == pytest.approx(bound.models[0].weights, abs=1e-3)
    assert bound.losses is None


def test_local_models_are_each_partys_own(train: Train, prepared: Callable[[str], Prepared]) -> None:
    outcome = train("local", optimiser="sgd", learning_rate=0.5)
    assert [(model.name, model.party) for model in outcome.models] == [(p, p) for p in ("9999", "9998", "10000")]
    for model, shard in zip(outcome.models, prepared("25/25/50").shards, strict=True):
        X = np.load(shard.folder / "X.npy")
        assert model.means == pytest.approx(X.mean(axis=0))
        assert model.deviations == pytest.approx(X.std(axis=0))
    weights = [model.weights for model in outcome.models]
    assert all(np.abs(weights[a] - weights[b]).max() > 1e-3 for a, b in ((0, 1), (0, 2), (1, 2)))


def test_a_party_is_told_of_its_own_rows_only(prepared: Callable[[str], Prepared], tmp_path: Path) -> None:
    rows = prepared("25/25/50")
    ENGINES["federated"].train(Job(Training(epochs=1), "plain", {}, rows, dataset().features, 1, tmp_path, LIMIT))
    for shard in rows.shards:
        text = (tmp_path / f"{shard.party}-{shard.role}" / "config.json").read_text()
        assert json.loads(text)["shard"] == str(shard.folder)
        others = [*(other for other in rows.shards if other != shard), rows.pooled]
        assert not any(str(other.folder) in text for other in others)
    arbiter = tmp_path / "10000-arbiter" / "config.json"
    assert str(rows.pooled.folder.parent) not in arbiter.read_text()
    for config in tmp_path.glob("*/config.json"):
        assert stat.S_IMODE(config.stat().st_mode) == 0o600  # it holds the token that admits a party


def test_without_measuring_only_epochs_are_timed(prepared: Callable[[str], Prepared], tmp_path: Path) -> None:
    rows, training = prepared("25/25/50"), Training(epochs=4)
    job = Job(training, "plain", {}, rows, dataset().features, 1, tmp_path, LIMIT, measure=False)
    outcome = ENGINES["federated"].train(job)
    assert all(not party.recorder.spans for party in outcome.parties)
    assert all(len(party.recorder.epochs) == 5 for party in outcome.parties if party.role != "arbiter")
    assert outcome.samples.rows == []
    measured = ENGINES["federated"].train(replace(job, measure=True, folder=tmp_path / "measured"))
    assert np.array_equal(measured.models[0].weights, outcome.models[0].weights)


def test_a_case_beyond_its_time_says_whom_it_waited_for(prepared: Callable[[str], Prepared], tmp_path: Path) -> None:
    rows, features = prepared("25/25/50"), dataset().features
    endless = Training(epochs=10_000_000)
    for engine, names in (
        ("federated", r"the arbiter was .* epoch \d+"),
        ("centralised", r"party all \(centralised\)"),
    ):
        job = Job(endless, "plain", {}, rows, features, 1, tmp_path / engine, 3.0)
        with pytest.raises(CaseError, match=names + r".*: not finished after 3 s|" + names + ".*; not finished after"):
            ENGINES[engine].train(job)


@pytest.mark.parametrize("engine", ["centralised", "federated", "local"])
def test_training_that_diverges_names_the_remedy(
    prepared: Callable[[str], Prepared], tmp_path: Path, engine: str
) -> None:
    training = Training(optimiser="sgd", learning_rate=1e300, alpha=1.0, epochs=50)
    job = Job(training, "plain", {}, prepared("25/25/50"), dataset().features, 1, tmp_path, LIMIT)
    with pytest.raises(CaseError, match=r"^party \w+ \(\w+\).*(diverged in epoch \d+; lower learning_rate)") as caught:
        ENGINES[engine].train(job)
    assert "\n" not in str(caught.value)


def test_a_shard_that_is_gone_ends_the_case_by_name(prepared: Callable[[str], Prepared], tmp_path: Path) -> None:
    rows = prepared("25/25/50")
    lost = replace(rows.shards[1], folder=tmp_path / "nowhere")
    broken = replace(rows, shards=(rows.shards[0], lost, rows.shards[2]))
    job = Job(Training(epochs=5), "plain", {}, broken, dataset().features, 1, tmp_path / "job", LIMIT)
    with pytest.raises(CaseError, match=r"^party 9998 \(host\) ended with status 1: .*X\.npy"):
        ENGINES["federated"].train(job)
