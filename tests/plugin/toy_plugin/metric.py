"""A metric: Brier's score."""

from __future__ import annotations

import numpy as np

from bench.model.metric import Metric, Predictions


class Brier(Metric):
    """The mean square of what the probabilities are off by."""

    name, label, source = "brier", "Brier score", "G. W. Brier, Monthly Weather Review 78 (1950)"
    higher_is_better = False

    def compute(self, predictions: Predictions) -> float:
        """Return the mean."""
        return float(np.mean((predictions.likely - predictions.y) ** 2))
