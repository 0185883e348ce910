from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import SmallRun
from helpers import LIMIT, bench, in_training, only_run, run_json, started, wait_for, worker, write_csv, write_suite

from bench.results import store
from bench.run.__main__ import main

# Long enough to act in the middle, short enough to be waited for.
EPOCHS = 2000
CASES = [{"id": "alone", "engine": "centralised"}, {"id": "together", "engine": "federated"}]


def suite(folder: Path, repeats: int) -> Path:
    # Plain gradient descent does not blow up rounding errors over this many epochs.
    training = {"epochs": EPOCHS, "optimiser": "sgd", "learning_rate": 0.1}
    return write_suite(folder / "two.yml", CASES, repeats=repeats, defaults={"training": training})


def statuses(folder: Path) -> dict[str, tuple[str, list[int]]]:
    return {entry["id"]: (entry["status"], entry["repeats_done"]) for entry in run_json(folder)["cases"]}


def assert_whole(folder: Path, repeats: int) -> None:
    """The folder is what a run that was never disturbed leaves: every figure once a repeat, no row twice."""
    run = run_json(folder)
    assert run["finished"] is not None
    assert (folder / "report.html").exists()
    for entry in run["cases"]:
        assert (entry["status"], entry["error"]) == ("ok", None)
        assert entry["repeats_done"] == list(range(1, repeats + 1))
        assert entry["epochs_run"] == [EPOCHS] * repeats
        assert entry["metrics"]["auc"]["n"] == entry["time"]["epoch_seconds"]["n"] == repeats
    epochs = store.read_csv(folder, "epochs.csv")
    assert not epochs.duplicated(["case", "repeat", "party", "role", "epoch", "phase"]).any()
    processes = {"alone": 1, "together": 3}
    for case, count in processes.items():
        rows = epochs[(epochs["case"] == case) & (epochs["phase"] == "compute") & (epochs["epoch"] > 0)]
        assert len(rows) == count * EPOCHS * repeats
    assert len(store.read_csv(folder, "scores.csv")) == len(CASES) * repeats
    json.loads((folder / "trace.json").read_text())
    for repeat in range(1, repeats + 1):
        alone, together = (
            json.loads((folder / "models" / f"{name}.json").read_text())["coefficients"]
            for name in (f"alone.{repeat}.centralised", f"together.{repeat}.federated")
        )
        assert together == pytest.approx(alone, abs=1e-9)


def workers_of(runner: int) -> list[psutil.Process]:
    return psutil.Process(runner).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    wait_for(lambda: not any(process.is_running() for process in processes), "no process is left")


def interrupted(suite_file: Path, out: Path, case: str, blow: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Run until a repeat of the federated case is in training, send the runner a signal, and wait for its end."""
    with started("--suite", suite_file, "--out", out) as process:
        wait_for(lambda: worker(process.pid, case, "9998-host"), f"{case} starts")
        in_training(process.pid, case, "9998-host")
        below = workers_of(process.pid)
        assert len(below) == 4
        process.send_signal(blow)
        shown, progress = process.communicate(timeout=LIMIT)
        assert_gone(below)
        return subprocess.CompletedProcess([str(process.pid)], process.returncode, shown, progress)


def test_ctrl_c_keeps_what_is_finished_and_resume_does_the_rest(tmp_path: Path) -> None:
    done = interrupted(suite(tmp_path, repeats=2), tmp_path / "out", "together.2", signal.SIGINT)
    assert done.returncode == 130
    assert done.stderr.strip().splitlines()[-1] == "interrupted"
    assert "Traceback" not in done.stderr
    folder = only_run(tmp_path / "out")
    # Which case begins a repeat is the runner's choice.
    assert statuses(folder)["together"] == ("pending", [1])
    assert statuses(folder)["alone"] in (("ok", [1, 2]), ("pending", [1]))
    assert run_json(folder)["finished"] is None
    assert (folder / "report.html").exists()
    assert f"--resume {folder}" in done.stdout
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "models").iterdir()}

    resumed = bench("--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert "repeat 1 of 2: " not in resumed.stderr
    assert "repeat 2 of 2: together trained" in resumed.stderr
    assert_whole(folder, repeats=2)
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "models").iterdir()}
    assert {name: after[name] for name in before} == before  # finished repeats were not done again
    assert "together.2.federated.json" in set(after) - set(before)


def test_sigterm_ends_as_ctrl_c_does(tmp_path: Path) -> None:
    done = interrupted(suite(tmp_path, repeats=1), tmp_path / "out", "together.1", signal.SIGTERM)
    assert done.returncode == 130
    folder = only_run(tmp_path / "out")
    assert statuses(folder) == {"alone": ("ok", [1]), "together": ("pending", [])}
    assert (folder / "report.html").exists()


def test_a_runner_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    done = interrupted(suite(tmp_path, repeats=1), tmp_path / "out", "together.1", signal.SIGKILL)
    assert done.returncode == -signal.SIGKILL
    folder = only_run(tmp_path / "out")
    assert statuses(folder) == {"alone": ("ok", [1]), "together": ("pending", [])}
    (left,) = Path(tempfile.gettempdir()).glob(f"bench-run-{done.args[0]}-*")
    assert left.stat().st_mode & 0o077 == 0  # rows of the parties are in it
    resumed = bench("--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert_whole(folder, repeats=1)
    assert not left.exists()


def test_a_failed_case_is_resumed_and_the_finished_ones_are_not(tmp_path: Path) -> None:
    with started("--suite", suite(tmp_path, repeats=1), "--out", tmp_path / "out") as process:
        in_training(process.pid, "together.1", "9998-host").kill()
        _, progress = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    folder = only_run(tmp_path / "out")
    assert "together FAILED: party 9998 (host) died" in progress
    assert statuses(folder) == {"alone": ("ok", [1]), "together": ("failed", [])}
    resumed = bench("--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert "alone ..." not in resumed.stderr
    assert_whole(folder, repeats=1)


# --- resuming what a run left, in this process: quicker, and nobody is killed ----------------------------------------


@pytest.fixture
def finished(tmp_path: Path, keep_signals: None) -> Path:
    """A finished run of one small case."""
    small = write_suite(tmp_path / "small.yml", [{"id": "alone", "engine": "centralised"}], repeats=2)
    assert main(["--suite", str(small), "--out", str(tmp_path / "out")]) == 0
    return only_run(tmp_path / "out")


def change(folder: Path, **values: Any) -> None:
    run = run_json(folder)
    store.write_json(folder / "run.json", {**run, **values})


def unfinish(folder: Path) -> None:
    """Make the second repeat one that never was, but for rows in the tables, as after a kill while they are written."""
    (entry,) = run_json(folder)["cases"]
    for key in ("figures", "repeats_done", "epochs_run"):
        entry[key] = entry[key][:1]
    change(folder, cases=[{**entry, "status": "pending"}], finished=None)


def test_nothing_to_resume(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "run.json").read_text()
    (finished / "report.html").unlink()  # as after a kill between the last case and the report
    assert main(["--resume", str(finished)]) == 0
    assert "nothing to resume" in capsys.readouterr().out
    assert (finished / "run.json").read_text() == before
    assert (finished / "report.html").exists()


def test_rows_of_a_repeat_that_was_cut_off_are_not_counted_twice(finished: Path) -> None:
    model = finished / "models" / "alone.2.centralised.json"
    whole, columns = model.read_text(), ["case", "repeat", "party", "epoch", "phase"]
    before = store.read_csv(finished, "epochs.csv")[columns]
    unfinish(finished)
    assert main(["--resume", str(finished)]) == 0
    assert statuses(finished) == {"alone": ("ok", [1, 2])}
    assert store.read_csv(finished, "epochs.csv")[columns].equals(before)
    assert len(store.read_csv(finished, "scores.csv")) == 2
    assert run_json(finished)["cases"][0]["metrics"]["auc"]["n"] == 2
    assert model.read_text() == whole  # the same seed, the same rows, the same model


def test_data_that_have_changed_are_not_mixed_in(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinish(finished)
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    write_csv(finished.parent.parent / "table.csv", rows=500)
    assert main(["--resume", str(finished)]) == 2
    assert "dataset table has changed" in capsys.readouterr().err.splitlines()[-1]
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_data_that_are_gone(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinish(finished)
    (finished.parent.parent / "table.csv").unlink()
    assert main(["--resume", str(finished)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "table.csv" in last


def test_what_is_no_run_cannot_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    assert main(["--resume", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_a_run_without_its_plan_says_so(
    small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    copy = shutil.copytree(small_run.folder, tmp_path / "copy")
    run = run_json(copy)
    del run["plan"]
    store.write_json(copy / "run.json", run)
    assert main(["--resume", str(copy)]) == 2
    assert "cannot be resumed" in capsys.readouterr().err


def test_a_command_line_of_another_run_does_not_apply(finished: Path) -> None:
    """The plan of the run counts, also where the command line was laid over a suite."""
    unfinish(finished)
    assert main(["--resume", str(finished), "--repeats", "7"]) == 0
    assert np.array_equal(run_json(finished)["cases"][0]["repeats_done"], [1, 2])
