"""Time and peak memory of reading loan.csv: bench.data.lending_club against the thesis's plain pandas steps.

    python tests/perf/data.py [--rows 887379] [--repeats 3]

Both read the same generated file, turn by turn, each time in a fresh process; imports are included on both sides.
Medians are compared. Both must arrive at the same matrix.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LEAST_SPEED_UP = 5.0
MOST_MEMORY_SHARE = 1 / 3


def plain_pandas(path: Path) -> tuple[Any, Any]:
    """Take the steps as the thesis describes them, the way one writes them in a notebook."""
    import pandas as pd

    loans = pd.read_csv(path, low_memory=False)
    loans = loans.dropna(axis=1, thresh=int(len(loans) * 2 / 3))
    loans = loans.loc[:, loans.nunique() > 1]
    for column in ["int_rate", "revol_util"]:
        loans[column] = loans[column].astype(str).str.strip().str.replace("%", "").astype(float)
    loans["term"] = loans["term"].str.replace(" months", "").astype(float)
    years = {"10+ years": 10, "< 1 year": 0, "1 year": 1} | {f"{number} years": number for number in range(2, 10)}
    loans["emp_length"] = loans["emp_length"].map(years)
    loans = loans[loans["loan_status"].isin(["Fully Paid", "Charged Off"])]
    loans["loan_status"] = loans["loan_status"].map({"Fully Paid": 1, "Charged Off": 0})
    numbers = ["loan_amnt", "term", "int_rate", "installment", "emp_length", "annual_inc", "dti", "delinq_2yrs"]
    numbers += ["inq_last_6mths", "open_acc", "pub_rec", "revol_bal", "revol_util", "total_acc"]
    categories = ["home_ownership", "verification_status", "purpose"]
    loans = loans[[*numbers, *categories, "loan_status"]].dropna()
    encoded = pd.get_dummies(loans, columns=categories)
    y = encoded.pop("loan_status").to_numpy(dtype=float)
    return encoded.to_numpy(dtype=float), y


def this_kit(path: Path) -> tuple[Any, Any]:
    """Read the file as a run does."""
    from bench.data.lending_club import load

    dataset = load(path)
    return dataset.X, dataset.y


WAYS = {"plain pandas": plain_pandas, "bench": this_kit}


def measure(way: str, path: Path) -> dict[str, float]:
    """Run one way in this process, which must be fresh."""
    begin = time.perf_counter()
    X, y = WAYS[way](path)
    seconds = time.perf_counter() - begin
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 10 if sys.platform == "linux" else 1 << 20)
    # Sums do not depend on the order of the category columns.
    return {"seconds": seconds, "peak_mb": peak_mb, "rows": len(y), "sum": float(X.sum()), "paid": float(y.sum())}


def in_fresh_process(*arguments: str) -> str:
    """Call this script again, with the checkout importable."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def compare(rows: int, repeats: int) -> bool:
    """Generate the file, measure both ways in turn, print the medians; tells whether both targets are met."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="bench-perf-") as folder:
        path = Path(folder) / "loan.csv"
        in_fresh_process("--generate", str(path), "--rows", str(rows))
        size = path.stat().st_size / 1e6
        print(f"loan.csv: {rows:,} generated rows, {size:.0f} MB; median of {repeats} (lowest-highest)")
        for _ in range(repeats):
            for way in WAYS:
                found[way].append(json.loads(in_fresh_process("--measure", way, str(path))))
    if len({(run["rows"], round(run["sum"]), run["paid"]) for runs in found.values() for run in runs}) != 1:
        raise SystemExit("The two ways do not arrive at the same matrix.")
    middle = {}
    for way, runs in found.items():
        seconds, peaks = [run["seconds"] for run in runs], [run["peak_mb"] for run in runs]
        middle[way] = statistics.median(seconds), statistics.median(peaks)
        print(
            f"{way:>14}: {middle[way][0]:7.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"
            f"   peak memory {middle[way][1]:7.0f} MiB ({min(peaks):.0f}-{max(peaks):.0f})"
        )
    faster = middle["plain pandas"][0] / middle["bench"][0]
    share = middle["bench"][1] / middle["plain pandas"][1]
    print(f"{faster:.1f} times as fast (target: at least {LEAST_SPEED_UP:g})")
    print(f"{share:.2f} of the peak memory (target: at most {MOST_MEMORY_SHARE:.2f})")
    return faster >= LEAST_SPEED_UP and share <= MOST_MEMORY_SHARE


def main() -> None:
    """Read the command line; exit with status 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, default=887_379, help="rows of the generated file (default: the public file's)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way (default: 3)")
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        from bench.data.synthetic import write

        write(arguments.generate, arguments.rows)
    elif arguments.measure:
        print(json.dumps(measure(arguments.measure[0], Path(arguments.measure[1]))))
    elif not compare(arguments.rows, arguments.repeats):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
