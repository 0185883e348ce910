"""How good a model is: every metric on the common test set, computed once and outside any timed region."""

from __future__ import annotations

from functools import cache

from bench.model.logistic import Array, probability
from bench.model.metric import GROUP, Metric, Predictions
from bench.plugins import Found, discover


@cache
def metrics() -> Found[Metric]:
    """Return the metrics by name, in the order of the columns of scores.csv."""
    return discover("bench.model.metrics", Metric, GROUP)


def predicted(X: Array, weights: Array, means: Array, deviations: Array) -> Array:
    """Return a model's probability of class 1 for each of the raw (not yet scaled) rows ``X`` (n, d): (n,)."""
    return probability((X - means) / deviations, weights)


def score(X: Array, y: Array, weights: Array, means: Array, deviations: Array) -> dict[str, float | None]:
    """Score a model on raw (not yet scaled) rows ``X`` (n, d) with true classes ``y`` (n,), of which there are both."""
    predictions = Predictions(y, predicted(X, weights, means, deviations))
    return {name: metric.compute(predictions) for name, metric in metrics().items()}
