"""The examples of CONTRIBUTING.md: they join by the way that the page names, and do what it says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from sklearn.metrics import brier_score_loss

from bench.model.metric import Metric, Predictions
from bench.pages.elements import Table
from bench.plugins import Found, Plugin, discover
from bench.report.section import Section
from bench.results.view import open_run

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(file: str) -> str:
    """Return the block of code that follows the first mention of a file."""
    found = re.search(r"```\w+\n(.*?)```", PAGE[PAGE.index(f"`{file}`") :], re.DOTALL)
    assert found, file
    return found[1]


def joined(file: str, contract: type[Plugin], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Found[Plugin]:
    """Put an example alone into a package, and return what is found there."""
    package = folder / f"example_{Path(file).stem}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / Path(file).name).write_text(example(file), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return discover(importlib.import_module(package.name), contract, "federated_bench.none")


def test_the_metric_has_the_value_of_the_function_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = joined("bench/model/metrics/brier.py", Metric, tmp_path, monkeypatch)["brier"]
    assert isinstance(metric, Metric)
    rng = np.random.default_rng(0)
    y, likely = (rng.random(50) < 0.5).astype(float), rng.random(50)
    assert metric.compute(Predictions(y, likely)) == pytest.approx(brier_score_loss(y, likely))
    assert metric.source == "sklearn.metrics.brier_score_loss"


def test_the_section_shows_the_losses_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = joined("bench/report/sections/descent.py", Section, tmp_path, monkeypatch)["descent"]
    assert isinstance(section, Section)
    run = open_run(ROOT / "results" / "sample")
    _, table = section.blocks(run)
    assert isinstance(table, Table)
    shown = {row[0].text: (row[1].value, row[2].value) for row in table.rows}
    with_loss = [case for case in run.cases if case.record.loss]
    assert with_loss
    assert shown == {case.label: (case.record.loss[0], case.record.loss[-1]) for case in with_loss}
