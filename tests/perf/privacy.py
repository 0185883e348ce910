"""What the privacy modes cost and how they grow: ``python tests/perf/privacy.py``. Ratios are of this one run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean, median

from engines import epoch_seconds, prepared

from bench.data.prepare import Prepared
from bench.engines.contract import Job, Outcome
from bench.engines.federated.engine import share_cores
from bench.engines.registry import ENGINES
from bench.model.logistic import Training

SGD = {"aggregation": "fedavg", "optimiser": "sgd", "learning_rate": 0.5}
MODES = {"plain": {}, "masked": {}, "paillier": {}, "dp": {}, "paillier_host": SGD}
GROWING = ("plain", "masked", "paillier")


def train(rows: Prepared, names: list[str], mode: str, epochs: int, folder: Path) -> Outcome:
    """Train once in a mode."""
    training = Training(epochs=epochs, **MODES[mode])
    return ENGINES["federated"].train(Job(training, mode, {}, rows, names, 0, folder, 900.0))


def floor_of(outcome: Outcome, rows: Prepared) -> float:
    """Return the seconds that the library's own operations of an epoch take, on the core that has most of them."""
    timed = [party.operations for party in outcome.parties if party.operations and party.role != "arbiter"]
    unit = {name: fmean(operations[name] for operations in timed) for name in timed[0]}
    cores = share_cores(rows.shards)
    load: dict[object, float] = {}
    for party in outcome.parties:
        if party.role != "arbiter":
            last = max(epoch for epoch, _ in party.recorder.counts)
            own = sum(n * unit[name] for (epoch, name), n in party.recorder.counts.items() if epoch == last)
            core = cores.get(party.party, party.party)
            load[core] = load.get(core, 0.0) + own
    return max(load.values())


def compare(options: argparse.Namespace, place: Path) -> None:
    """Print the modes' epochs, against plain and against Paillier's floor."""
    rows, names = prepared(options.rows, options.features, place / "rows")
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    floors = []
    for repeat in range(options.repeats):
        for mode in MODES:
            epochs = options.epochs if mode != "paillier_host" else max(8, options.epochs // 4)
            outcome = train(rows, names, mode, epochs, place / f"{repeat}.{mode}")
            seconds[mode].append(epoch_seconds(outcome))
            if mode == "paillier":
                floors.append(floor_of(outcome, rows))
    print(f"{options.rows:,} x {options.features}, 25/25/50, {options.epochs} epochs", end="; ")
    print(f"medians of {options.repeats} repeats (lowest-highest), milliseconds an epoch")
    for mode, values in seconds.items():
        ratio = median(value / plain for value, plain in zip(values, seconds["plain"], strict=True))
        spread = f"({1e3 * min(values):.2f}-{1e3 * max(values):.2f})"
        print(f"  {mode:<14} {1e3 * median(values):10.2f}  {spread:<20} {ratio:8.2f} x plain")
    ratios = [value / floor for value, floor in zip(seconds["paillier"], floors, strict=True)]
    print(f"  paillier / its floor (encryptions and decryptions on the fullest core): {median(ratios):.2f}", end=" ")
    print(f"({min(ratios):.2f}-{max(ratios):.2f}), floor {1e3 * median(floors):.2f} ms")


def grow(options: argparse.Namespace, place: Path) -> None:
    """Print how an epoch grows with parties, rows and features, one at a time."""
    shapes = [(options.rows, options.features, parties) for parties in (3, 10, 30, 100)]
    shapes += [(rows, options.features, 3) for rows in (options.rows // 10, options.rows * 3)]
    shapes += [(options.rows // 10, features, 3) for features in (10, 100, 1000)]
    print("epoch in milliseconds, parties of equal size: rows, features, parties, then " + ", ".join(GROWING))
    for number, (total, features, parties) in enumerate(shapes):
        folder = place / f"shape{number}"
        rows, names = prepared(total, features, folder / "rows", "/".join([repr(100 / parties)] * parties))
        found = [epoch_seconds(train(rows, names, mode, 12, folder / mode)) for mode in GROWING]
        print(f"  {total:>9,} {features:>6} {parties:>5}  " + "".join(f"{1e3 * value:12.2f}" for value in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=170_000)
    parser.add_argument("--features", type=int, default=37)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        compare(options, Path(name) / "compare")
        grow(options, Path(name) / "grow")


if __name__ == "__main__":
    main()
