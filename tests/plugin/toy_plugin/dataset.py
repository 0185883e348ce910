"""A kind of dataset: two classes of points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.datasets import make_classification

from bench.data.kind import DatasetKind, Option
from bench.data.table import Dataset
from bench.i18n.messages import Message

_TITLE = Message("toy_blobs", "{rows} made-up points")


class Blobs(DatasetKind):
    """Points of scikit-learn's generator."""

    name = "blobs"
    description = "made-up points of two classes: rows"
    options = {"rows": Option(int, required=True)}

    def describe(self, options: Mapping[str, Any]) -> Message:
        """Say how many there are."""
        return _TITLE.of(rows=options["rows"])

    def load(self, options: Mapping[str, Any], cache: Path) -> Dataset:
        """Draw them."""
        X, y = make_classification(options["rows"], n_features=6, random_state=1)
        names = [f"x{number}" for number in range(6)]
        title = self.describe(options)
        return Dataset(self.name, X, y.astype(float), names, ("no", "yes"), title, synthetic=True)
