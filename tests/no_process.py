"""Unit tests start no process, so that they stay fast: `make test-fast` runs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parent / "unit"
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
_guarded = False


def _refuse(event: str, _: object) -> None:
    if _guarded and event in STARTS:
        raise AssertionError(f"a unit test starts a process ({event}); it belongs to tests/process")


sys.addaudithook(_refuse)  # of Python itself, whichever way a process is started; it cannot be taken off again


@pytest.fixture(autouse=True)
def no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    global _guarded
    _guarded = request.path.is_relative_to(UNIT)
    yield
    _guarded = False
