"""What several tests of the runner share: small data, small suites, processes that are started and looked after."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from numpy.typing import NDArray

from bench.data.table import Dataset

ROOT = Path(__file__).resolve().parents[1]
REAL_LOANS = ROOT.parent / "shared" / "data" / "loan.csv.gz"
"""Real loans, where the machine has them."""
LIMIT = 600.0
"""Seconds after which something hangs. How long it takes until then says something of the machine only."""

FEATURES = ["age", "weight", "dose", "pulse", "score"]
TRUE_WEIGHTS = np.array([1.2, -0.8, 0.5, 0.0, 0.3])
Array = NDArray[np.float64]


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


def table(rows: int, seed: int) -> tuple[Array, Array]:
    """Learnable rows: X (rows, 5) with columns of very different scales, y (rows,) of 0 and 1."""
    rng = np.random.default_rng(seed)
    standard = rng.normal(size=(rows, len(FEATURES)))
    y = (rng.random(rows) < 1 / (1 + np.exp(-standard @ TRUE_WEIGHTS - 0.3))).astype(float)
    return standard * [10.0, 15.0, 0.01, 1.0, 1000.0] + [50.0, 70.0, 0.1, 60.0, -3000.0], y


def dataset(rows: int = 400, seed: int = 0) -> Dataset:
    """The same rows as a dataset, without a file."""
    X, y = table(rows, seed)
    return Dataset("table", X, y, list(FEATURES), ("0", "1"), "rows made by the test")


def write_csv(path: Path, rows: int = 600, seed: int = 0, first_id: int = 0) -> Path:
    """The same rows as a CSV with the columns patient (an id), the features, and ill (the label)."""
    X, y = table(rows, seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["patient", *FEATURES, "ill"])
        for number, (values, label) in enumerate(zip(X, y, strict=True)):
            writer.writerow([first_id + number, *map(repr, map(float, values)), int(label)])
    return path


def write_suite(path: Path, cases: list[dict[str, Any]], **settings: Any) -> Path:
    """A suite over ``table.csv`` beside it, which is written too if it is not there; small and quick by default."""
    data = path.parent / "table.csv"
    if not data.exists():
        write_csv(data)
    defaults = {"balance": {"method": "none"}, "training": {"epochs": 5}}
    plan = {
        "title": "A test's suite",
        "repeats": 1,
        "warmup_epochs": 1,
        "time_limit": LIMIT,
        "datasets": {"table": {"kind": "tabular", "files": [str(data)], "label": "ill", "id": "patient"}},
        **settings,
        "defaults": {**defaults, **settings.get("defaults", {})},
        "cases": cases,
    }
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    return path


def command(*arguments: object) -> list[str]:
    """The command line of the runner."""
    return [sys.executable, "-m", "bench.run", *map(str, arguments)]


def bench(*arguments: object, timeout: float = LIMIT) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout)


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start the command line; it and its processes are gone after the block, whatever happens in it."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        children: list[psutil.Process] = []
        try:
            yield process
            with suppress(psutil.Error):
                children = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            for child in children:
                with suppress(psutil.Error):
                    child.kill()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Poll until ``condition`` returns something true, and return that; fail after ``LIMIT``."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {LIMIT:g} s: {what}")


def run_json(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json."""
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


def words(process: psutil.Process) -> list[str]:
    """The command line of a process; empty when it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def worker(runner: int, case: str, who: str) -> psutil.Process | None:
    """Find the process of ``who`` ("9998-host") in a repeat of ``case`` ("federated.1") below the runner's process."""
    try:
        below = psutil.Process(runner).children(recursive=True)
    except psutil.Error:
        return None
    return next((process for process in below if f"/{case}/{who}/" in " ".join(words(process))), None)


def in_training(runner: int, case: str, who: str) -> psutil.Process:
    """Wait until the process of ``who`` has exchanged some hundred messages, and return it."""
    process = wait_for(lambda: worker(runner, case, who), f"{who} of {case} starts")
    assert isinstance(process, psutil.Process)
    wait_for(lambda: len(established(process)) > 0, f"{who} of {case} is connected")
    before = process.num_ctx_switches().voluntary
    wait_for(lambda: process.num_ctx_switches().voluntary > before + 300, f"{who} of {case} trains")
    return process


def established(process: psutil.Process) -> list[Any]:
    """The TCP connections of a process."""
    with suppress(psutil.Error):
        return [c for c in process.net_connections(kind="tcp") if c.status == psutil.CONN_ESTABLISHED]
    return []


def workers_left(folder: Path) -> list[list[str]]:
    """The command lines of worker processes whose config file lies below ``folder``."""
    found = (words(process) for process in psutil.process_iter())
    return [line for line in found if any("bench.engines." in word for word in line) and str(folder) in line[-1]]


def only_run(out: Path) -> Path:
    """The one run folder below ``out``."""
    (folder,) = out.iterdir()
    return folder
