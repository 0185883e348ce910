"""The examples of the documentation as another distribution brings them: listed, run and shown."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from doc_examples import write_example
from helpers import LIMIT, ROOT, only_run
from page_helpers import Page

EXAMPLES = {
    "engines": ("one_shot", "docs/engines.md", "bench/engines/one_shot.py", "OneShot"),
    "privacy_modes": ("rounded", "docs/privacy.md", "bench/engines/federated/privacy/rounded.py", "Rounded"),
    "datasets": ("breast_cancer", "docs/data.md", "bench/data/breast_cancer.py", "BreastCancer"),
    "metrics": ("mcc", "docs/metrics.md", "bench/model/metrics/matthews.py", "Matthews"),
}
SUITE = {
    "title": "Do the examples run?",
    "repeats": 1,
    "warmup_epochs": 1,
    "datasets": {"tumours": {"kind": "breast_cancer", "features": 10}},
    "defaults": {"balance": {"method": "none"}, "training": {"epochs": 6, "learning_rate": 0.1}},
    "cases": [
        {"id": "centralised", "engine": "centralised"},
        {"id": "rounded", "engine": "federated", "privacy": "rounded", "privacy_options": {"digits": 4}},
        {"id": "once", "engine": "one_shot", "training": {"aggregation": "fedavg"}},
    ],
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the examples and the metadata of a distribution that names them, as pip leaves them."""
    site = tmp_path / "site"
    metadata = site / "examples-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    lines = []
    for group, (name, page, file, made) in EXAMPLES.items():
        path = write_example(site, page, file)
        # A name of its own: modules of the site must not hide others.
        path.rename(path.with_name(f"example_{path.name}"))
        lines += [f"[federated_bench.{group}]", f"{name} = example_{path.stem}:{made}", ""]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return site


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "bench.run", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)


def test_examples_are_listed_run_and_shown(site: Path, tmp_path: Path) -> None:
    listed = run(site, tmp_path, "--list")
    for name, *_ in EXAMPLES.values():
        assert f"  {name} " in listed.stdout, listed.stderr
    (tmp_path / "examples.yml").write_text(yaml.safe_dump(SUITE))
    done = run(site, tmp_path, "--suite", "examples.yml")
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path / "results")
    with (folder / "scores.csv").open() as file:
        scores = {row["case"]: row for row in csv.DictReader(file)}
    assert {"centralised", "rounded", "once"} <= set(scores)
    for row in scores.values():
        assert float(row["auc"]) > 0.9
        assert float(row["mcc"]) > 0.5
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "tumours of 569 patients" in page.text
    assert "Matthews correlation" in page.text
    seen = {row[0][0]: [text for text, _ in row[1:]] for row in page.table("What each party can see")[1:]}
    assert seen["rounded"][0].startswith("every party's rounded gradient")


def test_options_of_the_examples_are_refused_in_one_line(site: Path, tmp_path: Path) -> None:
    wrong = {
        "privacy_options.digits: 99": {**SUITE["cases"][1], "privacy_options": {"digits": 99}},
        "training.aggregation: engine one_shot": {"id": "once", "engine": "one_shot"},
    }
    for words, case in wrong.items():
        (tmp_path / "wrong.yml").write_text(yaml.safe_dump({**SUITE, "cases": [case]}))
        refused = run(site, tmp_path, "--suite", "wrong.yml")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert words in refused.stderr
