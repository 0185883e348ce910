"""Precision, recall and F1 of each class, and specificity."""

from __future__ import annotations

import numpy as np

from bench.i18n.language import gettext_noop
from bench.model.metric import Metric, Predictions


class Precision(Metric):
    """Of the rows that are taken for the class, the share that is of it."""

    label, order = gettext_noop("Precision"), 20
    source = "true positives / (true positives + false positives), the class being the positive one"

    def __init__(self, label: int) -> None:
        self.name, self.per_class, self.of = f"precision_{label}", label, label

    def compute(self, predictions: Predictions) -> float | None:
        """Return the share; None where the class was never predicted (0 / 0)."""
        true, said = predictions.of_class(self.of)
        return int(np.sum(true & said)) / int(np.sum(said)) if said.any() else None


class Recall(Metric):
    """Of the rows of the class, the share that is taken for it."""

    label, order = gettext_noop("Recall"), 20
    source = "true positives / (true positives + false negatives), the class being the positive one"

    def __init__(self, label: int) -> None:
        self.name, self.per_class, self.of = f"recall_{label}", label, label

    def compute(self, predictions: Predictions) -> float:
        """Return the share."""
        true, said = predictions.of_class(self.of)
        return int(np.sum(true & said)) / int(np.sum(true))


class F1(Metric):
    """Harmonic mean of precision and recall; 0 where the class was never predicted, as its recall is."""

    label, order = "F1", 20
    source = "2 true positives / (rows of the class + rows taken for it)"

    def __init__(self, label: int) -> None:
        self.name, self.per_class, self.of = f"f1_{label}", label, label

    def compute(self, predictions: Predictions) -> float:
        """Return the mean."""
        true, said = predictions.of_class(self.of)
        return 2 * int(np.sum(true & said)) / int(np.sum(true) + np.sum(said))


class Specificity(Recall):
    """The recall of class 0, under the name it has where class 1 is the positive one."""

    label, order, same_as = gettext_noop("Specificity"), 30, "recall_0"
    source = "true negatives / (true negatives + false positives)"

    def __init__(self) -> None:
        super().__init__(0)
        self.name, self.per_class = "specificity", None


METRICS = (*(metric(label) for label in (0, 1) for metric in (Precision, Recall, F1)), Specificity())
