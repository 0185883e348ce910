"""Mode dp: the noise is as much as the guarantee takes, and one row moves a sum by no more than the clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LIMIT, dataset

from bench.data import split
from bench.data.prepare import Balance, Prepared, prepare
from bench.engines.contract import Job, Outcome
from bench.engines.registry import ENGINES
from bench.model.logistic import Training


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(dataset(), split.parse("25/25/50"), Balance("none"), 0.3, 1, tmp_path_factory.mktemp("rows"))


def train(rows: Prepared, folder: Path, privacy: str, **options: Any) -> Outcome:
    training = Training(epochs=8, optimiser="sgd", learning_rate=0.5)
    return ENGINES["federated"].train(Job(training, privacy, options, rows, dataset().features, 1, folder, LIMIT))


def test_almost_without_noise_it_is_plain_training_and_no_loss_is_shared(rows: Prepared, tmp_path: Path) -> None:
    plain = train(rows, tmp_path / "plain", "plain")
    for protects, clip in (("row", 50.0), ("party", 2.0)):
        outcome = train(rows, tmp_path / protects, "dp", epsilon=1e6, delta=1e-3, clip=clip, protects=protects)
        assert outcome.models[0].weights == pytest.approx(plain.models[0].weights, abs=0.06)
        assert not np.array_equal(outcome.models[0].weights, plain.models[0].weights)
        assert outcome.losses is None
        assert all(epoch.loss is None for party in outcome.parties for epoch in party.recorder.epochs)
        assert any("differential privacy of a " + protects in str(note) for note in outcome.notes)


def test_a_delta_that_would_allow_to_give_rows_away_is_noted(rows: Prepared, tmp_path: Path) -> None:
    outcome = train(rows, tmp_path, "dp", delta=0.1)
    assert any("party 9999 (guest): delta 0.1 is not below 1 / 70 rows" in str(note) for note in outcome.notes)
