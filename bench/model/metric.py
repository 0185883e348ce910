"""What a metric is: one number that says how good a model is on rows whose class is known.

A new metric is a module in bench/model/metrics with an instance of Metric, or an entry point of another distribution
(docs/metrics.md has an example). From then on it is a column of scores.csv, and pages show it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.plugins import Plugin

Array = NDArray[np.float64]
GROUP = "federated_bench.metrics"


@dataclass(frozen=True)
class Predictions:
    """What a model says of n rows: ``y`` (n,), the true classes, 0 and 1, and ``likely`` (n,), its probability of 1.

    What several metrics need is computed once.
    """

    y: Array
    likely: Array

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Which rows are of class 1."""
        return np.asarray(self.y == 1)

    @cached_property
    def chosen(self) -> NDArray[np.bool_]:
        """Which rows the model takes for class 1: the threshold is 0.5."""
        return np.asarray(self.likely >= 0.5)

    def of_class(self, label: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows are of class ``label``, and which the model takes for it."""
        return (self.positive, self.chosen) if label else (~self.positive, ~self.chosen)


class Metric(Plugin):
    """A metric. ``name`` is its column in scores.csv.

    ``label``: what a reader calls it (marked with gettext_noop where it is to be translated). ``per_class``: the class
    that it is of, 0 or 1; None where it is of both. ``same_as``: another metric that it always equals, which a
    comparison then does not list twice. ``source``: where its formula is from.
    """

    label: str
    source: str
    higher_is_better: bool = True
    per_class: int | None = None
    same_as: str | None = None
    order: ClassVar[int] = 1000

    @abstractmethod
    def compute(self, predictions: Predictions) -> float | None:
        """Return the value; None where the formula has none, as 0 / 0. There is a row of each class."""
