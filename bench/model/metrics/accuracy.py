"""The share of the rows whose class is found."""

from __future__ import annotations

import numpy as np

from bench.i18n.language import gettext_noop
from bench.model.metric import Metric, Predictions


class Accuracy(Metric):
    """Share of the rows whose class is found."""

    name, label, order = "accuracy", gettext_noop("Accuracy"), 10
    source = "correct / all"

    def compute(self, predictions: Predictions) -> float:
        """Return the share."""
        return float(np.mean(predictions.chosen == predictions.positive))


METRIC = Accuracy()
