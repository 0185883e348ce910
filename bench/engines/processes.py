"""Starts the processes of a case, watches them, and ends them: a process that dies or hangs ends the case, by name.

Each process runs ``python -m <module> <config.json>`` in a folder of its own and leaves ``result.json`` there, or
``error.json``. A process that this program starts ends when this program does, however that happens: it holds the
other end of a pipe.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.errors import CaseError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.measure.spans import Epoch, Recorder, Span

JOINED = "joined.json"
# After the first process has failed the others get this long to say whom they blame.
_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 2.0  # between two looks for stopped processes
_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>
# One thread for each process, so that parties that share a machine do not fight for cores and every engine computes
# alike.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1")

_NO_RESULT = Message("ended_without_result", gettext_noop("party {party} ({role}) ended without a result"))


@dataclass
class Worker:
    """A process of a case: who it is, the module it runs, its settings, its folder, and how many rows it trains on.

    One that ``may_drop_out`` may be killed or cut off once it has left JOINED in its folder: whoever stays decides
    whether the others can go on. One that fails by itself ends the case all the same.
    """

    party: str
    role: str
    module: str
    config: dict[str, Any]
    folder: Path
    rows: int | None = None
    may_drop_out: bool = False

    @property
    def key(self) -> str:
        """The name in result files, for example ``9998/host``."""
        return f"{self.party}/{self.role}"

    @property
    def name(self) -> str:
        """The name for a reader."""
        return f"party {self.party} ({self.role})"


@dataclass
class Finished:
    """What a worker left: its result, its recorder, and its memory in bytes (None: unknown).

    ``peak_rss`` is the largest resident size ever, ``uss`` what was its alone at the end of the training.
    """

    result: dict[str, Any]
    recorder: Recorder
    peak_rss: int | None
    uss: int | None


def run(workers: list[Worker], time_limit: float, on_start: Callable[[dict[str, int]], None]) -> list[Finished]:
    """Run all workers to their end and return what they left, in order.

    ``on_start`` is given the process id of each worker by key. Raises CaseError naming the party at fault when one
    dies, fails, or the whole takes longer than ``time_limit`` seconds. No process outlives the call.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for worker in workers:
            try:
                processes.append(_start(worker))
            except OSError as error:
                raise CaseError(f"{worker.name} cannot be started: {error}") from error
        on_start({worker.key: process.pid for worker, process in zip(workers, processes, strict=True)})
        _watch(workers, processes, time_limit)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        for process in processes:
            process.wait()
            if process.stdin:
                process.stdin.close()
    return [_finished(worker) for worker in workers]


def _start(worker: Worker) -> subprocess.Popen[bytes]:
    worker.folder.mkdir(parents=True, exist_ok=True)
    config = worker.folder / "config.json"
    # The file carries the token that admits a party: for this user's eyes only.
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({**worker.config, "party": worker.party, "role": worker.role}, file)
    with (worker.folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", worker.module, str(config)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches this program only, which then ends them in order
        )


def _watch(workers: list[Worker], processes: list[subprocess.Popen[bytes]], time_limit: float) -> None:
    deadline = time.monotonic() + time_limit
    look = time.monotonic() + _LOOK_SECONDS
    # Every one is polled each time: one that has died must be seen while others still run.
    while None in (statuses := [process.poll() for process in processes]) and not _fatal(workers, statuses):
        if time.monotonic() > deadline:
            raise CaseError(_blame_for_time(workers, processes, time_limit))
        if time.monotonic() > look:
            look = time.monotonic() + _LOOK_SECONDS
            for worker, process in zip(workers, processes, strict=True):
                if _stopped(process.pid):
                    if worker.may_drop_out:
                        process.kill()
                        continue
                    raise CaseError(f"{worker.name} was stopped (SIGSTOP or the like) and cannot go on")
        time.sleep(_POLL_SECONDS)
    if not _fatal(workers, statuses):
        return
    grace = time.monotonic() + _GRACE_SECONDS
    while None in [process.poll() for process in processes] and time.monotonic() < grace:
        time.sleep(_POLL_SECONDS)
    raise CaseError(_blame(workers, processes))


def _fatal(workers: list[Worker], statuses: list[int | None]) -> bool:
    """Tell whether a process has failed without which the others cannot go on."""
    return any(status and not _lost(worker, status) for worker, status in zip(workers, statuses, strict=True))


def _lost(worker: Worker, status: int) -> bool:
    """Tell whether a process that may be lost was killed, or cut off from the others, and did not fail by itself."""
    if not worker.may_drop_out or not (worker.folder / JOINED).exists():
        return False
    error = (_read(worker.folder / "error.json") or {}).get("error")
    return status < 0 or (error is not None and not str(error).startswith(worker.name))


def _stopped(pid: int) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def _blame(workers: list[Worker], processes: list[subprocess.Popen[bytes]]) -> str:
    """Say who is at fault: who was killed, else who failed by itself, else whom the others name, the arbiter first.

    A party that fails by itself is soon called lost by the arbiter, but knows better why.
    """
    for worker, process in zip(workers, processes, strict=True):
        if process.returncode is not None and process.returncode < 0 and not _lost(worker, process.returncode):
            number = -process.returncode
            why = " (the kernel does this when memory runs out)" if number == signal.SIGKILL else ""
            return f"{worker.name} died: killed by {signal.Signals(number).name}{why}"
    errors = {worker.key: (_read(worker.folder / "error.json") or {}).get("error") for worker in workers}
    for worker in workers:
        error = errors[worker.key]
        if error and error.startswith(worker.name):
            return str(error)
    for worker, process in zip(workers, processes, strict=True):
        if process.returncode and not errors[worker.key] and not _lost(worker, process.returncode):
            return f"{worker.name} ended with status {process.returncode}: {_last_line(worker.folder / 'log.txt')}"
    for worker in sorted(workers, key=lambda worker: worker.role != "arbiter"):
        if errors[worker.key]:
            return str(errors[worker.key])
    return "a party failed without saying why"


def _blame_for_time(workers: list[Worker], processes: list[subprocess.Popen[bytes]], time_limit: float) -> str:
    """Ask the arbiter whom it is waiting for (it answers SIGTERM by writing that down), else name who still runs."""
    late = f"not finished after {time_limit:g} s (the suite's time_limit)"
    for worker, process in zip(workers, processes, strict=True):
        if worker.role == "arbiter" and process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
            error = _read(worker.folder / "error.json")
            if error:
                return f"{error['error']}; {late}"
    running = [w.name for w, process in zip(workers, processes, strict=True) if process.poll() is None]
    return f"{', '.join(running)}: {late}"


def _finished(worker: Worker) -> Finished:
    left = _read(worker.folder / "result.json")
    if left is None and worker.may_drop_out:
        note = _NO_RESULT.of(party=worker.party, role=worker.role)
        return Finished({"notes": [asdict(note)]}, Recorder(), None, None)
    if left is None:
        raise CaseError(f"{worker.name} ended without a result: {_last_line(worker.folder / 'log.txt')}")
    recorder = Recorder(
        spans=[Span(**span) for span in left["spans"]],
        epochs=[Epoch(**epoch) for epoch in left["epochs"]],
        counts={(epoch, operation): n for epoch, operation, n in left["counts"]},
    )
    return Finished(left["result"], recorder, left["peak_rss"], left["uss"])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it wrote nothing"


# --- the worker's side -----------------------------------------------------------------------------------------------


def work(main: Callable[[dict[str, Any], Path, Recorder], dict[str, Any]]) -> None:
    """Run ``main(config, folder, recorder)`` in this process and leave its result, or its error, for the parent."""
    if platform.system() == "Linux":
        # A stopped process reads no pipe, but the kernel can end it when its parent dies.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    path = Path(sys.argv[1])
    config = json.loads(path.read_text())
    if config.get("core") is not None:
        os.sched_setaffinity(0, {config["core"]})
    recorder = Recorder(enabled=config["measure"])
    try:
        result = main(config, path.parent, recorder)
    except CaseError as error:
        fail(path.parent, str(error))
    except MemoryError:
        fail(path.parent, f"party {config['party']} ({config['role']}) ran out of memory; use fewer rows or parties")
    left = {
        "result": result,
        "spans": [asdict(span) for span in recorder.spans],
        "epochs": [asdict(epoch) for epoch in recorder.epochs],
        "counts": [[epoch, operation, n] for (epoch, operation), n in recorder.counts.items()],
        "peak_rss": peak_rss(),
        "uss": psutil.Process().memory_full_info().uss,
    }
    leave(path.parent / "result.json", left)


def fail(folder: Path, message: str) -> None:
    """Leave an error for the parent and end this process at once, threads and all."""
    leave(folder / "error.json", {"error": message})
    sys.stdout.flush()
    os._exit(1)


def leave(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file that a waiting reader sees whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(value, default=asdict))  # messages are dataclasses
    temporary.replace(path)


def _end_with_parent() -> None:
    with suppress(OSError):
        # Returns when the parent closes its end, or dies. Not through sys.stdin: its lock must be free at exit.
        os.read(0, 1)
    os._exit(1)


def peak_rss() -> int | None:
    """Return this process's peak resident memory in bytes, or None where the system does not say.

    Not ru_maxrss: on Linux that begins with the size of the process which started this one.
    """
    if platform.system() != "Linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
