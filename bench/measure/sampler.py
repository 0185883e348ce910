"""Samples the CPU, memory and disk of every party's process tree, and the network of the host, while a case runs."""

from __future__ import annotations

import os
import platform
import queue
import threading
from dataclasses import dataclass, field
from time import perf_counter, thread_time
from typing import Any

import psutil

HERTZ = 5.0
# Looking for new child processes reads the whole process table, so it is done less often than sampling.
_TREE_EVERY = 5
# The kernel walks a process's whole memory map for USS: at the full rate that alone would cost 1.5 % of a core.
_USS_EVERY = 5


@dataclass
class Samples:
    """Result of one sampling: rows for resources.csv (without case and repeat) and what the sampler itself cost.

    ``began`` is when ``t`` was 0, on this host's monotonic clock; None where nothing was sampled, or on several hosts.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    began: float | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def append(self, later: Samples) -> None:
        """Add a later sampling on the same host, on this one's clock."""
        began = later.began or 0.0
        self.began = self.began or began
        shift = began - self.began
        self.rows += [{**row, "t": round(row["t"] + shift, 3)} for row in later.rows]
        self.seconds += later.seconds
        self.cpu_seconds += later.cpu_seconds


class Sampler:
    """A thread that samples until it is stopped.

    ``parties`` maps "party/role" to the process id of that party; children are found and counted with it. ``follow``
    adds more while it samples.
    """

    def __init__(self, parties: dict[str, int], hertz: float = HERTZ) -> None:
        self._trees = {name: [psutil.Process(pid)] for name, pid in parties.items() if psutil.pid_exists(pid)}
        self._interval = 1.0 / hertz
        self._stop = threading.Event()
        self._samples = Samples()
        self._followed: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._seen: set[int] = set()  # psutil's first CPU % of a process has nothing to compare with
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Samples:
        self._thread.start()
        return self._samples

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def follow(self, name: str, pid: int) -> None:
        """Sample another process and its children as ``name`` from now on, and no longer with a party above it.

        It need not be below this process, and it may have ended already.
        """
        self._followed.put((name, pid))

    def _run(self) -> None:
        began, cpu = perf_counter(), thread_time()
        self._samples.began = began
        host = platform.node()
        psutil.cpu_percent()  # the first call only sets the starting point
        tick = 0
        while True:
            if tick % _TREE_EVERY == _TREE_EVERY - 1:  # not at once: a party that has just begun has no children yet
                self._find_children()
            while not self._followed.empty():
                self._begin_following(*self._followed.get())
            t = perf_counter() - began
            for name, tree in self._trees.items():
                row = self._measure(tree, uss=tick % _USS_EVERY == _USS_EVERY - 1)
                if row:
                    self._samples.rows.append({"party": name, "host": host, "t": round(t, 3), **row})
            self._samples.rows.append({"party": "", "host": host, "t": round(t, 3), **_measure_host(first=tick == 0)})
            tick += 1
            self._samples.seconds = perf_counter() - began
            self._samples.cpu_seconds = thread_time() - cpu
            if self._stop.wait(max(0.0, tick * self._interval - (perf_counter() - began))):
                return

    def _begin_following(self, name: str, pid: int) -> None:
        try:
            root = psutil.Process(pid)
            moved = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for tree in self._trees.values():
            tree[:] = [process for process in tree if process not in moved]
        self._trees.setdefault(name, []).extend(moved)

    def _find_children(self) -> None:
        """Add processes that a party has started since; ended ones drop out when they are measured."""
        owner = {process.pid: name for name, tree in self._trees.items() for process in tree}
        for process in self._below(owner):  # parents come before their children
            try:
                name = owner.get(process.ppid())
            except psutil.Error:
                continue
            if name is not None and process.pid not in owner:
                owner[process.pid] = name
                self._trees[name].append(process)

    def _below(self, owner: dict[int, str]) -> list[psutil.Process]:
        """List the processes below this one, and below each that is sampled without being below another one."""
        found = []
        for process in [psutil.Process(), *(process for tree in self._trees.values() for process in tree)]:
            try:
                if process.pid == os.getpid() or process.ppid() not in (os.getpid(), *owner):
                    found += process.children(recursive=True)
            except psutil.Error:
                continue
        return found

    def _measure(self, tree: list[psutil.Process], uss: bool) -> dict[str, Any] | None:
        """Add up one process tree; None when it has ended. CPU % needs a second look: the first has None."""
        total: dict[str, Any] = {}
        for process in list(tree):
            try:
                with process.oneshot():
                    cpu = process.cpu_percent()
                    memory = process.memory_full_info() if uss else process.memory_info()
                    disk = process.io_counters() if hasattr(process, "io_counters") else None
                ended = memory.rss == 0  # the kernel still lists it, but it has no memory any more
            except psutil.Error:
                ended = True
            if ended:
                tree.remove(process)
                continue
            values = {
                "cpu_percent": cpu if process.pid in self._seen else None,
                "rss": memory.rss,
                "uss": getattr(memory, "uss", None),
                "read_bytes": disk.read_bytes if disk else None,
                "write_bytes": disk.write_bytes if disk else None,
            }
            self._seen.add(process.pid)
            for key, value in values.items():
                if value is not None:
                    total[key] = total.get(key, 0) + value
        return total or None


def _measure_host(first: bool) -> dict[str, Any]:
    network = psutil.net_io_counters()
    cpu = psutil.cpu_percent()
    return {
        "cpu_percent": None if first else cpu,
        "net_sent": network.bytes_sent if network else None,
        "net_received": network.bytes_recv if network else None,
    }
