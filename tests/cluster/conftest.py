from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import CREDENTIALS, TESTBED, snapshots


@pytest.fixture(scope="session")
def bare() -> Iterator[dict[str, str]]:
    """Start three bare nodes; what each looked like before anything was installed. They are taken away at the end."""
    subprocess.run(["rm", "-rf", str(CREDENTIALS)], check=True)
    subprocess.run([str(TESTBED), "bare"], check=True)
    yield snapshots()
    subprocess.run([str(TESTBED), "down"], check=True)
