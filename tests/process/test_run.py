from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import FEATURES, SmallRun, bench, only_run, run_json, table, write_csv, write_suite
from sklearn.metrics import log_loss, roc_auc_score

from bench.results import store
from bench.run.__main__ import main

Lines = pytest.CaptureFixture[str]
RUN_KEYS = {
    "schema_version", "run_id", "created", "finished", "command", "suite", "revision", "environment", "measuring",
    "datasets", "cases",
}  # fmt: skip
CASE_KEYS = {
    "id", "title", "engine", "privacy", "dataset", "split", "balance", "network", "training", "parties", "epochs",
    "epochs_run", "warmup_epochs", "repeats", "repeats_done", "status", "error", "metrics", "models", "time", "bytes",
    "resources", "loss", "notes",
}  # fmt: skip
SUMMARY = {"median", "low", "high", "n", "values"}


def case(run: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in run["cases"] if entry["id"] == name)
    return found


def model(folder: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "models" / f"{name}.json").read_text())
    return loaded


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with table.csv and the smallest suite, small.yml: one centralised case, one repeat."""
    write_suite(tmp_path / "small.yml", [{"id": "alone", "engine": "centralised"}])
    return tmp_path


# --- the result folder -----------------------------------------------------------------------------------------------


def test_the_folder_holds_what_the_contract_names(small_run: SmallRun) -> None:
    files = {path.name for path in small_run.folder.iterdir()}
    assert files == {"run.json", "epochs.csv", "scores.csv", "resources.csv", "models", "trace.json", "report.html"}
    for name in ("epochs.csv", "scores.csv", "resources.csv"):
        columns = store.columns(name)
        with (small_run.folder / name).open(newline="") as file:
            assert next(csv.reader(file)) == columns
    names = {path.stem for path in (small_run.folder / "models").iterdir()}
    models = ("centralised.{}.centralised", "scikit-learn.{}.centralised", "federated.{}.federated",
              "fedavg.{}.federated", "local.{}.9999", "local.{}.9998", "local.{}.10000")  # fmt: skip
    assert names == {name.format(repeat) for repeat in (1, 2) for name in models}


def test_run_json_has_the_keys_of_the_contract(small_run: SmallRun) -> None:
    run = small_run.run
    assert set(run) >= RUN_KEYS
    assert run["run_id"] == small_run.folder.name
    assert run["finished"] >= run["created"]
    assert run["command"][:3] == ["python", "-m", "bench.run"]
    assert "--label" in run["command"]
    (facts,) = run["datasets"].values()
    assert facts["feature_names"] == FEATURES
    assert (facts["rows"], facts["synthetic"], facts["class_names"]) == (900, False, ["0", "1"])
    (divided,) = facts["splits"].values()
    assert (divided["train_rows"], divided["test_rows"]) == (600, 300)
    assert [party["rows"] for party in divided["parties"]] == [150, 150, 300]
    for entry in run["cases"]:
        assert set(entry) >= CASE_KEYS
        assert (entry["status"], entry["error"], entry["repeats_done"]) == ("ok", None, [1, 2])
    assert case(run, "federated")["network"] == "loopback"
    assert case(run, "local")["network"] == "none"
    assert case(run, "local")["metrics"] == {}
    assert set(case(run, "local")["models"]) == {"9999", "9998", "10000"}
    assert case(run, "centralised")["bytes"] is None


def summaries(tree: Any) -> list[dict[str, Any]]:
    if isinstance(tree, dict):
        return [tree] if set(tree) == SUMMARY else [found for value in tree.values() for found in summaries(value)]
    return []


def test_figures_are_summaries_over_the_repeats(small_run: SmallRun) -> None:
    for entry in small_run.run["cases"]:
        found = summaries({key: entry[key] for key in ("metrics", "models", "time", "bytes", "resources")})
        assert found
        for summary in found:
            assert summary["n"] == len(summary["values"]) == 2
            assert summary["low"] == min(summary["values"])
            assert summary["high"] == max(summary["values"])
            assert summary["median"] == pytest.approx(np.median(summary["values"]))


def test_times_are_typical_of_the_measured_passes(small_run: SmallRun) -> None:
    """Neither the set-up nor the warm-up counts, and a round of FedAvg is several passes."""
    epochs = store.read_csv(small_run.folder, "epochs.csv")
    for name, first, passes in (("federated", 3, 1), ("fedavg", 2, 3)):
        rows = epochs[(epochs["case"] == name) & (epochs["epoch"] >= first)]
        walls = rows.groupby(["repeat", "party", "role", "epoch"])["seconds"].sum() / passes
        for who, figures in case(small_run.run, name)["time"]["by_party"].items():
            party, role = who.split("/")
            for place, repeat in enumerate((1, 2)):
                measured = walls.loc[repeat, party, role]
                shown = [
                    figures["epoch_seconds"]["values"][place],
                    sum(phase["values"][place] for phase in figures["phases"].values()),
                ]
                for value in shown:
                    assert measured.min() * (1 - 1e-9) <= value <= measured.max() * (1 + 1e-9)
    time = case(small_run.run, "federated")["time"]
    assert time["critical_party"] in ("9999/guest", "9998/host", "10000/host")
    for key in ("epoch_seconds", "attributed_share"):
        assert time[key] == time["by_party"][time["critical_party"]][key]


def test_scores_follow_from_the_model_files(small_run: SmallRun) -> None:
    """Anybody can score the model on the test file with nothing but NumPy."""
    X, y = table(300, seed=7)
    with (small_run.folder / "scores.csv").open(newline="") as file:
        scores = {(row["case"], int(row["repeat"]), row["model"]): row for row in csv.DictReader(file)}
    assert len(scores) == 14
    for path in (small_run.folder / "models").iterdir():
        saved = json.loads(path.read_text())
        assert saved["features"] == FEATURES
        z = ((X - saved["means"]) / saved["deviations"]) @ saved["coefficients"] + saved["intercept"]
        row = scores[saved["case"], saved["repeat"], saved["model"]]
        assert float(row["auc"]) == pytest.approx(roc_auc_score(y, z), abs=1e-12)
        assert float(row["log_loss"]) == pytest.approx(log_loss(y, 1 / (1 + np.exp(-z))), abs=1e-12)
        assert float(row["accuracy"]) == pytest.approx(np.mean((z >= 0) == y), abs=1e-12)
        assert float(row["auc"]) > 0.7
        entry = case(small_run.run, saved["case"])["models"][saved["model"]]
        assert entry["auc"]["values"][saved["repeat"] - 1] == pytest.approx(float(row["auc"]), abs=1e-15)


def test_federated_is_centralised_on_the_command_line_too(small_run: SmallRun) -> None:
    for repeat in (1, 2):
        alone = model(small_run.folder, f"centralised.{repeat}.centralised")
        together = model(small_run.folder, f"federated.{repeat}.federated")
        assert together["coefficients"] == pytest.approx(alone["coefficients"], abs=1e-9)
        assert together["intercept"] == pytest.approx(alone["intercept"], abs=1e-9)


def test_each_repeat_splits_the_rows_afresh(small_run: SmallRun) -> None:
    first, second = (model(small_run.folder, f"local.{repeat}.9999") for repeat in (1, 2))
    assert not np.allclose(first["means"], second["means"], rtol=1e-6)


def test_the_screen_shows_progress_then_a_table_and_the_report_last(small_run: SmallRun) -> None:
    progress, shown = small_run.process.stderr, small_run.process.stdout.strip().splitlines()
    assert "repeat 2 of 2: fedavg trained in" in progress
    assert [line.split()[:2] for line in shown[1:6]] == [[entry["id"], "ok"] for entry in small_run.run["cases"]]
    assert shown[-1] == f"report: {small_run.folder / 'report.html'}"


def test_the_same_seed_gives_the_same_models(small_run: SmallRun, tmp_path: Path, keep_signals: None) -> None:
    options = ["--suite", str(small_run.suite), "--out", str(tmp_path), *small_run.data_options]
    assert main([*options, "--repeats", "1", "--engine", "centralised", "federated"]) == 0
    folder = only_run(tmp_path)
    again = sorted((folder / "models").iterdir())
    assert len(again) == 4
    for path in again:
        assert path.read_text() == (small_run.folder / "models" / path.name).read_text()


def test_engine_split_and_repeats_lie_over_the_suite(inputs: Path, keep_signals: None) -> None:
    plan = [{"id": "alone", "engine": "centralised"}, {"id": "each", "engine": "local"}]
    small = write_suite(inputs / "two.yml", plan, repeats=3)
    options = ["--suite", str(small), "--out", str(inputs / "out")]
    assert main([*options, "--engine", "local", "--split", "quantity:4:5", "--repeats", "1"]) == 0
    run = run_json(only_run(inputs / "out"))
    (entry,) = run["cases"]
    assert (entry["id"], entry["repeats"], entry["split"]) == ("each", 1, "quantity:4:5")
    assert [party["party"] for party in entry["parties"]] == ["9999", "9998", "9997", "10000"]


def test_several_files_are_one_a_party(inputs: Path, keep_signals: None) -> None:
    files = [
        str(write_csv(inputs / f"{n}.csv", rows, seed=n, first_id=1000 * n)) for n, rows in enumerate((100, 200, 50))
    ]
    test = str(write_csv(inputs / "test.csv", 80, seed=9, first_id=9000))
    options = ["--suite", str(inputs / "small.yml"), "--out", str(inputs / "out"), "--label", "ill", "--id", "patient"]
    assert main([*options, "--data", *files, "--test", test]) == 0
    run = run_json(only_run(inputs / "out"))
    (facts,) = run["datasets"].values()
    (divided,) = facts["splits"].values()
    assert [party["rows"] for party in divided["parties"]] == [100, 200, 50]
    assert divided["test_rows"] == 80
    assert run["cases"][0]["split"] == "given"


def test_the_report_comes_in_another_language_too(inputs: Path, capsys: Lines, keep_signals: None) -> None:
    assert main(["--suite", str(inputs / "small.yml"), "--out", str(inputs / "out"), "--lang", "zh"]) == 0
    folder = only_run(inputs / "out")
    pages = [folder / "report.html", folder / "report.zh.html"]
    assert capsys.readouterr().out.splitlines()[-2:] == [f"report: {page}" for page in pages]
    before = [page.read_text(encoding="utf-8") for page in pages]
    assert ['<html lang="zh-CN">' in text for text in before] == [False, True]
    pages[1].write_text("old")  # as where hosts have brought something since
    assert main(["--resume", str(folder)]) == 0
    assert [page.read_text(encoding="utf-8") for page in pages] == before


def test_synthetic_loans_need_no_file(inputs: Path, keep_signals: None) -> None:
    loans = {"loans": {"kind": "synthetic", "rows": 3000}}
    balance = {"method": "smote", "where": "party"}
    small = write_suite(
        inputs / "loans.yml",
        [{"id": "alone", "engine": "centralised"}],
        datasets=loans,
        defaults={"balance": balance},
    )
    assert main(["--suite", str(small), "--out", str(inputs / "out"), "--charged-off-share", "0.3"]) == 0
    run = run_json(only_run(inputs / "out"))
    facts = run["datasets"]["loans"]
    assert (facts["synthetic"], facts["features"]) == (True, 37)
    assert facts["class_counts"][0] / facts["rows"] == pytest.approx(0.3, abs=0.01)
    (divided,) = facts["splits"].values()
    assert all(len(set(party["class_counts"])) == 1 for party in divided["parties"])


def test_a_wrong_option_from_outside(inputs: Path) -> None:
    """Once in a process of its own: the status that a shell sees."""
    done = bench("--suite", inputs / "small.yml", "--out", inputs / "out", "--split", "1/2/3")
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*sum to 6.*\n", done.stderr)
    assert done.stdout == ""
