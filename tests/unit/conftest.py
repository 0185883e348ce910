"""The fast tests start no process: whoever needs one belongs to tests/process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

STARTS = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
running = ""
"""The test that runs now, if it is one of these."""


class ProcessStartedError(AssertionError):
    """A test of this tier wanted a process."""


def refuse(event: str) -> None:
    """Fail while a test of this tier is running."""
    if running:
        raise ProcessStartedError(f"{running} starts a process ({event}): move it to tests/process")


def start_no_process(process: BaseProcess) -> None:
    refuse(f"multiprocessing: {process.name}")


# Left to itself, scikit-learn's joblib asks lscpu.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")
start_process = BaseProcess.start
# An interpreter keeps its audit hooks to its end, so this one looks each time who is running.
sys.addaudithook(lambda event, _: refuse(event) if event in STARTS else None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    yield from guarded(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    yield from guarded(item)


def guarded(item: pytest.Item) -> Iterator[Any]:
    """Watch over one phase of a test, its fixtures among it."""
    global running
    running, BaseProcess.start = item.nodeid, start_no_process  # type: ignore[method-assign]
    try:
        return (yield)
    finally:
        running, BaseProcess.start = "", start_process  # type: ignore[method-assign]
