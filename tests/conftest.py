from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import bench, only_run, write_csv, write_suite
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["fate1_server", "no_process"]
# Or joblib starts a process to count the machine's cores.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")
# Processes that a test starts must find the package, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

# How long an example takes says something of the machine, and nothing of the kit.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that starts the tests in the background lets them ignore Ctrl-C; what the tests start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class SmallRun:
    """A finished run of every engine on a table and test file of its own, two repeats."""

    folder: Path
    inputs: Path
    suite: Path
    process: subprocess.CompletedProcess[str]
    run: dict[str, Any]

    @property
    def data_options(self) -> list[str]:
        """How its data were named on the command line."""
        files = ["--data", str(self.inputs / "table.csv"), "--test", str(self.inputs / "test.csv")]
        return [*files, "--label", "ill", "--id", "patient"]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Run the command line once for all tests that only read what it leaves."""
    inputs, out = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("out")
    write_csv(inputs / "test.csv", rows=300, seed=7, first_id=100_000)
    suite = write_suite(
        inputs / "small.yml",
        [
            {"id": "centralised", "engine": "centralised"},
            {"id": "scikit-learn", "engine": "centralised", "training": {"solver": "lbfgs"}},
            {"id": "local", "engine": "local"},
            {"id": "federated", "engine": "federated"},
            {"id": "fedavg", "engine": "federated", "training": {"aggregation": "fedavg", "local_epochs": 3}},
        ],
        repeats=2,
        warmup_epochs=2,
        datasets={"table": {"kind": "synthetic", "rows": 2000}},
        defaults={"training": {"epochs": 12, "learning_rate": 0.05}},
    )
    data = ["--data", inputs / "table.csv", "--test", inputs / "test.csv", "--label", "ill", "--id", "patient"]
    process = bench("--suite", suite, "--out", out, *data)
    assert process.returncode == 0, process.stderr
    folder = only_run(out)
    return SmallRun(folder, inputs, suite, process, json.loads((folder / "run.json").read_text()))


@pytest.fixture
def keep_signals() -> Iterator[None]:
    """Undo what the command line does to signals when a test calls it in its own process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
