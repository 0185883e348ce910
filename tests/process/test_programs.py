"""The kit's programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fixture_run import write_run
from helpers import LIMIT


def test_the_report_is_imported_without_what_only_a_training_needs() -> None:
    heavy = {"phe", "grpc", "cryptography", "dp_accounting", "duckdb", "pandas", "sklearn", "scipy.stats"}
    program = f"import sys, bench.report.writer; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=LIMIT)
    assert done.stdout.split() == []


def test_output_that_nobody_reads_ends_it_without_a_word(tmp_path: Path) -> None:
    copy = write_run(tmp_path / "run")
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "bench.report", str(copy)]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "") and (copy / "report.html").exists()
