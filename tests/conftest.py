from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import SmallRun, bench, only_run, write_csv, write_suite
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
# Processes that a test starts must find the package, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

# How long an example takes says something of the machine, and nothing of the kit.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that starts the tests in the background lets them ignore Ctrl-C; what the tests start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take minutes: begun last, they would run alone at the end while the other cores have nothing to do.
LONG = ("test_fate.py", "test_role_kubefate.py", "test_load.py", "test_fate_probe.py", "test_resume.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


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
