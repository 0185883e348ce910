"""The main job on real loans, where they are to be had: rows, scores and the equality of federated and centralised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import LIMIT, REAL_LOANS

from bench.model.scoring import metrics

LOANS = REAL_LOANS
pytestmark = pytest.mark.skipif(not LOANS.exists(), reason=f"no real loans at {LOANS}")


def run(out: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "bench.run", "--data", str(LOANS), "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    (folder,) = out.iterdir()
    return folder


def load(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def test_real_loans(tmp_path: Path) -> None:
    folder = run(tmp_path / "results", "--repeats", "2")
    content = load(folder)
    loans = content["datasets"]["loans"]
    assert (loans["rows"], loans["features"], loans["synthetic"]) == (76_435, 37, False)
    assert [step["rows"] for step in loans["funnel"]][:1] == [82_231]
    assert 79_351 in [step["rows"] for step in loans["funnel"]]
    assert {case["id"]: case["status"] for case in content["cases"]} == dict.fromkeys(
        ("centralised", "scikit-learn", "local", "federated", "federated-fedavg"), "ok"
    )
    scores = pd.read_csv(folder / "scores.csv").set_index(["case", "repeat"])
    for repeat in (1, 2):
        centralised, federated = scores.loc[("centralised", repeat)], scores.loc[("federated", repeat)]
        assert centralised["recall_0"] == pytest.approx(0.63, abs=0.03)
        assert centralised["auc"] == pytest.approx(0.695, abs=0.01)
        assert scores.loc[("scikit-learn", repeat), "auc"] == pytest.approx(centralised["auc"], abs=0.002)
        for metric in metrics():
            assert federated[metric] == pytest.approx(centralised[metric], abs=0.002), metric
        models = [
            json.loads((folder / "models" / f"{case}.{repeat}.{case}.json").read_text(encoding="utf-8"))
            for case in ("centralised", "federated")
        ]
        assert models[0]["coefficients"] == pytest.approx(models[1]["coefficients"], abs=1e-6)
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_share_of_the_thesis(tmp_path: Path) -> None:
    """With 17.9 % Charged Off, as in the thesis's file, the scores come near its table 3-4."""
    folder = run(tmp_path / "results", "--repeats", "1", "--engine", "centralised", "--charged-off-share", "0.179")
    loans = load(folder)["datasets"]["loans"]
    charged_off, paid = loans["class_counts"]
    assert charged_off / (charged_off + paid) == pytest.approx(0.179, abs=1e-4)
    scores = pd.read_csv(folder / "scores.csv").set_index("case").loc["centralised"]
    thesis = {"precision_0": 0.28, "recall_0": 0.66, "f1_0": 0.40, "precision_1": 0.90, "recall_1": 0.65, "f1_1": 0.75}
    for metric, value in thesis.items():
        assert scores[metric] == pytest.approx(value, abs=0.05), metric
