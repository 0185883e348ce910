"""The examples of the documentation: they join by the way that their page names, and do what it says."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from doc_examples import write_example
from helpers import ROOT
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import brier_score_loss, matthews_corrcoef

from bench.data.kind import DatasetKind
from bench.errors import UserError
from bench.model.metric import Metric, Predictions
from bench.pages.elements import Table
from bench.plugins import Found, Plugin, discover
from bench.report.section import Section
from bench.results.view import open_run


def joined(
    page: str, file: str, contract: type[Plugin], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Found[Plugin]:
    """Put an example alone into a package, and return what is found there."""
    package = folder / f"example_{Path(file).stem}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    write_example(package, page, file)
    monkeypatch.syspath_prepend(str(folder))
    return discover(importlib.import_module(package.name), contract, "federated_bench.none")


@pytest.mark.parametrize(
    ("page", "name", "file", "source"),
    [
        ("CONTRIBUTING.md", "brier", "bench/model/metrics/brier.py", brier_score_loss),
        ("docs/metrics.md", "mcc", "bench/model/metrics/matthews.py", matthews_corrcoef),
    ],
)
def test_a_metric_has_the_value_of_the_function_that_it_names(
    page: str, name: str, file: str, source: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = joined(page, file, Metric, tmp_path, monkeypatch)[name]
    assert isinstance(metric, Metric)
    rng = np.random.default_rng(0)
    predictions = Predictions((rng.random(50) < 0.5).astype(float), rng.random(50))
    assert callable(source)
    said = predictions.likely if source is brier_score_loss else predictions.chosen
    assert metric.compute(predictions) == pytest.approx(source(predictions.y, said))
    assert metric.source == f"sklearn.metrics.{source.__name__}"


def test_a_metric_without_a_value_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = joined("docs/metrics.md", "bench/model/metrics/matthews.py", Metric, tmp_path, monkeypatch)["mcc"]
    assert isinstance(metric, Metric)
    for likely in (0.2, 0.8):
        assert metric.compute(Predictions(np.array([0.0, 1.0]), np.full(2, likely))) is None


def test_the_dataset_is_the_table_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = joined("docs/data.md", "bench/data/breast_cancer.py", DatasetKind, tmp_path, monkeypatch)["breast_cancer"]
    assert isinstance(kind, DatasetKind)
    options = {"kind": "breast_cancer", "features": 10}
    kind.check("datasets.tumours", options)
    dataset, table = kind.load(options, tmp_path), load_breast_cancer()
    assert np.array_equal(dataset.X, table.data[:, :10])
    assert np.array_equal(dataset.y, table.target)
    assert list(dataset.class_names) == list(table.target_names)
    assert dataset.features == list(table.feature_names[:10])
    assert str(dataset.source) == "tumours of 569 patients (Wolberg et al. 1995, scikit-learn)"
    for wrong in ({"features": 31}, {"features": "all"}, {"rows": 5}):
        with pytest.raises(UserError, match=r"^datasets\.tumours: "):
            kind.check("datasets.tumours", {"kind": "breast_cancer", **wrong})


def test_the_section_shows_the_losses_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = "bench/report/sections/descent.py"
    section = joined("CONTRIBUTING.md", file, Section, tmp_path, monkeypatch)["descent"]
    assert isinstance(section, Section)
    run = open_run(ROOT / "results" / "sample")
    _, table = section.blocks(run)
    assert isinstance(table, Table)
    shown = {row[0].text: (row[1].value, row[2].value) for row in table.rows}
    with_loss = [case for case in run.cases if case.record.loss]
    assert with_loss
    assert shown == {case.label: (case.record.loss[0], case.record.loss[-1]) for case in with_loss}
