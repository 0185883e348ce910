"""How good a model is: metrics on the common test set, computed once and outside any timed region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.model.logistic import Array, probability

METRICS = (
    "accuracy",
    "precision_0",
    "recall_0",
    "f1_0",
    "precision_1",
    "recall_1",
    "f1_1",
    "specificity",
    "auc",
    "ks",
    "average_precision",
    "log_loss",
)


def predicted(X: Array, weights: Array, means: Array, deviations: Array) -> Array:
    """Return a model's probability of class 1 for each of the raw (not yet scaled) rows ``X`` (n, d): (n,)."""
    return probability((X - means) / deviations, weights)


def score(X: Array, y: NDArray[np.float64], weights: Array, means: Array, deviations: Array) -> dict[str, float | None]:
    """Score a model on raw (not yet scaled) rows ``X`` (n, d) with true classes ``y`` (n,); the threshold is 0.5.

    Precision of a class that was never predicted is None (0 / 0), and its F1 is 0, as its recall is. ``specificity``
    is the recall of class 0. ``ks`` is the Kolmogorov-Smirnov statistic, the largest distance between the two classes'
    distributions of the score: max(TPR - FPR).
    """
    from sklearn import metrics

    likely = predicted(X, weights, means, deviations)
    chosen = likely >= 0.5
    positive = y == 1
    result: dict[str, float | None] = {"accuracy": float(np.mean(chosen == positive))}
    for label, true, said in ((0, ~positive, ~chosen), (1, positive, chosen)):
        hits = int(np.sum(true & said))
        result[f"precision_{label}"] = hits / int(np.sum(said)) if said.any() else None
        result[f"recall_{label}"] = hits / int(np.sum(true))
        result[f"f1_{label}"] = 2 * hits / int(np.sum(true) + np.sum(said))
    false_rate, true_rate, _ = metrics.roc_curve(y, likely, drop_intermediate=False)
    return {
        **result,
        "specificity": result["recall_0"],
        "auc": float(metrics.roc_auc_score(y, likely)),
        "ks": float(np.max(true_rate - false_rate)),
        "average_precision": float(metrics.average_precision_score(y, likely)),
        "log_loss": float(metrics.log_loss(y, likely)),
    }
