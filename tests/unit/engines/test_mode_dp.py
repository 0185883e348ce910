"""Mode dp: the noise is as much as the guarantee takes, and one row moves a sum by no more than the clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.engines.federated.contract import Setup
from bench.engines.federated.privacy.dp import MODE as DP
from bench.measure.spans import Recorder
from bench.model import logistic
from bench.model.logistic import Clip, Training


@pytest.mark.parametrize(("epsilon", "delta", "rounds"), [(0.5, 1e-6, 30), (1.0, 1e-5, 200), (8.0, 1e-6, 1)])
def test_another_accountant_agrees_on_the_noise(epsilon: float, delta: float, rounds: int) -> None:
    """Renyi accounting gives an upper bound of epsilon: never below the exact one, and near it."""
    options = DP.resolve({"epsilon": epsilon, "delta": delta}, Training(epochs=rounds))
    accountant = RdpAccountant()
    accountant.compose(SelfComposedDpEvent(GaussianDpEvent(options["noise_multiplier"]), rounds))
    assert epsilon <= accountant.get_epsilon(delta) <= 1.2 * epsilon
    accountant = RdpAccountant()
    accountant.compose(SelfComposedDpEvent(GaussianDpEvent(0.7 * options["noise_multiplier"]), rounds))
    assert accountant.get_epsilon(delta) > 1.2 * epsilon


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.integers(1, 9000))
@settings(deadline=None)
def test_one_row_moves_the_sum_by_the_clip_at_most(seed: int, limit: float, rows: int) -> None:
    rng = np.random.default_rng(seed)
    X, y, weights = rng.normal(0, 3, (rows, 20)), (rng.random(rows) < 0.5).astype(float), rng.normal(0, 2, 21)
    norms = np.sqrt((X**2).sum(axis=1) + 1.0)

    def clipped(kept: slice) -> Any:
        return logistic.loss_and_gradient(X[kept], y[kept], weights, Clip(norms[kept], limit)).gradient

    moved = np.linalg.norm(clipped(slice(0, None)) - clipped(slice(1, None)))
    assert moved <= limit * (1 + 1e-9) + 1e-9
    one = logistic.loss_and_gradient(X[:1], y[:1], weights).gradient
    assert moved == pytest.approx(min(limit, np.linalg.norm(one)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("protects", ["row", "party"])
def test_the_noise_is_as_large_as_it_must_be(protects: str) -> None:
    """One party alone, one step, many times: what differs between the models is the noise of one release."""
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60.0) % 2
    training = Training(epochs=1, optimiser="sgd", learning_rate=1.0, alpha=0.0)
    options = DP.resolve({"epsilon": 1.0, "delta": 1e-5, "clip": 0.1, "protects": protects}, training)
    setup = Setup("9999", "party 9999 (guest)", {"9999": "guest"}, 4, options, Recorder())

    def release() -> Any:
        return DP.protocol().train(setup, X.copy(), y, training, 1, lambda _, vector: vector)["weights"]

    moved = np.array([release() for _ in range(400)])
    # Exchanging one row (all rows) moves the sum (the mean) by twice the clip at most.
    due = options["noise_multiplier"] * 2 * 0.1 / (len(y) if protects == "row" else 1)
    assert np.std(moved - moved.mean(axis=0)) == pytest.approx(due, rel=0.1)  # 2,000 numbers: 6 standard errors


def test_a_partys_update_is_clipped_as_a_whole() -> None:
    X = np.column_stack([np.arange(60.0) % 2, np.ones(60)])
    training = Training(epochs=1, optimiser="sgd", learning_rate=1.0, alpha=0.0)
    options = {"clip": 0.01, "protects": "party", "noise_multiplier": 0.0, "delta": 1e-6}
    setup = Setup("9999", "party 9999 (guest)", {"9999": "guest"}, 2, options, Recorder())
    weights = DP.protocol().train(setup, X, X[:, 0].copy(), training, 1, lambda _, vector: vector)["weights"]
    assert np.linalg.norm(weights) == pytest.approx(0.01)
