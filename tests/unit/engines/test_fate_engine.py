"""Engine fate without FATE: what it refuses, what it gives whom, and whom it believes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import dataset

from bench.data import split
from bench.data.prepare import Balance, prepare
from bench.engines import registry
from bench.engines.contract import Job
from bench.engines.fate import engine, hosts, outcome
from bench.errors import CaseError, UserError
from bench.model.logistic import Training

FATE_TRAINING = Training(epochs=12, learning_rate=0.05, aggregation="fedavg")


# --- without FATE ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    table = dataset(600)
    prepared = prepare(table, split.parse("25/25/50"), Balance("none"), 0.3, 1, folder / "rows")
    return Job(FATE_TRAINING, "masked", {}, prepared, table.features, 1, folder / "job", 60)


def test_jobs_between_hosts_need_no_environment_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "PYTHON", tmp_path / "python")
    assert registry.ENGINES["fate"].missing()
    assert registry.ENGINES["fate_hosts"].missing() is None


@pytest.mark.parametrize(
    ("training", "named"),
    [
        (Training(aggregation="fedsgd"), "training.aggregation"),
        (Training(aggregation="fedavg", epochs=10, local_epochs=5), "training.aggregation"),
        (Training(aggregation="fedavg", tolerance=1e-4), "training.tolerance"),
    ],
)
def test_what_homo_lr_cannot_do_is_refused(training: Training, named: str) -> None:
    with pytest.raises(UserError, match=named):
        registry.check("fate", "masked", {}, training, 3)


def test_fate_masks_its_updates_and_so_is_not_called_plain() -> None:
    with pytest.raises(UserError, match="masked"):
        registry.check("fate", "plain", {}, FATE_TRAINING, 3)


def test_a_host_is_given_its_own_party_s_rows_and_no_others(job: Job, tmp_path: Path) -> None:
    hosts.order(job, "t.1", tmp_path)
    X = np.concatenate([np.load(shard.folder / "X.npy") for shard in job.prepared.shards])
    for shard in job.prepared.shards:
        folder = tmp_path / shard.party
        assert [path.name for path in folder.glob("*.csv")] == [f"{shard.party}.csv"]
        path = folder / f"{shard.party}.csv"
        assert path.stat().st_mode & 0o077 == 0 and folder.stat().st_mode & 0o077 == 0
        rows = pd.read_csv(path)
        own = np.load(shard.folder / "X.npy")
        assert rows["y"].tolist() == np.load(shard.folder / "y.npy").tolist()
        assert rows["id"].is_unique
        scaled = (own - X.mean(axis=0)) / X.std(axis=0)
        np.testing.assert_allclose(rows.filter(like="x").to_numpy(), scaled, rtol=1e-5, atol=1e-5)
        said = json.loads((folder / "order.json").read_text())
        assert (said["local"], said["data"]) == ([shard.party], {shard.party: f"{shard.party}.csv"})
        # The largest party's rows: fewer would make FATE train in batches.
        assert said["training"]["batch_size"] == max(other.rows for other in job.prepared.shards)


def test_the_party_that_knows_its_own_fault_is_believed() -> None:
    lost = {"status": "stopped", "fault": "party 9998 (host): cannot be reached", "own": False}
    own = {"status": "stopped", "fault": "party 9998 (host): RabbitMQ has ended", "own": True}
    with pytest.raises(CaseError, match="RabbitMQ has ended"):
        outcome.check({"9999": lost, "9998": own, "10000": lost})
    with pytest.raises(CaseError, match=r"party 9998: .*left no verdict"):
        outcome.check({"9999": {"status": "success", "fault": None}, "9998": {}})
    outcome.check({"9999": {"status": "success", "fault": None}})
