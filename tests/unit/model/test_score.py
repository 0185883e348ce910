from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn import metrics

from bench.model import scoring
from bench.model.metric import Metric, Predictions
from bench.model.scoring import score
from bench.plugins import Found

NOTHING, ONE = np.zeros(1), np.ones(1)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_scores_are_those_of_the_libraries(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 2, size=(rows, 2))
    y = np.append([0.0, 1.0], rng.integers(0, 2, rows - 2))
    weights, means, deviations = rng.normal(size=3), np.array([3.0, 2.0]), np.array([2.0, 0.5])

    found = score(X, y, weights, means, deviations)

    probability = 1 / (1 + np.exp(-(((X - means) / deviations) @ weights[:2] + weights[2])))
    said = (probability >= 0.5).astype(float)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(y, said, labels=[0, 1], zero_division=np.nan)
    expected = {
        "accuracy": metrics.accuracy_score(y, said),
        "recall_0": recall[0],
        "recall_1": recall[1],
        "f1_0": f1[0],
        "f1_1": f1[1],
        "specificity": recall[0],
        "auc": metrics.roc_auc_score(y, probability),
        "ks": ks_2samp(probability[y == 0], probability[y == 1], alternative="greater").statistic,
        "average_precision": metrics.average_precision_score(y, probability),
        "log_loss": metrics.log_loss(y, probability),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    for label in (0, 1):
        wanted = None if np.isnan(precision[label]) else pytest.approx(precision[label])
        assert found[f"precision_{label}"] == wanted
    assert list(found) == list(scoring.metrics())


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    found = score(np.zeros((4, 1)), np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0]), NOTHING, ONE)
    assert found["precision_0"] is None
    assert (found["recall_0"], found["f1_0"]) == (0, 0)
    assert (found["precision_1"], found["recall_1"]) == (0.5, 1)
    assert (found["auc"], found["ks"]) == (0.5, 0)


def test_a_certain_model_that_is_wrong_has_finite_scores() -> None:
    found = score(np.array([[1e6], [-1e6]]), np.array([0.0, 1.0]), np.array([1.0, 0.0]), NOTHING, ONE)
    assert found["accuracy"] == 0
    assert found["log_loss"] is not None
    assert np.isfinite(found["log_loss"])


class Fragile(Metric):
    """A metric of other people's."""

    name, label, source = "fragile", "Fragile", "nowhere"

    def __init__(self, value: Any) -> None:
        self.value = value

    def compute(self, predictions: Predictions) -> float | None:
        return 1 / 0 if self.value is None else self.value


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (float("nan"), None), (np.float32(0.5), 0.5), (np.inf, None), (3, 3.0)]
)
def test_a_metric_that_fails_or_is_no_number_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, value: Any, expected: float | None
) -> None:
    found = Found[Metric]()
    found["fragile"] = Fragile(value)
    monkeypatch.setattr(scoring, "metrics", lambda: found)
    got = score(np.zeros((2, 1)), np.array([0.0, 1.0]), np.array([0.0, 1.0]), NOTHING, ONE)["fragile"]
    assert got == expected
    assert got is None or type(got) is float
