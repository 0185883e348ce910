"""The report's command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fixture_run import write_run
from helpers import LIMIT


def test_output_that_nobody_reads_ends_it_without_a_word(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "bench.report", str(run)]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "") and (run / "report.html").exists()
