"""Loaded by every Python of FATE Flow through PYTHONPATH: gives it a home of its own, and lets its workers be measured.

FATE's own files stay as they are. Whatever goes wrong here is written down as an event, and the process goes on.
"""

import importlib
import json
import os
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load(name: str, home: Path | None = None) -> None:
    """Import a module that lies beside this one, if it does; with ``home``, let it settle FATE Flow there."""
    if not (HERE / f"{name}.py").exists():
        return
    try:
        module = importlib.import_module(name)
        if home is not None:
            module.settle(home)
    except Exception as error:
        event = {"e": "failed", "what": name, "error": f"{type(error).__name__}: {error}", "pid": os.getpid()}
        with suppress(OSError):
            (HERE.parent / "events").mkdir(exist_ok=True)
            with (HERE.parent / "events" / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(json.dumps(event) + "\n")


if (HERE.parent / "home").is_dir():  # only where FATE Flow is private to a benchmark
    load("fate_home", HERE.parent / "home")
if "FATE_JOB_ID" in os.environ:  # a worker of a job
    load("fate_probe")
