"""How well a model orders rows by their probability: no threshold is needed."""

from __future__ import annotations

import numpy as np

from bench.i18n.language import gettext_noop
from bench.model.metric import Metric, Predictions


class Auc(Metric):
    """Area under the ROC curve: how often a row of class 1 is ranked above one of class 0."""

    name, label, order = "auc", "AUC", 40
    source = "sklearn.metrics.roc_auc_score"

    def compute(self, predictions: Predictions) -> float:
        """Return the area."""
        from sklearn.metrics import roc_auc_score  # takes a second to import

        return float(roc_auc_score(predictions.y, predictions.likely))


class KolmogorovSmirnov(Metric):
    """The largest distance between the two classes' distributions of the score."""

    name, label, order = "ks", "KS", 50
    source = "Kolmogorov-Smirnov statistic, max(TPR - FPR)"

    def compute(self, predictions: Predictions) -> float:
        """Return the distance."""
        from sklearn.metrics import roc_curve

        false_rate, true_rate, _ = roc_curve(predictions.y, predictions.likely, drop_intermediate=False)
        return float(np.max(true_rate - false_rate))


class AveragePrecision(Metric):
    """Precision at every threshold, weighted by the gain in recall."""

    name, label, order = "average_precision", gettext_noop("Average precision"), 60
    source = "sklearn.metrics.average_precision_score"

    def compute(self, predictions: Predictions) -> float:
        """Return the weighted mean."""
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(predictions.y, predictions.likely))


METRICS = Auc(), KolmogorovSmirnov(), AveragePrecision()
