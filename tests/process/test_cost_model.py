"""The cost model against what processes really count and send."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers import bench, only_run, write_suite

from bench.predict import cost
from bench.results.view import open_run


def test_what_a_real_run_counts_and_sends_is_what_the_arithmetic_says(tmp_path: Path) -> None:
    """Shapes that differ, so that arithmetic which only fits one of them is found out."""
    cases = [
        {"id": f"{mode}-{split.count('/') + 1}", "engine": "federated", "privacy": mode, "split": split}
        for mode, split in (("masked", "25/25/50"), ("masked", "25/25/25/25"), ("paillier", "50/50"))
    ]
    cases.append({**cases[0], "id": "host", "privacy": "paillier_host", "training": {"optimiser": "sgd"}})
    cases[-1]["training"] |= {"aggregation": "fedavg"}
    options = {"paillier": {"key_bits": 1024}, "paillier_host": {"key_bits": 1024}}
    for case in cases:
        case["privacy_options"] = options.get(case["privacy"], {})
    process = bench(
        "--suite",
        write_suite(tmp_path / "s.yml", cases, defaults={"training": {"epochs": 3}}),
        "--out",
        tmp_path / "out",
    )
    assert process.returncode == 0, process.stderr
    run = open_run(only_run(tmp_path / "out"))
    models, troubles = cost.calibrated(run)
    assert troubles == []
    assert [model.privacy for model in models] == ["masked", "paillier", "paillier_host"]
    for case in run.cases:
        model = cost.calibrate(case)  # would refuse other counts than the arithmetic's
        predicted = cost.predict(model, cost.work_of(case))
        traffic = case.record.bytes.by_party["10000/host"]
        sent, received = traffic.epoch_sent.median, traffic.epoch_received.median
        assert (predicted.sent, predicted.received) == pytest.approx((sent, received), abs=8)  # a number more or less
        assert math.isfinite(predicted.epoch) and predicted.epoch > 0
    (check,) = cost.checks(models, [run])
    assert (check.case.id, check.error is not None) == ("masked-4", True)
    assert "error on cases that it has not seen" in (only_run(tmp_path / "out") / "report.html").read_text()
