"""How good a model is: every metric on the common test set, computed once and outside any timed region."""

from __future__ import annotations

import math
import sys
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
    return {name: _computed(metric, predictions) for name, metric in metrics().items()}


def _computed(metric: Metric, predictions: Predictions) -> float | None:
    """Return a metric as a finite number; None where it has none, or fails, as other people's may."""
    try:
        value = metric.compute(predictions)
        return None if value is None or not math.isfinite(value) else float(value)
    except Exception as error:
        print(f"warning: metric {metric.name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
