"""What the probe costs a training of FATE: with and without it by turns, in pairs (make fate first; minutes).

FATE's HomoLR without FATE Flow, all parties as processes of FATE's own launcher. Ratios are with / without, of the same
pair; a ratio of CPU seconds is less disturbed by other work on the machine than one of wall seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.engines.fate import engine, order

ROWS, EPOCHS, PAIRS = 20_000, 60, 3
PARTIES = ("guest:9999", "host:9998", "host:10000", "arbiter:10000")
LARGEST = "10000-host.json"


def train(folder: Path, probe: bool) -> tuple[float, float]:
    """Train once; return the largest party's wall and CPU seconds in HomoLR's fit."""
    order.scripts(folder, probe=probe)
    (folder / "order.json").write_text(json.dumps({"local": ["9999", "9998", "10000"]}))
    script = Path(__file__).parents[1] / "fate" / "fate_training.py"
    argv = [str(engine.PYTHON), str(script), str(ROWS), str(EPOCHS), str(folder), "--log_level", "INFO"]
    subprocess.run(
        [*argv, "--parties", *PARTIES, "--data_dir", str(folder)],
        env={**os.environ, "PYTHONPATH": str(folder / "python"), "FATE_JOB_ID": "1"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    seen = json.loads((folder / LARGEST).read_text())
    return seen["seconds"], seen["cpu_seconds"]


def main() -> int:
    """Train in pairs and print the ratios."""
    if lacks := engine.missing():
        print(f"the probe's cost is not measured: {lacks}")
        return 0
    wall, cpu = [], []
    for pair in range(PAIRS):
        taken = {}
        for probe in (True, False) if pair % 2 else (False, True):
            with tempfile.TemporaryDirectory() as folder:
                taken[probe] = train(Path(folder), probe)
        wall.append(taken[True][0] / taken[False][0])
        cpu.append(taken[True][1] / taken[False][1])
        print(
            f"pair {pair + 1}: with the probe {taken[True][0]:.1f} s ({taken[True][1]:.1f} s CPU), "
            f"without {taken[False][0]:.1f} s ({taken[False][1]:.1f} s CPU)",
            flush=True,
        )
    for name, ratios in (("wall", wall), ("CPU", cpu)):
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}, n = {len(ratios)}"
        print(f"FATE with the probe / without, {name} time of the largest party: {median(ratios):.3f} ({spread})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
