"""How far off the probabilities are."""

from __future__ import annotations

from bench.i18n.language import gettext_noop
from bench.model.metric import Metric, Predictions


class LogLoss(Metric):
    """Mean negative log-likelihood of the true classes."""

    name, label, order = "log_loss", gettext_noop("Log loss"), 70
    source = "sklearn.metrics.log_loss"
    higher_is_better = False

    def compute(self, predictions: Predictions) -> float:
        """Return the mean."""
        from sklearn.metrics import log_loss  # takes a second to import

        return float(log_loss(predictions.y, predictions.likely))


METRIC = LogLoss()
