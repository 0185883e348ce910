"""The fast tests touch every package of the kit and start no process."""

from __future__ import annotations

import ast
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import ROOT


def imported(path: Path) -> Iterator[str]:
    """The names, with their dots, of all that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_every_package_of_the_kit_is_imported_by_a_fast_test() -> None:
    packages = {path.parent.name for path in (ROOT / "bench").glob("*/__init__.py")}
    names = {name for path in Path(__file__).parent.rglob("test_*.py") for name in imported(path)}
    used = {name.split(".")[1] for name in names if name.startswith("bench.")}
    assert len(packages) > 10
    assert packages - used == set()


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "--version"]),
        lambda: os.system("true"),
        os.fork,
        lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
    ],
)
def test_a_fast_test_that_starts_a_process_is_told_where_it_belongs(start: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match=r"test_tier\.py.* starts a process .*: move it to tests/process"):
        start()
