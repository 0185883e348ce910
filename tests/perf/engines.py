"""How fast the engines are: ``python tests/perf/engines.py``. Prints medians and ratios measured in this one run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from bench.data.prepare import Balance, Prepared, prepare
from bench.data.split import parse
from bench.data.table import Dataset
from bench.engines.contract import Job, Outcome
from bench.engines.registry import ENGINES
from bench.measure.spans import epoch_rows
from bench.model.logistic import Training

WARM_UP = 5
# The epoch as one writes it in plain NumPy, and the two products alone, in a fresh process with some threads.
PLAIN = """
import sys, time, numpy as np
X, y = np.load(sys.argv[1] + "/X.npy"), np.load(sys.argv[1] + "/y.npy")
w, v, b, seconds, floor = np.zeros(X.shape[1]), np.zeros(X.shape[1] + 1), 0.0, [], []
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    p = 1.0 / (1.0 + np.exp(-(X @ w + b)))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    g = np.append(X.T @ (p - y), (p - y).sum()) / len(y)
    v = 0.99 * v + 0.01 * g**2
    move = 0.02 * g / (np.sqrt(v) + 1e-8)
    w, b = w - move[:-1], b - move[-1]
    seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    X @ w; X.T @ y
    floor.append(time.perf_counter() - began)
print(np.median(seconds[5:]), np.median(floor[5:]))
"""


def prepared(rows: int, features: int, folder: Path, split: str = "25/25/50") -> tuple[Prepared, list[str]]:
    """Make ``rows`` x ``features`` of noise with a learnable signal, spread over parties."""
    rng = np.random.default_rng(0)
    extra = max(4, rows // 1000)  # for the test set, which is not used here
    X = rng.standard_normal((rows + extra, features))
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X @ rng.standard_normal(features)))).astype(np.float64)
    names = [f"x{number}" for number in range(features)]
    dataset = Dataset("noise", X, y, names, ("0", "1"), "generated")
    return prepare(dataset, parse(split), Balance("none"), extra / len(X), 0, folder), names


def epoch_seconds(outcome: Outcome) -> float:
    """Return the median epoch of the process that computes longest."""
    slowest = max(
        (party for party in outcome.parties if party.role != "arbiter"),
        key=lambda party: (
            sum(span.seconds for span in party.recorder.spans if span.phase == "compute")
            or sum(epoch.seconds for epoch in party.recorder.epochs)
        ),
    )
    return median(epoch.seconds for epoch in slowest.recorder.epochs if epoch.epoch > WARM_UP)


def attributed(outcome: Outcome) -> dict[str, float]:
    """Return for each process the share of its epochs' wall time that is in named phases."""
    shares = {}
    for party in outcome.parties:
        rows = [row for row in epoch_rows(party.recorder) if row["epoch"] > WARM_UP]
        total = sum(row["seconds"] for row in rows)
        rest = sum(row["seconds"] for row in rows if row["phase"] == "unattributed")
        shares[f"{party.party}/{party.role}"] = 1 - rest / total
    return shares


def plain(folder: Path, epochs: int, threads: int) -> tuple[float, float]:
    """Return the median seconds of a plain NumPy epoch and of its two products."""
    limits = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-c", PLAIN, str(folder), str(epochs)]
    done = subprocess.run(command, env={**os.environ, **limits}, capture_output=True, text=True, check=True)
    epoch, floor = done.stdout.split()
    return float(epoch), float(floor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=170_000)
    parser.add_argument("--features", type=int, default=37)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kinds = {"centralised": True, "federated": True, "federated, not measured": False}
    seconds: dict[str, list[float]] = {}
    walls: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    sampler: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        parts, names = prepared(options.rows, options.features, Path(name) / "rows")
        training = Training(epochs=options.epochs)
        for repeat in range(options.repeats):
            for kind, measure in kinds.items():
                place = Path(name) / f"{repeat}.{kind}"
                job = Job(training, "plain", {}, parts, names, 0, place, 600.0, measure)
                outcome = ENGINES[kind.partition(",")[0]].train(job)
                seconds.setdefault(kind, []).append(epoch_seconds(outcome))
                walls.setdefault(kind, []).append(outcome.startup_seconds + outcome.training_seconds)
                if kind == "federated":
                    sampler.append(outcome.samples.cpu_seconds / outcome.samples.seconds)
                    for party, share in attributed(outcome).items():
                        shares.setdefault(party, []).append(share)
            for threads in sorted({1, cores}):
                epoch, floor = plain(parts.pooled.folder, options.epochs, threads)
                seconds.setdefault(f"plain NumPy, {threads} threads", []).append(epoch)
                seconds.setdefault(f"X @ w and X.T @ r alone, {threads} threads", []).append(floor)
    print(f"{options.rows:,} x {options.features}, 25/25/50, {options.epochs} epochs, {cores} cores", end="; ")
    print(f"medians of {options.repeats} repeats (lowest-highest), milliseconds an epoch")
    for kind, values in seconds.items():
        print(f"  {kind:<36} {1e3 * median(values):8.2f}  ({1e3 * min(values):.2f}-{1e3 * max(values):.2f})")
    one = "plain NumPy, 1 threads"
    for above, below in (("federated", "centralised"), ("federated", one), ("centralised", one)):
        ratio = median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))
        print(f"  {above} / {below}: {ratio:.2f}")
    cost = median(a / b for a, b in zip(walls["federated"], walls["federated, not measured"], strict=True))
    print(f"  whole federated case, measured / not measured: {cost:.3f}", end="; ")
    print(f"sampler {100 * median(sampler):.2f} % of a core")
    print("  in named phases: " + ", ".join(f"{key} {100 * median(value):.1f} %" for key, value in shares.items()))


if __name__ == "__main__":
    main()
